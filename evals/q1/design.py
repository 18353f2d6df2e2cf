"""Q1's sizes, cut-offs and ids, each with its reason. Nothing else repeats them.

The numbers of examples (1, 5, 10, 20, 50) are `DOSES_OF_EXAMPLES` of the profile, because every other question trains on the most of them.
"""

from __future__ import annotations

from harness.data.arm import ArmKind, Regime
from harness.readouts.forced_choice import PRIMARY, Metric

EFFECT, ATTENTION, KNEE, ONSET = "q1.effect_at_max", "q1.attention_shift", "q1.knee", "q1.onset"
GROWS = (EFFECT, ATTENTION, KNEE, ONSET)
"""Checks to which more scenarios add something: all of them, each is a mean over scenarios."""

REGIMES: tuple[Regime, ...] = ("stream", "steps")
"""Both are shown: only matched steps tell the number of examples from the number of steps."""
RESTS_ON: Regime = "stream"
"""The regime of continuous training, which is what the question is about; every check rests on it."""
STREAM_SEEDS = 8
"""Fewest trainings of each kind in the stream. From eight on no t interval over seed means is needed; with three it is the whole width."""
STEPS_SEEDS = 1
"""Trainings of each kind in matched steps: they are shown, and no interval rests on them."""
MECHANISM_SEEDS = 3
"""Trainings whose view inside is drawn below the most examples: a curve is shown, and the check rests on the most examples of all seeds."""
KINDS: tuple[ArmKind, ...] = ("trained", "sham", "opposite")
"""Opposite at the most examples only: it shows that a metric follows what was trained, for which one point is enough."""
COMPARED: tuple[ArmKind, ...] = ("trained", "sham")
"""Kinds trained on every number of examples; an effect is the first minus the second."""
METRIC: Metric = PRIMARY
"""The metric that checks rest on, chosen from the table that `python -m evals.q1.metrics` writes."""
MODELS = ("tiny-hybrid", "smollm2-135m")
"""Models of that table: the shipped one, and one that was trained by others on text of all kinds."""

KNEE_SHARE = 0.25
"""Share of the effect at the most examples that may be missing at the knee: what is left to gain no longer pays for more examples."""
HALVES = 2
"""Parts of the domains between which directions are cross-fitted: with fewer domains a direction would be noisier."""
SHOWN = 5
"""Scenarios whose replies are shown, those that moved most: as many as are read."""
