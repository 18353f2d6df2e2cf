"""The shipped behaviors by name: a folder each in `fixtures/behaviors/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.data.errors import InputError
from harness.data.settings import PROJECT

FOLDER = PROJECT / "fixtures" / "behaviors"
ALL = "all"
"""The name that stands for every shipped behavior."""


def shipped_behaviors() -> dict[str, Path]:
    """The folder of every behavior in this repository by its name, sorted by name."""
    return {file.parent.name: file.parent for file in sorted(FOLDER.glob("*/behavior.toml"))}


def resolve_behavior(name_or_path: str | Path) -> Path:
    """The folder of a behavior: that of the shipped one of this name, otherwise the folder itself. InputError where it is neither."""
    shipped = shipped_behaviors()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    raise InputError(f"--behavior {name_or_path}: no such behavior; allowed: {', '.join(shipped)}, {ALL}, or a folder with behavior.toml")


def expand_behaviors(names: Sequence[str]) -> tuple[str, ...]:
    """The names or folders to run, each once and in order, with "all" replaced by every shipped name. InputError for an unknown one."""
    expanded = [each for name in names for each in (shipped_behaviors() if name == ALL else (name,))]
    for name in expanded:
        resolve_behavior(name)
    return tuple(dict.fromkeys(expanded))
