"""How often does the gate go red on nothing, and how often does it miss what was planted?

The experiment. Runs of the gate are simulated from recordings: the functions that make the measurements of a run,
judged under thresholds.toml. Nothing was lost: two adapters trained on the same data under different seeds, or one
adapter with its samples drawn again. Something was planted: counter-examples at measured doses, noise in the weights,
an adapter merged twice or with the wrong sign, a quantized one, one trained on another behavior, one that does nothing.
Checks that do not depend on the candidate (data, judge) are left out.

The answer. A false alarm is a run of the first sort in which at least one gate fails. A miss is a run of the second
sort in which no gate is other than green. `python -m harness calibrate` counts both and writes calibration.json, which
docs/error-rates.md, the report's page and the gate itself read: the gate must know the seed-to-seed spread before it
can call a difference a loss.
"""
