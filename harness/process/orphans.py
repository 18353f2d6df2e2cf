"""vLLM's processes end with the process that started them, even where that one was killed and could tell nobody.

The starter writes its process id and time of birth into the environment, which its descendants inherit. Each of them reads that when
Python starts (harness/process/startup), looks once a second whether that very process still runs, and exits when it does not. Resource
trackers are left to end by themselves, with the last process that they clean up after. Nothing is watched where there is no /proc, nor by
Ray's workers, which get the variables that vLLM names and no others: Ray ends those itself.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

STARTER = "HARNESS_VLLM_STARTER"
"""Environment variable: process id and birth of the process that vLLM is to end with."""
PAUSE_S = 1.0


def born(pid: int) -> int | None:
    """Clock ticks from the machine's start to the process's; None where it has ended, or is a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


def starter() -> dict[str, str]:
    """What to add to the environment of a vLLM that this process starts, or becomes."""
    return {STARTER: f"{os.getpid()} {born(os.getpid())}"}


def end_with_starter() -> None:
    """Let this process end with the one that its environment names, unless that is itself, or this one is a resource tracker."""
    pid, _, birth = os.environ.get(STARTER, "").partition(" ")
    if not birth.isdigit() or int(pid) == os.getpid() or any("resource_tracker" in part for part in sys.orig_argv):
        return

    def watch() -> None:
        while born(int(pid)) == int(birth):
            time.sleep(PAUSE_S)
        os._exit(1)

    threading.Thread(target=watch, name="ends with its starter", daemon=True).start()
