"""Can this subject's failures show a difficulty at all? A subject that fails at a constant rate is blind to it, and every answer is empty.

Such a subject fails as often at what is labeled obvious as at what is labeled subtle: "labels do not predict failure", "right" and
"calibrated" would all be said of it, and nothing of the dream loop. So nothing settles unless failures in one half of a scenario's rollouts
are shown to tell those in the other half, and failure rates are shown to differ between scenarios.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evals.q2.design import AUC, PLANNED
from evals.q2.study import Rolled
from harness.analysis.beta_binomial import fit, overdispersion
from harness.analysis.label_auc import ceiling
from harness.analysis.sample import DegenerateSample
from harness.data.measurement import Estimate


@dataclass(frozen=True)
class Instrument:
    """What the rollouts show of difficulty, whatever the labels say."""

    ceiling: Estimate | None
    """AUC of failures in one half of the rollouts for those in the other; None where the rollouts carry none."""
    correlation: Estimate | None
    """Correlation of two rollouts of one scenario, 0 where all scenarios fail at one rate; None where the rollouts carry none."""
    blind: str | None
    """Why nothing can be concluded, and what it would take; None where difficulty shows."""


def instrument(rolled: Rolled, rng: np.random.Generator) -> Instrument:
    """Whether both intervals lie above their bounds: the ceiling above `AUC`, the correlation above 0."""
    try:
        top = ceiling(rolled.outcomes, rolled.domains, 0.05, rng)
        alike = overdispersion(rolled.failures, rolled.rollouts, rolled.domains, 0.05, rng)
    except DegenerateSample as degenerate:
        return Instrument(None, None, f"the subject's failures show no difficulty: {degenerate.reason}")
    if top.low > AUC and alike.low > 0:
        return Instrument(top, alike, None)
    found = (
        f"one half of a scenario's rollouts tells the other with an AUC of {top.value:.3g} [{top.low:.3g}, {top.high:.3g}], "
        f"above {AUC:g} is needed; two rollouts correlate by {alike.value:.3g} [{alike.low:.3g}, {alike.high:.3g}], above 0 is needed"
    )
    return Instrument(top, alike, f"the subject's failures are not shown to depend on the scenario: {found}; {_price(rolled, top)}")


def _price(rolled: Rolled, top: Estimate) -> str:
    """The number of rollouts that would show it, if the failure probabilities are as fitted; or that none would."""
    spread = fit(rolled.failures, rolled.rollouts)
    enough = [count for count in PLANNED if count > rolled.rollouts and spread.auc(count // 2) - (top.value - top.low) > AUC]
    if enough:
        return f"about {enough[0]} rollouts of each scenario would show it (now {rolled.rollouts})"
    return (
        f"more rollouts would hardly show it, a label that knew every scenario's failure probability would reach {spread.auc():.3g}: "
        "it takes scenarios, or a subject, whose failures differ more"
    )
