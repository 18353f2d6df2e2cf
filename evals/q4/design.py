"""Q4's ids, units, sizes and what its checks rest on, each with its reason. Nothing else repeats them."""

from __future__ import annotations

from collections.abc import Mapping

from evals.preflight import design as preflight
from harness.arms.doses import CORRECTION_STEPS, EXAMPLES
from harness.readouts.forced_choice import UNIT as LOG_ODDS

REGRESSION, DRIFT = "q4.regression", "q4.drift"
WORST_DOMAIN, LEARNED = "q4.worst_domain", "q4.learned"
SURFACING, FLAGGING, DETECTION, SELF_HEALING = "q4.surfacing", "q4.flagging", "q4.detection", "q4.self_healing"
ID, UNIT = "q4.judged_rate", "share of replies"
"""Id and unit of the judged rate, which calibration measures too."""
UNIT_OF_EFFECT = "share of the training effect"
"""What a whole training moves is 1, so that one threshold fits models and behaviors whose log-odds differ in scale."""
UNITS: Mapping[str, str] = {
    REGRESSION: UNIT_OF_EFFECT,
    DRIFT: UNIT_OF_EFFECT,
    WORST_DOMAIN: UNIT_OF_EFFECT,
    LEARNED: UNIT_OF_EFFECT,
    ID: UNIT,
    SURFACING: "AUC above placebos",
    FLAGGING: "share of scenarios",
    DETECTION: "of the control limit",
    SELF_HEALING: LOG_ODDS,
}
LIVE = (preflight.ADAPTER_IS_LIVE,)
"""What a comparison of the tested adapter rests on."""
JUDGED = (preflight.JUDGE,)
"""What labels and flags rest on: the embedded training-signal reads replies with the judge."""
PROSE_GATE = "q6.perplexity"
"""The gate whose margin self_healing takes over: corrections that cost prose more are not called healing."""

SAMPLES = 4
"""Replies sampled to every test scenario for the judged rate. In simulations on the replies of 20 adapters, trained on the same data under
20 seeds, a fall of 20 points passed in 5 % of runs with two samples or three, and in none with four."""
SHOWN = 12
"""Scenarios whose replies are shown: those where the judged rate fell most."""
PLACEBOS = 5
"""Fewest placebo patterns. The failure pattern is held against their mean; the mean of fewer would depend on which ones they are."""
PROBES = 48
"""Fresh probes a cycle: with as many, 90 % of rises of the flag rate by .3 are caught within three cycles (tests/test_control_chart.py)."""
CLEAN, PLANTED = 6, 3
"""Simulated cycles of the healthy adapter, in which the chart should stay silent, then of the most degraded one, which must set it off."""
PROBES_FROM, TUNED_BY = 1000, 999
"""Reply seeds of the control chart: PROBES_FROM + the cycle's number for probes, TUNED_BY for the replies that the chart is tuned to."""
CANDIDATES_FROM = 100
"""Number of a candidate's first cycle, far above those of the simulated cycles: no candidate draws their probes again."""
CORRECTIONS = EXAMPLES * CORRECTION_STEPS
"""Most corrections in the closed loop: as many as one short cycle of training takes without seeing any twice."""
