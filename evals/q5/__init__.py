"""Can a steering vector carry a complex behavior?

The experiment. A vector is read from all training pairs: the mean residual stream of the positive completions minus
that of the negative ones, at five relative depths and at the full-attention layers nearest to them. It is added to the
residual stream while the model scores scenarios from domains it was not read from. Layer and dose are chosen on
development pairs alone: at each layer the dose that moves the log-odds most among those that keep the language; of
these, the one that stands highest above ten null vectors at its place. Then, on test scenarios, the vector meets its
null: random vectors and vectors from shuffled labels, of the same length at the same place. Beside it stand the
reversed vector, a vector read from 20 pairs only, a length vector, a prompt that asks for the behavior, the trained
adapter (or the candidate), directions that should be refused, and the same experiment on a simple feature, sentiment.

The answer. A pass means: the direction is in the base model, it is more than chance, and using it neither breaks the
language nor makes the model obey directions that it should refuse. `viability` says whether a complex behavior is as
steerable as a simple feature. The question is about the base: no verdict rests on the candidate.
"""
