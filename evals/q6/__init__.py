"""Does behavioral training help or hurt general ability?

The experiment. Backward transfer, after minus before, on what the training never touched: bits per byte of prose in
twelve domains; 171 programming tasks with hidden tests, run in a sandbox, from one-line functions up; 114 questions,
from small sums to several steps. Every task is sampled several times; the task is the unit. A tier in which base has
less than the gate's margin to lose cannot show harm: it is left out by name, and where nothing is left the gate does
not apply. Results of lm-evaluation-harness (`--lm-eval BEFORE AFTER`) are shown beside, in no gate.

The answer. Three gates say whether prose, code or answers got worse by more than the margin since the pinned cycle
(without one: since base). Where harm is shown, general conversations are mixed into the training in growing shares,
until it is gone; that share is the answer of `general_mix`. `positive_transfer` names what got better than after a
sham. One training is judged, not training as such: the suite's own, or the candidate.
"""
