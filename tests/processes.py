"""A process and its descendants, for tests of what a death leaves behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.process.orphans import born

PATIENCE_S = 120


def family_of(pid: int) -> dict[int, int]:
    """Process id and birth of a process and of all that it started, directly or not."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {member: birth for member in found if (birth := born(member)) is not None}


def wait_until_gone(family: dict[int, int]) -> None:
    """Fails where some of them still run after a long time."""
    until = time.monotonic() + PATIENCE_S
    while left := [pid for pid, birth in family.items() if born(pid) == birth]:
        if time.monotonic() > until:
            pytest.fail(f"still running: {[Path(f'/proc/{pid}/cmdline').read_text() for pid in left]}")
        time.sleep(0.2)
