"""The gates on log-odds: the candidate against an earlier cycle, scenario by scenario.

The unit is the smaller of what a whole training moves and what the earlier cycle had over base, so that a weak training cannot be undone
unseen. A step is judged against the accepted cycle (without one: base). Decay that no single step shows is judged against the pinned
cycle. What the model says can change while its log-odds stay; `judged_rate.py` is the gate for that.
"""

from __future__ import annotations

from dataclasses import replace

from evals.baseline import accepted_cycle, earlier, pinned_cycle
from evals.continuation import SKETCH, sketch
from evals.q4 import exhibits
from evals.q4.design import DRIFT, REGRESSION, UNIT_OF_EFFECT
from evals.q4.effect import compared, share_of_effect
from evals.q4.study import Study
from harness.analysis.sketches import as_text
from harness.data.measurement import Level, Measurement
from harness.experiment.lab import Lab
from harness.readouts.forced_choice import UNIT as LOG_ODDS


def regression(study: Study) -> Measurement:
    """Candidate against the accepted cycle, with the sketch of its weights. NotComparable where that was measured on other data."""
    lab = study.lab
    found = _against_cycle(study, REGRESSION, accepted_cycle(lab))
    assert lab.candidate is not None
    return replace(found, provenance={**found.provenance, SKETCH: as_text(sketch(lab, lab.candidate))})


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
    since = None if cycle is None else earlier(lab, cycle, REGRESSION, [pair.id for pair in pairs])
    found = compared(study, since)
    assert lab.candidate is not None
    rows = [
        {"cell": "a whole training", "estimate": float(found.full.mean())},
        {"cell": f"candidate {lab.candidate.name}", "estimate": float(found.after.mean())},
        {"cell": found.against, "estimate": float(found.before.mean())},
    ]
    goes_on = ", which the candidate goes on from" if since and since.continued else ""
    share, unit = share_of_effect(found.change, found.effect, found.domains, lab.alpha(id)), float(found.effect.mean())
    return lab.measurement(
        id,
        UNIT_OF_EFFECT,
        share,
        pairs=pairs,
        values=found.after,
        series=rows,
        null={"kind": f"{found.against}{goes_on}; values by scenario are nats above base"},
        spread=found.spread(lab, id),
        level=Level(float(found.after.mean()), f"{LOG_ODDS}, above base"),
        unchanged=found.unchanged,
        exhibits=[exhibits.changes(lab, id, found.change / unit, found.domains, share.value, found.against)] if unit > 0 else [],
    )
