"""The text of each question: the docstring of evals/<question>/__init__.py, read without importing it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from pathlib import Path

from harness.gate.verdict.run import QuestionText


def read_questions(folders: Iterable[Path]) -> dict[str, QuestionText]:
    """Folder name, which is the part of a check id before the dot, to question; `preflight` beside one of `folders` is read too."""
    wanted = {sibling for folder in folders for sibling in (folder, folder.parent / "preflight")}
    return {folder.name: read_question(folder) for folder in sorted(wanted) if (folder / "__init__.py").is_file()}


def read_question(folder: Path) -> QuestionText:
    """The title is the docstring's first line; a folder without one is titled by its name."""
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    text = inspect.cleandoc(ast.get_docstring(tree) or "")
    title = text.splitlines()[0].rstrip(".") if text else folder.name
    return QuestionText(folder.name, title, text)
