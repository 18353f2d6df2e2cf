"""Whether two runs say the same: python benchmarks/same_gate.py BEFORE/gate.json AFTER/gate.json [--only q3 ...]

For a change that must move no number. Checks are compared by key: id, kind, verdict, estimate, both intervals, n, unit and threshold must
be equal to the last digit. Differences in null, series, answers and sentences are shown and do not count. Times are left out. Exit code 1
where anything that must be equal is not.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

MUST = (
    "id", "key", "question", "behavior", "kind", "verdict", "estimate", "low", "high", "low_alpha", "high_alpha",
    "unit", "n", "n_to_resolve", "threshold", "seed", "spread", "stepwise", "needs", "nodeid",
)  # fmt: skip
SHOWN = ("answer", "answer_in_words", "reason", "message", "null", "series")


def read(path: Path, only: list[str]) -> dict[str, dict[str, Any]]:
    """Checks of a gate.json by key, of the questions asked for."""
    checks = json.loads(path.read_text(encoding="utf-8"))["checks"]
    return {check["key"]: check for check in checks if not only or check["question"] in only}


def differences(before: dict[str, Any], after: dict[str, Any], fields: tuple[str, ...]) -> list[str]:
    """A line for every field that is not equal."""
    return [f"{name}: {_short(before[name])} -> {_short(after[name])}" for name in fields if before[name] != after[name]]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}…"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--only", nargs="*", default=[], metavar="QUESTION")
    asked = parser.parse_args()
    before, after = read(asked.before, asked.only), read(asked.after, asked.only)
    wrong = 0
    for key in sorted(before.keys() ^ after.keys()):
        wrong += 1
        print(f"{key}: only {'before' if key in before else 'after'}")
    for key in sorted(before.keys() & after.keys()):
        lines = differences(before[key], after[key], MUST)
        wrong += bool(lines)
        for line in lines:
            print(f"{key}: {line}")
        for line in differences(before[key], after[key], SHOWN):
            print(f"{key}: (shown) {line}")
    print(f"{len(before.keys() & after.keys())} checks compared, {wrong} differ in what must be equal")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
