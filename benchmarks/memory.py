"""Peak memory of a command and all processes it starts: python benchmarks/memory.py [--trace FILE] -- COMMAND …

    python benchmarks/memory.py -- python -m pytest evals -n 2 --store /tmp/cold --no-report

Memory is the proportional set size (PSS): private pages plus each process's share of the pages that several processes map. Summed over
processes it counts every page once, which resident sizes do not. The sum is sampled; what lives for less than an interval can be missed.
Linux only. Prints the peak in GiB, what every process held then, and the largest that each held at any time. The command's output goes
to the terminal; the exit code is the command's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import psutil


def pss(pid: int) -> int:
    """Proportional set size in bytes; 0 for a process that has ended or belongs to somebody else."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def tree(root: psutil.Process) -> list[int]:
    """Ids of a process and of all that it started, directly or not."""
    try:
        return [root.pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def name(pid: int) -> str:
    """The end of a process's command line."""
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return "ended"
    return " ".join(words)[:60]


def main() -> int:
    """Runs the command and prints what it held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interval", type=float, default=0.25, metavar="SECONDS")
    parser.add_argument("--trace", type=Path, help="a line for each sample: seconds, sum, then pid=MiB for every process")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    started = time.monotonic()
    running = subprocess.Popen(asked.command)
    root = psutil.Process(running.pid)
    peak, at_peak, most, names = 0, dict[int, int](), dict[int, int](), dict[int, str]()
    lines: list[str] = []
    while running.poll() is None:
        held = {pid: size for pid in tree(root) if (size := pss(pid))}
        for pid, size in held.items():
            names.setdefault(pid, name(pid))
            most[pid] = max(most.get(pid, 0), size)
        seconds, total = time.monotonic() - started, sum(held.values())
        lines.append(" ".join([f"{seconds:.1f} {total >> 20}", *(f"{pid}={size >> 20}" for pid, size in held.items())]))
        if total > peak:
            peak, at_peak, when = total, held, seconds
        time.sleep(asked.interval)
    if asked.trace:
        asked.trace.write_text("\n".join(lines) + "\n")
    if peak:
        print(f"peak {peak / 2**30:.2f} GiB after {when:.0f} of {time.monotonic() - started:.0f} s, in {len(at_peak)} processes")
        for pid, size in sorted(most.items(), key=lambda item: -item[1]):
            if size > 2**20:
                print(f"  {at_peak.get(pid, 0) / 2**20:6.0f} MiB then, {size / 2**20:6.0f} at most: {names[pid]}")
    return running.returncode


if __name__ == "__main__":
    sys.exit(main())
