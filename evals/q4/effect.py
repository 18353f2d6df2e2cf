"""The unit of Q4's gates on log-odds, and what the tested adapter gained or lost in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evals.baseline import Earlier
from evals.q4.study import Study
from harness.analysis.estimated import Estimated, estimated
from harness.analysis.intervals import mean_interval
from harness.analysis.ratios import ratio_interval
from harness.arms.cycles import healthy
from harness.data.arrays import Floats, Names
from harness.data.measurement import Estimate, Spread
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.readouts.forced_choice import PRIMARY


@dataclass(frozen=True)
class Compared:
    """The candidate against an earlier cycle or base, over all test pairs; values are log-odds above base's, in nats."""

    before: Floats  # [pairs]
    after: Floats  # [pairs]
    full: Floats  # [pairs]
    """After the suite's own whole training."""
    domains: Names  # [pairs]
    against: str
    """What it is compared with, in words."""
    earlier: Earlier | None
    """None: base."""

    @property
    def change(self) -> Floats:
        """What the candidate gained, [pairs]."""
        return self.after - self.before

    @property
    def effect(self) -> Floats:
        """What counts as 1, [pairs]: the smaller of a whole training's effect and of what the earlier cycle had over base."""
        return smaller(self.full, self.before if self.earlier else None)

    @property
    def unchanged(self) -> float | None:
        """The change of a candidate that is as good as the earlier cycle; None against base, where there is nothing to lose."""
        return None if self.earlier is None else 0.0

    def spread(self, lab: Lab, id: str) -> Spread | None:
        """How much trainings differ by luck, in shares of the effect; None against base."""
        return None if self.earlier is None else lab.seed_spread(id, self.earlier.continued, float(self.effect.mean()))


def compared(study: Study, since: Earlier | None) -> Compared:
    """The candidate and `since` (None: base)."""
    lab, pairs = study.lab, study.every_pair
    assert lab.candidate is not None
    after = lab.shift(lab.candidate, pairs).metric(PRIMARY)
    full = lab.shift(healthy(lab.arms, lab.settings.seed)[0], pairs).metric(PRIMARY)
    before = since.of([pair.id for pair in pairs]) if since else np.zeros_like(after)
    return Compared(before, after, full, domains_of(pairs), f"cycle {since.cycle}" if since else "base", since)


def smaller(full: Floats, before: Floats | None) -> Floats:
    """Whichever has the smaller mean, [pairs]: a weak training is not to be undone in the shadow of a strong one's effect."""
    return full if before is None or before.mean() >= full.mean() else before


def share_of_effect(change: Floats, effect: Floats, domains: Names, alpha: float) -> Estimated:
    """Mean of `change` over mean of `effect`, both [pairs] in nats, with `domains` [pairs]. No change anywhere is exactly 0.

    Where the effect is not shown to be above 0 there is nothing that a share could be lost of: no estimate, and the reason says what the
    change is in nats.
    """
    if not change.any():
        return Estimated(Estimate.exact(0.0, len(change), alpha))
    share = estimated(lambda: ratio_interval(change, effect, domains, alpha))
    if share.value is not None and effect.mean() > 0:
        return share
    moved = estimated(lambda: mean_interval(change, domains, alpha, np.random.default_rng(0)))
    said = moved.reason if moved.value is None else f"{moved.value.value:.3g} [{moved.value.low:.3g}, {moved.value.high:.3g}] nats"
    why = share.reason or "it is below 0"
    return Estimated(None, f"there is no effect to take a share of ({why}); the change itself is {said}")
