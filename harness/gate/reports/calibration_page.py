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

COLUMNS = {"fails": "red", "inconclusive": "inconclusive", "green": "green"}
"""What a person calls the three outcomes of a run."""
HEADINGS = (
    *("the candidate", "what it is", "subjects", "runs", "truly lost"),
    *("red: a gate fails", "inconclusive: none fails, one is open", "green"),
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
        f"<p>{entry['adapters']} adapters trained under different seeds, {runs} runs through the gate, "
        f"profile {entry['profile']}, measured {html.escape(entry['made'])}. A false alarm is a red run with nothing planted; a miss "
        "is a planted run that is green. What was truly lost is a share of judged replies in k-point losses, else of the effect. Intervals "
        "are exact. They count adapters, not runs: where nothing ever happened, every adapter is one trial.</p>",
        html_table(("runs of", "are", "wanted", "measured", "holds"), map(_target, entry["targets"])),
        "<h4>Runs</h4>",
        html_table(HEADINGS, map(_row, entry["kinds"])),
        "<h4>By check: it fails</h4>",
        _by_check(entry["kinds"], "fails"),
        "<h4>By check: it is inconclusive</h4>",
        _by_check(entry["kinds"], "inconclusive"),
        _sequential(entry.get("peeking")),
        "<h4>How much two trainings differ by luck (standard deviation, in the unit of the check's values)</h4>",
        html_table(
            ("check", "begun anew under another seed", "gone on from the other", "adapters"),
            (
                (id, f"{one['deviation']:.3g}", f"{entry['continued'].get(id, one)['deviation']:.3g}", one["adapters"])
                for id, one in entry["retrained"].items()
            ),
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
    wanted = f"at most {100 * one['at_most']:g} %" if one["at_most"] is not None else f"at least {100 * one['at_least']:g} %"
    return one["kind"], COLUMNS[one["column"]], wanted, measured, "yes" if one["holds"] else "no"


def _row(row: Mapping[str, Any]) -> tuple[object, ...]:
    lost = row["lost"]
    share = "" if lost is None else f"{lost['mean']:.3f} ({lost['least']:.3f} to {lost['most']:.3f})"
    return row["kind"], row["what"], row["subjects"], row["runs"], share, *(_rate(row[column]) for column in COLUMNS)


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
