"""Q5: Can a steering vector carry a complex behavior?

A vector is read from all training pairs (mean residual stream of the positive completions minus that of the negative ones) and added to
the residual stream while the model scores scenarios from domains that the vector was not read from. Layer and dose are chosen on
development pairs alone. The effect is held against random vectors and vectors from shuffled labels, of the same length at the same layer.
Beside it stand the opposite sign, a length vector, a prompt that asks for the behavior, the trained adapter, and the same experiment for
a simple feature, sentiment. A pass means: the direction is in the model, it does more than chance would, and using it neither breaks the
language nor makes the model obey directions that it should refuse.
"""
