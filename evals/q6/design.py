"""Q6's parts, ids, sizes and cut-offs, each with its reason. Nothing else repeats them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from evals.preflight.design import ADAPTER_IS_LIVE

Part = Literal["prose", "code", "reasoning", "lm-eval"]
"""A part of general ability; "lm-eval" is what lm-evaluation-harness measured, shown beside and in no gate."""
State = Literal["no worse", "harmed", "open"]
"""No worse: the 95 % interval clears the margin. Harmed: it does not, and lies entirely on the bad side. Open: neither."""

PARTS: tuple[Part, ...] = ("prose", "code", "reasoning")
"""The parts that have a gate."""
IDS: Mapping[Part, str] = {"prose": "q6.perplexity", "code": "q6.code", "reasoning": "q6.reasoning"}
UNITS: Mapping[Part, str] = {"prose": "bits per byte", "code": "share of tasks solved", "reasoning": "share of questions answered"}
TRANSFER, MIX = "q6.positive_transfer", "q6.general_mix"
UNIT_OF_GAIN, UNIT_OF_MIX = "gain over sham", "share of general data"
LIVE = (ADAPTER_IS_LIVE,)
"""What every check of Q6 rests on, beside what all checks rest on."""

SAMPLES = {"quick": 5, "full": 20}
"""Replies sampled a task, at most; `full` begins with those of `quick` and doubles them until a gate is decided."""
TEMPERATURE = 0.5
"""Below 1, where a slip of one token spoils whole programs and only adds noise; above 0, where there is nothing to average."""
FLOOR = 0.1
"""Of what guessing leaves, base must solve this share: a tier below it cannot show harm. Nor can a tier with less than the margin to lose:
on the shipped weights base solved .11 of the sums, 9 % of unchanged trainings were inconclusive about them, and none could have failed."""
MOST_TOKENS = {"one-liner": 80, "short": 160, "real": 400, "steps": 200}
"""Longest reply by tier; the others need no more than LONGEST."""
LONGEST = 60

GAIN_LEVEL = 0.025
"""A gain over sham counts where its one-sided p, adjusted over all domains and tiers, is at most this: a 95 % interval's upper half."""
SHARES = (0.1, 0.25, 0.5)
"""Shares of general data among all examples, tried one after the other; beyond half the behavior would be a side matter."""
TRANSCRIPTS = 8
"""Tasks whose replies are shown: those whose share moved most."""
