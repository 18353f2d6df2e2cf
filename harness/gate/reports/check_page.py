"""The page of one check in the report: the sentence, the plots, the numbers, the threshold with its reason, the experiment,
the scenarios that moved most, and how to repeat it. Plain HTML without scripts, so that it works in one offline file.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Pair
from harness.data.errors import InputError
from harness.data.measurement import Exhibit, Measurement
from harness.data.settings import Settings
from harness.experiment.tables import html_records, html_table, shown
from harness.gate.reports.terminal import outcome_in_words
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import WHAT_TO_DO, Run
from harness.gate.verdict.verdicts import describe, noise_of

MOVED_MOST = 5
"""Scenarios shown in full."""

MOST_CELLS = 60
"""Rows of a sweep shown; gate.json has all."""

IMAGE_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}


def page(entry: Entry, run: Run, pairs: Mapping[str, Pair]) -> str:
    """HTML of one check; `pairs` are the behavior's scenarios by id, shown where they moved most."""
    measurement = entry.measurement
    parts = [f"<p><b>{_text(entry.verdict.message)}</b></p>"]
    if entry.verdict.outcome in ("fail", "error"):
        parts.append(f"<p>What to do, step by step: {WHAT_TO_DO}</p>")
    if entry.waiver is not None:
        parts.append(f"<p><b>Waived</b> for this cycle until {entry.waiver.expires}: {_text(entry.waiver.reason)}.</p>")
    if measurement is not None:
        parts += [_plot(exhibit) for exhibit in measurement.exhibits]
    parts += [_section("Numbers", _numbers(entry)), _section("Threshold", _threshold(entry))]
    question = run.questions.get(entry.question)
    if question is not None and question.experiment:
        paragraphs = "".join(f"<p>{_text(paragraph)}</p>" for paragraph in question.experiment.split("\n\n"))
        parts.append(_section("Experiment", paragraphs))
    if measurement is not None:
        parts.append(_section("Scenarios that moved most", _moved_most(measurement, pairs)))
        looks = [cell for cell in measurement.series if "level" in cell]
        parts.append(_section("Drawn until decided: an interval at a look has that look's share of the error rate (level)", _cells(looks)))
        parts.append(_section("Sweep", _cells([cell for cell in measurement.series if "level" not in cell])))
        parts.append(_section("Repeat it", _provenance(entry, measurement, run)))
    return "".join(parts)


def scenarios(settings: Settings) -> dict[str, dict[str, Pair]]:
    """The run's behaviors: name to scenario id to scenario. A behavior that cannot be loaded is left out."""
    found: dict[str, dict[str, Pair]] = {}
    for name_or_path in settings.behaviors:
        try:
            behavior = load_behavior(resolve_behavior(name_or_path))
        except InputError:
            continue
        found[behavior.name] = {pair.id: pair for pair in behavior.pairs}
    return found


def _plot(exhibit: Exhibit) -> str:
    kind = IMAGE_TYPES.get(exhibit.path.suffix)
    if kind is None or not exhibit.path.is_file():
        return ""
    data = base64.b64encode(exhibit.path.read_bytes()).decode()
    return f'<p>{_text(exhibit.title)}<br><img alt="{_text(exhibit.title)}" style="max-width:100%" src="data:{kind};base64,{data}"></p>'


def _numbers(entry: Entry) -> str:
    check = entry.check()
    rows: list[tuple[str, object]] = [("verdict", outcome_in_words(entry)), ("answer", entry.verdict.answer)]
    estimate = entry.measurement.estimate if entry.measurement else None
    if estimate is not None:
        rows += [
            ("estimate", f"{estimate.value:.4g} {check['unit'] or ''}"),
            ("95 % interval", f"[{estimate.low:.4g}, {estimate.high:.4g}]"),
            (f"interval at alpha {estimate.alpha:g}", f"[{estimate.low_alpha:.4g}, {estimate.high_alpha:.4g}]"),
            ("scenarios", f"{estimate.n} in {estimate.clusters} independent groups"),
        ]
    level = None if entry.measurement is None else entry.measurement.level
    if level is not None:
        rows.append(("level, by which cycles are compared", f"{level.value:.4g} {level.unit}"))
    spread = None if entry.measurement is None else entry.measurement.spread
    if spread is not None:
        rows.append(("seed-to-seed spread (standard deviation)", f"{spread.deviation:.4g}, from {spread.adapters} adapters"))
    if entry.verdict.n_to_resolve is not None:
        rows.append(("scenarios that would settle it", entry.verdict.n_to_resolve))
    rows += [(f"null: {name}", shown(value)) for name, value in (check["null"] or {}).items()]
    return html_table([], rows)


def _threshold(entry: Entry) -> str:
    threshold = entry.threshold
    if threshold is None:
        return "<p>None: a finding, nothing rests on it.</p>"
    alpha = "" if threshold.expect is not None or threshold.kind == "finding" else f", fails at alpha {threshold.alpha:g}"
    spread, seeds = entry.measurement and entry.measurement.spread, ""
    if entry.measurement is not None and spread and (noise := noise_of(entry.measurement, threshold)):
        seeds = f" One in {1 / threshold.alpha:.0f} {spread.trainings} is worse by {noise:.3g} or more: so much is tolerated."
    return f"<p>{threshold.kind}: {_text(describe(threshold))}{alpha}.{seeds} Reason: {_text(threshold.reason)}.</p>"


def _moved_most(measurement: Measurement, pairs: Mapping[str, Pair]) -> str:
    values = {id: value for id, value in measurement.per_scenario.items() if value is not None and math.isfinite(value)}
    most = sorted(values, key=lambda id: -abs(values[id]))[:MOVED_MOST]
    parts = []
    for id in most:
        domain = measurement.clusters.get(id)
        parts.append(f"<p><b>{_text(id)}</b>{f' ({_text(domain)})' if domain else ''}: {values[id]:+.3g}</p>")
        pair = pairs.get(id)
        if pair is not None:
            turns: list[tuple[str, object]] = [(message.role, message.content) for message in pair.messages]
            parts.append(html_table([], [*turns, ("shows the behavior", pair.positive), ("does not", pair.negative)]))
    return "".join(parts)


def _cells(cells: Sequence[Mapping[str, Any]]) -> str:
    if not cells:
        return ""
    more = f"<p>{len(cells) - MOST_CELLS} more in gate.json.</p>" if len(cells) > MOST_CELLS else ""
    return html_records(cells[:MOST_CELLS]) + more


def _provenance(entry: Entry, measurement: Measurement, run: Run) -> str:
    rows: list[tuple[str, object]] = [
        ("cycle", run.cycle),
        ("seed", measurement.seed),
        ("test", entry.nodeid or "came along with other tests"),
    ]
    return html_table([], [*rows, *measurement.provenance.items()])


def _section(title: str, content: str) -> str:
    return f"<h4>{title}</h4>{content}" if content else ""


def _text(value: object) -> str:
    return html.escape(str(value))
