"""Q2's sizes, cut-offs and ids, each with its reason. Nothing else repeats them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.dreams.difficulty import Difficulty

LABEL, CALIBRATION = "q2.label_auc", "q2.calibration"
LEARNABLE_SHARE, TEMPERATURE = "q2.learnable_share", "q2.temperature"
UNITS = {
    LABEL: "AUC",
    CALIBRATION: "share labeled hard minus failure rate",
    LEARNABLE_SHARE: "share of scenarios",
    TEMPERATURE: "temperature",
}
"""What the number of each check counts."""

SCENARIOS = 100
"""Scenarios dreamed at the loop's own temperature: a share of them is known to ± .1."""
CONTROL = 30
"""Scenarios dreamed without seeds: enough to see whether seeds matter at all (± .18); no answer rests on them."""
SWEPT = 60
"""Scenarios at each other temperature: their difference is known to ± .13. With fewer, none could be shown to lie within `CLOSE`."""
FEWEST = 20
"""Scenarios without which nothing is concluded: with fewer, every interval holds nearly every answer."""
ROLLOUTS = {"quick": 8, "full": 16}
"""Replies sampled to each scenario, by profile: 8 are enough for the beta-binomial fit, which allows for chance; 16 halve the variance."""
FIRST_SEED = 1000
"""Sampling seeds of rollouts start at FIRST_SEED · (the run's seed + 1), so that runs under two seeds share no rollout."""

OWN_TEMPERATURE = 0.7
"""What the dream loop is asked for unless its temperature is swept: varied scenarios that can still be read."""
SWEEP = {"quick": (0.4, 1.0), "full": (0.3, 0.5, 0.9, 1.1)}
"""Other temperatures, by profile, on both sides of the loop's own."""

AUC = 0.6
"""Labels predict failure above this: predicting one's own failure reaches about .55, a label worth having does better. Where not even the
rollouts of a scenario predict each other so well, nothing is concluded."""
PLANNED = (16, 32, 64, 128)
"""Rollouts of a scenario that a subject whose difficulty does not show is told to sample; more cost more than they say."""
HARDNESS: Mapping[Difficulty, float] = {"obvious": 0.0, "middling": 0.5, "subtle": 1.0}
"""What a label counts in the share labeled hard: the failure rate it stands for."""
CLOSE = 0.15
"""Labels are calibrated where the share labeled hard and the failure rate differ by less: not even half a step between two labels."""
LEARNABLE = (0.2, 0.8)
"""Failure probabilities between which a scenario teaches something: neither known nor hopeless."""
ENOUGH_LEARNABLE = 0.4
"""Share of scenarios that must be learnable for the difficulty to be right: two in five make a night of dreaming worthwhile."""
ON_AVERAGE = "calibrated on average"
"""Answer of a temperature whose difference lies within ± `CLOSE`."""

SHOWN = 5
"""Scenarios shown from either end, those that failed most and least."""
REPLIES_SHOWN = 2
"""Replies shown to each: more than one, because they differ."""
