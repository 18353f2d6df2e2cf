"""Q6: Does behavioral training help or hurt general ability?

Backward transfer, after minus before, on what the training never touched: bits per byte of prose from several domains, Python functions
run against hidden tests, and questions with a short answer, in tiers from easy to hard. Every task is sampled several times; the task is
the unit. Three gates say whether anything got worse by more than its margin since the pinned cycle (without one: base). A tier in which
base has less than that to lose cannot show harm: it is left out, and said so; where nothing is left the gate does not apply. Where harm
is shown, general conversations are mixed into the training, in growing shares, until it is gone. One training is judged, not training as
such: the suite's own, or the candidate.
"""
