"""Is the instrument fit to judge anything?

The experiment. Five gates, before any behavior is measured. `adapter_is_live`: the candidate changes the model's
log-probabilities. `finite`: weights and outputs hold no NaN and no infinity. `data`: the behavior's pairs do not give
the answer away by length, by repeated wording or by near-duplicates. `judge`: the judge of free replies is right on
completions it was not fitted to, and on each kind of contrast made of them (negated, retracted, about another scenario,
truncated, scrambled). `engines_agree`: vLLM gives the numbers of transformers; it applies under `--engine
vllm` only.

The answer. A red line here says nothing about the candidate: mend the instrument first. While `finite` or `data` is
red, every other check is inconclusive. Each other check names what else it needs, and is inconclusive while that is
red.
"""
