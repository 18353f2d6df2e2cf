"""The gates on log-odds: the tested adapter against an earlier cycle, scenario by scenario, as a share of what a whole training moves.

A step is judged against the accepted cycle (without one: base). Decay that no single step shows is judged against the pinned cycle. What
the model says can change while its log-odds stay; `judged_rate.py` is the gate for that.
"""

from __future__ import annotations

import numpy as np

from evals.baseline import Earlier, accepted_cycle, earlier, pinned_cycle
from evals.q4.design import DRIFT, REGRESSION, UNIT_OF_EFFECT
from evals.q4.study import Study
from harness.analysis.estimated import Estimated, estimated
from harness.analysis.ratios import ratio_interval
from harness.arms.cycles import healthy
from harness.data.arrays import Floats, Names
from harness.data.behavior import Pair
from harness.data.measurement import Estimate, Level, Measurement
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.readouts.forced_choice import PRIMARY
from harness.readouts.forced_choice import UNIT as LOG_ODDS


def regression(study: Study) -> Measurement:
    """Candidate (without one, the trained arm) against the accepted cycle. NotComparable where that was measured on other data."""
    return _against_cycle(study, REGRESSION, accepted_cycle(study.lab))


def drift(study: Study) -> Measurement:
    """Candidate against the pinned cycle; only where `why_no_drift` is None. NotComparable where that cycle was measured on other data."""
    return _against_cycle(study, DRIFT, pinned_cycle(study.lab))


def why_no_drift(lab: Lab) -> str | None:
    """Why q4.drift does not apply; None where a cycle other than the accepted one is pinned."""
    if lab.candidate is None:
        return "there is no candidate"
    cycle = pinned_cycle(lab)
    if cycle is None:
        return "no cycle is pinned"
    return f"cycle {cycle} is both pinned and accepted: q4.regression asks this" if cycle == accepted_cycle(lab) else None


def _against_cycle(study: Study, id: str, cycle: str | None) -> Measurement:
    lab, pairs = study.lab, study.every_pair
    return loss(lab, id, pairs, None if cycle is None else earlier(lab, cycle, REGRESSION, [pair.id for pair in pairs]))


def loss(lab: Lab, id: str, pairs: tuple[Pair, ...], baseline: Earlier | None) -> Measurement:
    """What the tested subject gained or lost since `baseline` (None: base), as a share of what a whole training moves."""
    trained, _ = healthy(lab.arms, lab.settings.seed)
    tested = lab.candidate or trained
    full = lab.shift(trained, pairs).metric(PRIMARY)
    after = lab.shift(tested, pairs).metric(PRIMARY)
    before = baseline.of([pair.id for pair in pairs]) if baseline else np.zeros_like(after)
    against = f"cycle {baseline.cycle}" if baseline else "base"
    rows = [
        {"cell": "a whole training", "estimate": float(full.mean())},
        {"cell": f"candidate {lab.candidate.name}" if lab.candidate else "trained arm", "estimate": float(after.mean())},
        {"cell": against, "estimate": float(before.mean())},
    ]
    change = after - before
    return lab.measurement(
        id,
        UNIT_OF_EFFECT,
        share_of_training(change, full, domains_of(pairs), lab.alpha(id)),
        pairs=pairs,
        values=after,
        series=rows,
        null={"kind": f"{against}; values by scenario are nats above base"},
        spread=lab.seed_spread(id, change, float(full.mean())) if baseline else None,
        level=Level(float(after.mean()), f"{LOG_ODDS}, above base"),
        unchanged=0.0 if baseline else None,
    )


def share_of_training(change: Floats, full: Floats, domains: Names, alpha: float) -> Estimated:
    """Mean of `change` over mean of `full`, a whole training's change: both [test pairs], in nats; `domains` [test pairs].

    No change anywhere is exactly 0, and the whole training's own change exactly 1.
    """
    if not change.any():
        return Estimated(Estimate.exact(0.0, len(change), alpha))
    if np.array_equal(change, full):
        return Estimated(Estimate.exact(1.0, len(change), alpha))
    share = estimated(lambda: ratio_interval(change, full, domains, alpha))
    return share if share.reason is None else Estimated(None, f"the share of a whole training's effect: {share.reason}")
