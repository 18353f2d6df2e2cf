"""The README and docs/: every link leads somewhere, every table agrees with its source, every example is what the suite reads."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from harness.__main__ import app
from harness.behaviors.shipped import shipped_behaviors
from harness.data.settings import PROJECT
from harness.gate import options
from harness.gate.reports.questions import read_question
from harness.gate.verdict.thresholds import load_thresholds
from harness.gate.verdict.waivers import load_waivers
from tests.pages import BLOCKS, MADE_BY_RUNS, PAGES, README, Block, anchors, code, prose, rows

QUESTIONS = ("preflight", *(f"q{number}" for number in range(1, 8)))
THRESHOLDS = load_thresholds(PROJECT / "thresholds.toml")

NO_LONGER_TRUE = ("nothing reads", "uses 96", "from 20 training pairs", "trainings alike", "in `harness/*.py`")
GENERATED = re.compile("<!-- calibration: begin -->.*?<!-- calibration: end -->", re.DOTALL)


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`(?!\])", "", prose(page))):
            if not target.startswith(("http://", "https://", "mailto:")):
                yield page, target


@pytest.mark.parametrize(("page", "target"), links(), ids=lambda value: str(value) if isinstance(value, str) else value.name)
def test_every_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    assert found.exists(), f"{page.name} links {target}: no such file"
    assert not anchor or anchor in anchors(found), f"{page.name} links {target}: no such heading; there are {sorted(anchors(found))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_the_text_names_is_there(page: Path) -> None:
    named = re.findall(r"`((?:docs|evals|fixtures|harness|tests|benchmarks|reports)/[\w./-]*)`", prose(page))
    missing = [name for name in named if not (PROJECT / name).exists() and not name.removeprefix("reports/").startswith(MADE_BY_RUNS)]
    assert not missing


def test_every_page_is_in_the_index() -> None:
    index = prose(PROJECT / "docs" / "README.md")
    assert [page.name for page in PAGES if page.parent.name == "docs" and page.name != "README.md" and f"({page.name})" not in index] == []


def test_the_readme_is_short_and_begins_with_the_red_gate() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150 and "(docs/gate-went-red.md)" in lines[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_no_longer_true_does_not_come_back(page: Path) -> None:
    text = GENERATED.sub("", page.read_text(encoding="utf-8"))
    assert [words for words in NO_LONGER_TRUE if words.lower() in " ".join(text.lower().split())] == []


def test_what_is_no_longer_true_is_in_no_question() -> None:
    texts = [read_question(PROJECT / "evals" / question).experiment for question in (*QUESTIONS, "calibration")]
    assert [words for words in NO_LONGER_TRUE for text in texts if words.lower() in " ".join(text.lower().split())] == []


# Tables and their sources


def test_the_readme_asks_the_questions_that_the_folders_ask() -> None:
    table = rows(README, "The seven questions")
    wanted = []
    for question in QUESTIONS:
        name = question if question == "preflight" else question.upper()
        gates = sorted(id.split(".")[1] for id in THRESHOLDS.gates if id.startswith(f"{question}."))
        wanted.append([f"[{name}](evals/{question}/__init__.py)", read_question(PROJECT / "evals" / question).title, gates])
    assert [[link, title, code(gates)] for link, title, gates in table] == wanted


@pytest.mark.parametrize("question", (*QUESTIONS, "calibration"))
def test_a_question_says_what_it_asks_does_and_means(question: str) -> None:
    text = read_question(PROJECT / "evals" / question)
    assert text.title.endswith("?") and "\n\nThe experiment" in text.experiment and "\n\nThe answer." in text.experiment


def test_every_number_has_a_row_in_order() -> None:
    table = rows(PROJECT / "docs" / "numbers.md", "")
    assert [code(row[0])[0] for row in table] == sorted(THRESHOLDS.ids)
    assert [row for row in table if len(row) != 4 or not all(row)] == []


def test_the_default_run_shows_every_check() -> None:
    shown = [code(row[0])[0] for row in rows(PROJECT / "docs" / "shipped-model.md", "What the default run says of it")]
    assert sorted(shown) == sorted(THRESHOLDS.ids)


def test_the_schema_page_has_every_field() -> None:
    schema = json.loads((PROJECT / "reports" / "gate.schema.json").read_text(encoding="utf-8"))
    page = PROJECT / "docs" / "schema.md"
    assert {name for row in rows(page, "`gate.json`") for name in code(row[0])} == set(schema["properties"])
    of_checks = page.read_text(encoding="utf-8").split("A row of `checks`:", 1)[1]
    table = of_checks.split("\n\n")[1]
    names = {name for line in table.splitlines() for name in code(line.split("|")[1])}
    assert names == set(schema["$defs"]["check"]["properties"])


class Flags:
    """Takes the place of pytest's parser and remembers the flags."""

    def __init__(self) -> None:
        self.flags: list[str] = []

    def addini(self, *_: object, **__: object) -> None: ...

    def getgroup(self, _: str) -> Flags:
        return self

    def addoption(self, flag: str, **_: object) -> None:
        self.flags.append(flag)


def test_every_option_has_a_row() -> None:
    parser = Flags()
    options.add_options(parser)  # type: ignore[arg-type]
    table = rows(PROJECT / "docs" / "your-model.md", "All options")
    assert sorted(name.split()[0] for row in table for name in code(row[0])) == sorted(parser.flags)


def test_every_command_is_in_the_docs() -> None:
    everything = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in typer.main.get_command(app).commands if f"python -m harness {name}" not in everything] == []


# Blocks


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_says_how_it_is_tested(block: Block) -> None:
    known = {
        "sh": block.mode != "",
        "toml": block.info in ("", "thresholds", "waivers"),
        "json": block.info == "shipped-pair",
        "yaml": block.info == "workflow",
        "text": block.info in ("", "tree"),
    }
    assert known.get(block.language, False), f"{block}: ```{block.language} {block.info}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_hides_in_an_indented_block(page: Path) -> None:
    assert re.findall(r"^\n {4,}\S.*$", prose(page), re.MULTILINE) == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "toml"], ids=str)
def test_toml_is_what_the_suite_reads(block: Block, tmp_path: Path) -> None:
    tomllib.loads(block.text)
    file = tmp_path / "read.toml"
    if block.info == "thresholds":
        whole = re.search(r'^\["', block.text, re.MULTILINE) is not None
        file.write_text(("" if whole else THRESHOLDS.path.read_text(encoding="utf-8")) + block.text, encoding="utf-8")
        load_thresholds(file)
    elif block.info == "waivers":
        file.write_text(block.text, encoding="utf-8")
        assert load_waivers(file, THRESHOLDS)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_the_example_of_a_pair_is_shipped(block: Block) -> None:
    lines = [line for folder in shipped_behaviors().values() for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert json.loads(block.text) in [json.loads(line) for line in lines if line.strip()]


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.info == "tree"], ids=str)
def test_the_tree_is_there(block: Block) -> None:
    parents: list[tuple[int, Path]] = [(-1, PROJECT)]
    for line in block.text.splitlines():
        depth, name = len(line) - len(line.lstrip()), line.split()[0]
        parents = [(above, folder) for above, folder in parents if above < depth]
        path = parents[-1][1] / name
        assert path.exists(), f"{block}: {path.relative_to(PROJECT)}"
        parents.append((depth, path))
