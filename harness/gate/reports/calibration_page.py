"""The report's page on how often the gate errs: the rates that were measured on this base and behavior, check by check.

They are read from calibration.json; a calibration of other weights is not shown. The page is about the gate and not about this cycle, and
decides nothing.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.data.errors import InputError
from harness.experiment.seed_spread import read_calibration
from harness.experiment.tables import html_table
from harness.gate.reports.gate_json import digests
from harness.gate.verdict.run import Run

HEADINGS = (
    *("the candidate", "what it is", "subjects", "runs", "judged rate falls by"),
    *("a gate fails", "one is inconclusive", "all green", "the same three rates without knowledge of the seed-to-seed spread"),
)


@dataclass(frozen=True)
class CalibrationPage:
    """The page of one calibrated subject and behavior."""

    name: str
    """Subject and behavior, "tiny-hybrid/listening"."""
    title: str
    """What the report calls it; says how many targets do not hold."""
    holds: bool
    """Whether every target holds."""
    html: str
    """The page itself."""


def pages(run: Run) -> Iterator[CalibrationPage]:
    """A page for every calibrated behavior of this run's base; none where calibration.json cannot be read."""
    try:
        known = read_calibration(run.settings.calibration)["subjects"]
    except InputError:
        return
    measured = digests(run.entries)
    for name, entry in known.items():
        if entry.get("base") in measured.get("base", ()) and entry.get("behavior") in measured.get("behavior", ()):
            missed = [one for one in entry["targets"] if not one["holds"]]
            what = "every target holds" if not missed else f"{len(missed)} of {len(entry['targets'])} targets do not hold"
            yield CalibrationPage(name, f"How often the gate errs on {name}: {what}", not missed, _html(entry))


def _html(entry: Mapping[str, Any]) -> str:
    runs = sum(row["runs"] for row in entry["kinds"])
    parts = [
        f"<p>{entry['adapters']} adapters trained on the same data under different seeds, {runs} runs through the gate, "
        f"profile {entry['profile']}, measured {html.escape(entry['made'])}. A false alarm is a run with at least one failing gate; a miss "
        "is a planted run in which every gate is green. Intervals are exact. They count adapters, not runs: where nothing ever happened, "
        "every adapter is one trial.</p>",
        html_table(("target", "in runs of", "at most", "measured", "holds"), map(_target, entry["targets"])),
        "<h4>Runs</h4>",
        html_table(HEADINGS, map(_row, entry["kinds"])),
        "<h4>By check: a run in which it fails</h4>",
        _by_check(entry["kinds"], "fails"),
        "<h4>By check: a run in which it is inconclusive</h4>",
        _by_check(entry["kinds"], "inconclusive"),
        _sequential(entry.get("peeking")),
        "<h4>Seed-to-seed spread</h4>",
        html_table(
            ("check", "standard deviation of the difference", "over the scatter of scenarios", "adapters"),
            ((id, f"{one['deviation']:.3g}", f"{one['relative']:.3g}", one["adapters"]) for id, one in entry["alike"].items()),
        ),
    ]
    return "".join(parts)


def _sequential(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    percent = ("errs", "errs_at_alpha", "decides")
    rows = ((row["rule"], *(f"{100 * row[name]:.1f} %" for name in percent), f"{row['mean_size']:.0f}") for row in found["rows"])
    looks = ", ".join(map(str, found["sizes"]))
    headings = (
        "rule",
        "wrong at 5 %, the truth on the bound",
        f"wrong at {100 * found['alpha']:g} %",
        "right, where the first rule is in 80 %",
        "scenarios drawn there",
    )
    return f"<h4>--profile full: looks at {looks} scenarios, {found['histories']} simulated histories</h4>" + html_table(headings, rows)


def _target(one: Mapping[str, Any]) -> tuple[object, ...]:
    measured = "not measured" if one["measured"] is None else f"{100 * one['measured']:.1f} %"
    return one["target"], one["kind"], f"{100 * one['at_most']:g} %", measured, "yes" if one["holds"] else "no"


def _row(row: Mapping[str, Any]) -> tuple[object, ...]:
    fall = row["fall"]
    points = "" if fall is None else f"{100 * fall['mean']:.1f} points ({100 * fall['least']:.1f} to {100 * fall['most']:.1f})"
    rates = (_rate(row[column]) for column in ("fails", "inconclusive", "all_green"))
    blind = ", ".join(f"{100 * row['not_knowing_seeds'][column]:.1f} %" for column in ("fails", "inconclusive", "all_green"))
    return row["kind"], row["what"], row["subjects"], row["runs"], points, *rates, blind


def _rate(rate: Mapping[str, Any]) -> str:
    independent = f"{100 * rate['low_independent']:.1f}, {100 * rate['high_independent']:.1f}"
    return f"{100 * rate['value']:.1f} % [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]; were runs independent [{independent}]"


def _by_check(kinds: list[Mapping[str, Any]], what: str) -> str:
    ids = list(dict.fromkeys(id for row in kinds for id in row["checks"]))

    def cell(found: Mapping[str, Any]) -> str:
        if not found or set(found["verdicts"]) == {"not_applicable"}:
            return "not applicable"
        rate = found[what]
        return f"{100 * rate['value']:.1f} % [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"

    rows = ((row["kind"], *(cell(row["checks"].get(id, {})) for id in ids)) for row in kinds)
    return html_table(("the candidate", *ids), rows)
