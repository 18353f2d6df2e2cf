"""A loss in a few places: the domain that lost most, which an average over all of them hides.

Every domain's mean change of log-odds has an interval that holds together with all others (`harness.analysis.worst_group`). Beside it
stand the scenarios that flipped: the accepted cycle preferred the completion that shows the behavior, the candidate prefers the other. It
cannot see damage in a domain without scenarios, or in one scenario of many.
"""

from __future__ import annotations

import numpy as np

from evals.baseline import accepted_cycle, earlier
from evals.q4 import exhibits
from evals.q4.design import REGRESSION, UNIT_OF_EFFECT, WORST_DOMAIN
from evals.q4.effect import compared
from evals.q4.study import Study
from harness.analysis.estimated import Estimated
from harness.analysis.sample import DegenerateSample
from harness.analysis.worst_group import WorstGroup, worst_group
from harness.data.arrays import Flags, Floats, Names
from harness.data.measurement import Estimate, Measurement
from harness.readouts.forced_choice import PRIMARY


def worst_domain(study: Study) -> Measurement:
    """The lowest change of any domain against the accepted cycle (without one, base). NotComparable where that measured other data."""
    lab, pairs = study.lab, study.every_pair
    cycle = accepted_cycle(lab)
    found = compared(study, None if cycle is None else earlier(lab, cycle, REGRESSION, [pair.id for pair in pairs]))
    worst, share = lowest_share(found.change, found.effect, found.domains, lab.alpha(WORST_DOMAIN), lab.rng(WORST_DOMAIN))
    base = lab.recordings.forced_choice(lab.base, pairs).metric(PRIMARY)
    flips = flipped(base + found.before, base + found.after)
    lost = [pair.id for pair, flip in zip(pairs, flips, strict=True) if flip]
    rows = [] if worst is None else [{"cell": name, "estimate": mean, "low": low, "high": high} for name, mean, low, high in worst.means]
    return lab.measurement(
        WORST_DOMAIN,
        UNIT_OF_EFFECT,
        share,
        pairs=pairs,
        values=found.change,
        series=rows,
        unchanged=found.unchanged,
        null={
            "kind": f"{found.against}; values by scenario are changes in nats",
            "worst domain": rows[0]["cell"] if rows else None,
            "scenarios flipped against the behavior": len(lost),
            "the first of them": ", ".join(lost[:5]),
        },
        exhibits=[] if worst is None else [exhibits.change_by_domain(lab, worst, found.against)],
    )


def lowest_share(
    change: Floats, effect: Floats, domains: Names, alpha: float, rng: np.random.Generator
) -> tuple[WorstGroup | None, Estimated]:
    """The domain that changed least or lost most, as shares of the effect: all [pairs].

    None and the reason where the effect is not above 0, or values have no variance; no change anywhere is exactly 0.
    """
    if not change.any():
        return None, Estimated(Estimate.exact(0.0, len(change), alpha))
    unit = float(effect.mean())
    if unit <= 0:
        return None, Estimated(None, f"there is no effect to take a share of: it is {unit:.3g} nats")
    try:
        worst = worst_group(change / unit, domains, alpha, rng)
    except DegenerateSample as refused:
        return None, Estimated(None, refused.reason)
    return worst, Estimated(worst.estimate)


def flipped(before: Floats, after: Floats) -> Flags:
    """Which scenarios' log-odds [pairs] were above 0 and are below it now."""
    return np.asarray((before > 0) & (after < 0))
