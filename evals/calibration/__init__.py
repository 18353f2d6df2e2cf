"""How often does the gate go red on nothing, and how often does it miss what was planted?

Pairs of adapters trained on the same data under different seeds, and an adapter against itself with its samples drawn again, go through the
gate: the functions that make the measurements of a run, judged under the thresholds of a run. So do planted regressions: counter-examples
at measured doses, noise in the weights, an adapter merged twice or with the wrong sign, a quantized one, one trained on another behavior,
one that does nothing. A false alarm is a run with at least one failing gate; a miss is a planted run in which no gate is other than
green. Checks that do not depend on the candidate (data, judge) are left out.

`python -m harness calibrate` makes calibration.json, which docs/error-rates.md, the report's page and the gate itself read: the gate must
know how much two trainings differ that have only the seed between them, before it can call a difference a loss.
"""
