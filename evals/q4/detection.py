"""Does a control chart of flags stay silent over good cycles, and does a degradation set it off?

Bernoulli CUSUM of training-signal's flags among fresh probes, as a share of its limit (`harness/analysis/control_chart.py`). Simulated
cycles come first: the chart's silence means something only where a planted degradation sets it off. A candidate's chart goes on from the
accepted cycle, whose probes the history has. It cannot see a failure that training-signal does not flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evals.baseline import accepted_cycle, earlier, record_of
from evals.q4 import exhibits
from evals.q4.design import CANDIDATES_FROM, CLEAN, DETECTION, PLANTED, PROBES, PROBES_FROM, REGRESSION, TUNED_BY, UNITS
from evals.q4.study import Study
from harness.analysis.control_chart import Chart, tuned
from harness.data.behavior import Pair
from harness.data.measurement import Estimate, Measurement
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.gate.history.comparable import differences
from harness.gate.history.records import Record, cycle_names

CELL = "probes of this cycle"
"""Name of the row by which later cycles find how many probes of this one were flagged."""


@dataclass(frozen=True)
class Probes:
    """The fresh probes of one cycle in the history."""

    cycle: str
    flagged: int
    probes: int
    """How many there were, flagged or not."""


@dataclass(frozen=True)
class Charted:
    """The flags of some cycles on a control chart."""

    chart: Chart
    tuned_to: str
    """Whose flag rate the chart expects, in words."""
    counts: tuple[int, ...]
    """Flags among the PROBES of every cycle, the oldest first."""

    @property
    def path(self) -> list[float]:
        """The chart's S after every cycle, nats."""
        return self.chart.path(self.counts, PROBES)


def detection(study: Study) -> Measurement:
    """The highest S over clean cycles; with a candidate, S of its own cycle. As a share of the limit.

    AgentError or JudgeError where training-signal gives no answer, NotComparable where the accepted cycle was measured on other data.
    """
    lab, unit = study.lab, UNITS[DETECTION]
    rests_on = study.flagged_by  # an agent that cannot be made says so before anything is trained
    simulated = _simulated(study)
    path = simulated.path
    rows: list[dict[str, Any]] = [
        {"cell": "simulated cycle", "n": i + 1, "flagged": count, "probes": PROBES, "estimate": value / simulated.chart.limit}
        for i, (count, value) in enumerate(zip(simulated.counts, path, strict=True))
    ]
    shown, value = simulated, max(path[:CLEAN])
    if lab.candidate is not None:
        shown = _of_candidate(study, lab.candidate, simulated)
        value, flagged = shown.path[-1], shown.counts[-1]
        rows.append({"cell": CELL, "flagged": flagged, "probes": PROBES, "estimate": flagged / PROBES})
    caught = next((i + 1 for i, each in enumerate(path[CLEAN:]) if each >= simulated.chart.limit), None)
    null = {
        "kind": f"rate of {shown.tuned_to}; p0 its upper 80 % limit",
        "p0": shown.chart.p0,
        "p1": shown.chart.p1,
        "limit": shown.chart.limit,
        "planted degradation": f"caught in cycle {caught}" if caught else f"not caught in {PLANTED} cycles",
    }
    drawn = [exhibits.control_chart(study, simulated.chart, path)]
    if caught is None:
        reason = f"a planted degradation was not caught within {PLANTED} cycles, so the chart's silence means nothing"
        return lab.measurement(DETECTION, unit, series=rows, null=null, exhibits=drawn, reason=reason, rests_on=rests_on)
    estimate = Estimate.exact(value / shown.chart.limit, PROBES, lab.alpha(DETECTION))
    return lab.measurement(DETECTION, unit, estimate, series=rows, null=null, exhibits=drawn, rests_on=rests_on)


def _simulated(study: Study) -> Charted:
    """Cycles of healthy adapters, then of the most degraded ones, every training in turn, on a chart tuned to healthy replies."""
    trainings = study.trainings
    subjects = [trainings[i % len(trainings)][0] for i in range(CLEAN)] + [trainings[i % len(trainings)][1] for i in range(PLANTED)]
    study.say(f"{len(subjects)} simulated cycles of {PROBES} probes")
    known = np.concatenate([study.flagged(study.conversations(healthy, study.pairs, TUNED_BY)) for healthy, _ in trainings])
    flagged = int(known.sum())
    counts = tuple(_flags_among_probes(study, subject, cycle) for cycle, subject in enumerate(subjects))
    return Charted(
        tuned(flagged, len(known), PROBES), f"{len(trainings)} healthy adapters of the suite, {flagged} of {len(known)} flagged", counts
    )


def _of_candidate(study: Study, candidate: Subject, simulated: Charted) -> Charted:
    """The cycles since the accepted one, this one last, on a chart tuned to the accepted one.

    Before one is accepted: this cycle alone, on the chart of the simulated cycles.
    """
    known = probes_since(study.lab, study.every_pair, study.flagged_by)
    flagged = _flags_among_probes(study, candidate, CANDIDATES_FROM + len(known))
    if not known:
        return Charted(simulated.chart, simulated.tuned_to, (flagged,))
    first, *since = known
    pinned = f"cycle {first.cycle}, {first.flagged} of {first.probes} flagged"
    return Charted(tuned(first.flagged, first.probes, PROBES), pinned, (*(each.flagged for each in since), flagged))


def _flags_among_probes(study: Study, subject: Subject, cycle: int) -> int:
    """How many of a cycle's fresh probes are flagged: scenarios and sampled replies follow from the run's seed and the cycle."""
    rng = study.lab.rng("q4", "probes", str(cycle))
    chosen = [study.pairs[i] for i in rng.choice(len(study.pairs), PROBES, replace=len(study.pairs) < PROBES)]
    return int(study.flagged(study.conversations(subject, chosen, PROBES_FROM + cycle)).sum())


def probes_since(lab: Lab, pairs: tuple[Pair, ...], rests_on: Mapping[str, str]) -> tuple[Probes, ...]:
    """Probes of the accepted cycle, then of every cycle after it but this one; empty where none is accepted. `rests_on` as in `earlier`.

    A later cycle that was measured on other data is passed over. NotComparable where the accepted one was.
    """
    name = accepted_cycle(lab)
    if name is None:
        return ()
    earlier(lab, name, REGRESSION, [pair.id for pair in pairs])
    names = cycle_names(lab.settings.history_path)
    since = [each for each in names[names.index(name) :] if each != lab.settings.cycle]
    found = ((each, record_of(lab, each, DETECTION)) for each in since)
    now = lab.provenance(rests_on)
    probes = (_probes(each, record) for each, record in found if record is not None and not differences(record.provenance, now))
    return tuple(each for each in probes if each is not None)


def _probes(cycle: str, record: Record) -> Probes | None:
    """None where the cycle had no candidate, and so no probes of its own."""
    row = next((row for row in record.series if row.get("cell") == CELL), None)
    return None if row is None else Probes(cycle, int(row["flagged"]), int(row["probes"]))
