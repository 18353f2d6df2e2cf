"""Does a trained behavior degrade, and does the memory graph notice?

The gates. `regression`: the candidate's log-odds on all test scenarios against those of the accepted cycle, scenario by
scenario, as a share of what a whole training moves. `judged_rate`: the share of sampled replies, four to a scenario,
that the judge labels positive, corrected for the errors it makes on held-out replies; because the log-odds of written
completions can stay while what the model says of its own accord changes. `drift`: as `regression`, against the pinned
cycle, for decay so slow that no single step shows it. Before a cycle is accepted, `regression` and `judged_rate`
compare with base.

The experiment beside them. A healthy adapter of the suite's own is degraded by 12, 24, 48 and 96 counter-examples,
beside sham and further training. Two agents read its replies from outside. `surface-observe` ranks memories by
personalized PageRank, from the memories most similar to a conversation. `training-signal` flags failures.

The answer. Does the behavior's failure pattern come up more in degraded than in healthy replies, and more so than
patterns that have nothing to do with it? Does the flag rate rise? Does a control chart, which adds up flags over
cycles, raise an alarm? And do corrections of what was flagged heal more than corrections drawn at random? Memory and
agents can be yours (`--memory`, `--surface-observe`, `--training-signal`).
"""
