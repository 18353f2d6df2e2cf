"""harness/process/orphans.py, without a vLLM: a process that names its starter ends with it, and no other does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness.process.orphans import STARTER, born, starter
from harness.process.torchvision_cpu import child_environment

SLEEP = [sys.executable, "-c", "import time; time.sleep(3600)"]
THREADS = "import threading; print('ends with its starter' in [thread.name for thread in threading.enumerate()])"


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def named(pid: int, birth: int | None) -> dict[str, str]:
    return child_environment({**os.environ, STARTER: f"{pid} {birth}"})


def watches(environment: dict[str, str], *arguments: str) -> bool:
    done = subprocess.run([sys.executable, "-c", THREADS, *arguments], env=environment, capture_output=True, text=True, check=True)
    return done.stdout == "True\n"


def test_a_process_has_a_birth_until_it_ends(parent: subprocess.Popen[bytes]) -> None:
    birth = born(parent.pid)
    assert birth is not None and birth == born(parent.pid)
    parent.kill()
    os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)  # dead, and not buried
    assert born(parent.pid) is None
    parent.wait()
    assert born(parent.pid) is None


def test_it_ends_when_its_starter_is_killed(parent: subprocess.Popen[bytes]) -> None:
    child = subprocess.Popen(SLEEP, env=named(parent.pid, born(parent.pid)))
    assert child.poll() is None
    parent.kill()
    assert child.wait(120) == 1


def test_another_process_under_the_same_number_is_not_its_starter(parent: subprocess.Popen[bytes]) -> None:
    assert subprocess.Popen(SLEEP, env=named(parent.pid, (born(parent.pid) or 0) - 1)).wait(120) == 1


def test_only_who_is_told_watches_and_never_a_resource_tracker() -> None:
    plain = child_environment({name: value for name, value in os.environ.items() if name != STARTER})
    assert not watches(plain)
    assert watches({**plain, **starter()})
    assert not watches({**plain, **starter()}, "from multiprocessing.resource_tracker import main")


def test_nobody_ends_with_itself() -> None:
    """`python -m harness serve` names itself, and becomes the server."""
    code = f"""
import os, sys
from harness.process.orphans import starter
os.execvpe(sys.executable, [sys.executable, "-c", {THREADS!r}], {{**os.environ, **starter()}})
"""
    done = subprocess.run([sys.executable, "-c", code], env=child_environment(dict(os.environ)), capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
