"""Which metric of the forced choice tells trained from sham and from opposite best: measured, on dev pairs, and the primary chosen from it.

    python -m evals.q1.metrics [STORE]    # trains what the store does not hold, on every shipped model and behavior; writes metrics.json

A metric's standing in a row is the smaller of its two gaps, trained above sham and trained above opposite, in standard errors over
scenarios, as a share of the best metric's. The primary is the metric with the highest standing on average. Dev pairs, because the checks
that rest on it are measured on test pairs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evals.q1.design import KINDS, MODELS, REGIMES, RESTS_ON
from evals.q1.study import Study
from harness.data.arm import ArmKind, Regime
from harness.data.arrays import Floats
from harness.experiment.lab import Lab
from harness.judges.judge import Label
from harness.readouts.forced_choice import METRICS, ForcedChoice, Metric

FILE = Path(__file__).with_name("metrics.json")
JUDGED_REPLIES = "judged replies"
"""Stands in the table beside the metrics of the forced choice and cannot be chosen."""

Row = Mapping[str, Any]
"""One line of the table, by heading: means in nats (judged replies: shares), gaps in standard errors over scenarios."""


def separation_row(regime: Regime, metric: str, values: Mapping[ArmKind, Floats]) -> dict[str, Any]:
    """One row from `values` [seeds, pairs] of each kind: means, gaps (None where they do not vary), seeds in which they are positive."""
    row: dict[str, Any] = {"regime": regime, "metric": metric, **{kind: float(v.mean()) for kind, v in values.items()}}
    for other in ("sham", "opposite"):
        gap = values["trained"] - values[other]
        error = float(gap.mean(axis=0).std(ddof=1)) / float(np.sqrt(gap.shape[1]))
        row[f"above {other}"] = float(gap.mean()) / error if error > 0 else None
        row[f"seeds above {other}"] = int((gap.mean(axis=1) > 0).sum())
    return row


def separation(study: Study) -> list[Row]:
    """A row for each regime and metric at the most examples; judged replies last, where there are any, of the first seed's arms."""
    rows: list[Row] = []
    for regime in REGIMES:
        for metric in METRICS:
            values = {kind: study.shifts[regime, kind, study.most].metric(metric) for kind in KINDS}
            rows.append(separation_row(regime, metric, values))
    if study.replies.labels:
        rows.append(separation_row(RESTS_ON, JUDGED_REPLIES, {kind: showing(study.replies.labels[kind]) for kind in KINDS}))
    return rows


def showing(labels: Sequence[Label]) -> Floats:
    """1 where a reply shows the behavior, [1, pairs]: one seed."""
    return np.array([[float(label == "positive") for label in labels]])


def sharpest(rows: Sequence[Row]) -> str | None:
    """The log-odds metric that tells the arms apart best in the primary regime; None where no metric has both gaps.

    Each metric counts by the smaller of its two gaps, trained above sham and trained above opposite. Judged replies cannot be chosen: a
    label is coarse, is given to one sampled reply, and depends on a judge.
    """
    gaps = {row["metric"]: (row["above sham"], row["above opposite"]) for row in rows if row["regime"] == RESTS_ON}
    known = {metric: min(pair) for metric, pair in gaps.items() if metric in METRICS and None not in pair}
    return max(known, key=lambda metric: known[metric]) if known else None


def rows_of(lab: Lab) -> list[Row]:
    """A row for each metric and one for judged replies, of one model and behavior, on dev pairs."""
    from harness.judges.embedded import EmbeddedJudge

    pairs, most = lab.pairs("dev"), lab.doses[-1]
    made = Study(lab).arms(RESTS_ON)
    arms = {kind: [arm.subject for arm in made[kind, most]] for kind in KINDS}
    shifts = {kind: ForcedChoice.stacked([lab.shift(subject, pairs) for subject in subjects]) for kind, subjects in arms.items()}
    values: dict[str, dict[ArmKind, Floats]] = {
        metric: {kind: shift.metric(metric) for kind, shift in shifts.items()} for metric in METRICS
    }
    judge, prompts = EmbeddedJudge.fit(lab.behavior), [pair.messages for pair in pairs]
    labels = {kind: judge.labels(prompts, lab.recordings.replies(subjects[0], prompts, 0)) for kind, subjects in arms.items()}
    values[JUDGED_REPLIES] = {kind: showing(of_kind) for kind, of_kind in labels.items()}
    found = [separation_row("stream", metric, of_metric) for metric, of_metric in values.items()]
    return [{"model": lab.base.name, "behavior": lab.behavior.name, "pairs": len(pairs), **row} for row in found]


def recorded() -> list[Row]:
    """What was measured, from the repository."""
    rows: list[Row] = json.loads(FILE.read_text(encoding="utf-8"))["rows"]
    return rows


def standings(rows: Sequence[Row]) -> dict[Metric, float]:
    """Mean standing of each metric over models and behaviors, 0 to 1."""
    shares: dict[Metric, list[float]] = {metric: [] for metric in METRICS}
    for place in dict.fromkeys((row["model"], row["behavior"]) for row in rows):
        here = {row["metric"]: row for row in rows if (row["model"], row["behavior"]) == place}
        gaps = {metric: max(0.0, min(here[metric]["above sham"] or 0.0, here[metric]["above opposite"] or 0.0)) for metric in METRICS}
        for metric, gap in gaps.items():
            shares[metric].append(gap / max(gaps.values()) if max(gaps.values()) > 0 else 0.0)
    return {metric: float(np.mean(of_metric)) for metric, of_metric in shares.items()}


def _labs(folder_of_store: Path) -> Iterator[Lab]:
    from fixtures.laboratory import make_lab
    from harness.behaviors.files import load_behavior
    from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
    from harness.data.settings import Settings
    from harness.engines.hf.engine import HFEngine
    from harness.gate.verdict.thresholds import load_thresholds
    from harness.store import Store
    from harness.subjects.files import base_subject
    from harness.subjects.named import base_folder, model_layer_kinds

    settings = Settings(store=folder_of_store)
    engine, store = HFEngine("cpu"), Store(settings.store)
    for model in MODELS:
        folder = base_folder(model, store)
        for name in shipped_behaviors():
            print(f"{model}, {name}", file=sys.stderr, flush=True)
            behavior, thresholds = load_behavior(resolve_behavior(name)), load_thresholds(settings.thresholds)
            base, kinds = base_subject(model, folder), model_layer_kinds(folder)
            yield make_lab(replace(settings, model=model), behavior, base, None, kinds, engine, store, thresholds, lambda _: None)


def main() -> None:
    """Measures every shipped model and behavior, writes FILE and prints the standings."""
    from harness.data.settings import Settings

    rows = [row for lab in _labs(Path(sys.argv[1]) if len(sys.argv) > 1 else Settings.store) for row in rows_of(lab)]
    FILE.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
    for metric, standing in standings(rows).items():
        print(f"{metric}: {standing:.2f} of the best")


if __name__ == "__main__":
    main()
