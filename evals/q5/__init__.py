"""Can a steering vector carry a complex behavior?

The experiment. A vector is read from all training pairs: the mean residual stream of the positive completions minus
that of the negative ones, at five relative depths and at the full-attention layers nearest to them. It is added to the
residual stream while the model scores scenarios from domains it was not read from. Its null are 127 vectors read from
the same pairs with labels shuffled. Each vector, the true one and every null, chooses its layer and dose on development
data by one rule, from gradients instead of trials: the largest dose whose predicted cost in language stays below the
bound with its whole interval, at the layer where the predicted shift stands highest among all vectors. Only the chosen
cells are then run on test scenarios. Beside them stand the reversed vector, a vector read from 20 pairs only, a length
vector, a prompt that asks for the behavior, the trained adapter (or the candidate), directions that should be refused,
and the same experiment on a simple feature, sentiment.

The answer. A pass means: the direction is in the base model, it ranks among the first twentieth of its null, and using
it neither breaks the language nor makes the model obey directions that it should refuse. A fail of `effect` means that
whatever the direction does is less than what would matter. `viability` says whether a complex behavior is as
steerable as a simple feature. The question is about the base: no verdict rests on the candidate.
"""
