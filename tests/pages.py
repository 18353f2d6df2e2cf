"""The README and the pages of docs/ as tests read them: prose, headings, tables, fenced blocks.

How a block of code is tested stands after its fence's language; docs/README.md explains it ("For whoever edits these pages").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.data.settings import PROJECT

README = PROJECT / "README.md"
PAGES = (README, *sorted((PROJECT / "docs").glob("*.md")))

MADE_BY_RUNS = ("gate.json", "summary.md", "junit.xml", "html", "allure-results", "trends.json", "exhibits")
"""What a run leaves in reports/, named in the text and not in git."""
SHELL = re.compile(r"(?P<mode>run|slow|dry-run)(?: needs=(?P<needs>\w+))?|skip: (?P<reason>\S.*)")


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands after its fence's language, and its text."""

    page: Path
    line: int
    language: str
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"

    @property
    def mode(self) -> str:
        """run, slow, dry-run or skip; "" where a shell block says none of these."""
        found = SHELL.fullmatch(self.info)
        return "" if found is None else found["mode"] or "skip"

    @property
    def needs(self) -> str | None:
        found = SHELL.fullmatch(self.info)
        return None if found is None else found["needs"]

    @property
    def commands(self) -> list[str]:
        """A command each: continued lines joined, comments and empty lines left out."""
        lines = [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
        return lines


def blocks_of(page: Path) -> Iterator[Block]:
    fence = re.compile(r"^```(?P<language>\w*) ?(?P<info>.*)\n(?P<text>(?:(?!```).*\n)*)```$", re.MULTILINE)
    text = page.read_text(encoding="utf-8")
    for found in fence.finditer(text):
        yield Block(page, text[: found.start()].count("\n") + 1, found["language"], found["info"], found["text"])


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SHELLS = [block for block in BLOCKS if block.language == "sh"]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, without its head."""
    after = page.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[-1] if heading else page.read_text(encoding="utf-8")
    table = re.search(r"^\|.*\n\|[-|]+\n(?P<rows>(?:\|.*\n)+)", after, re.MULTILINE)
    assert table is not None, f"{page}: no table after {heading!r}"
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table["rows"].splitlines()]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    made = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        made.add(slug if slug not in found else f"{slug}-{found[slug]}")
        found[slug] = found.get(slug, 0) + 1
    return made
