"""Q1: How many examples until something measurable changes?

The model is trained on 1, 5, 10, 20 and 50 examples, several seeds each, and beside every training stands a sham of the same size on
neutral conversations. Two regimes: a stream (one pass, one example a step) and matched steps (the same number of steps whatever the
number of examples). Measured on scenarios from unseen domains: the log-odds of the behavior, and what happened inside (attention where
the reply starts: how much changed, and in which direction; every head's output). The knee is the smallest number that reaches three
quarters of the effect of 50, shown and not guessed; the onset is the smallest whose effect over sham is shown above zero, and says
whether training can be continuous, batched or nightly.
"""
