"""How many examples until something measurable changes?

The experiment. LoRA adapters are trained on 1, 5, 10, 20 and 50 examples, under several seeds. Beside each stands a
sham: the same training on neutral conversations, equal in number, steps, rate and length. An adapter trained on the
swapped completions (opposite) shows which metrics can tell a behavior from its contrary. There are two regimes, because
with epochs the number of examples and the number of steps are confounded: a stream (one pass, one example a step) and
matched steps (the same number of steps for any number of examples). Measured on scenarios from domains that no training
saw: the log-odds of the behavior, and what happened inside where the reply starts (how much attention moved and in
which direction, and the output of every head).

The answer. The knee is the smallest number of examples that is shown to reach three quarters of the effect of 50. The
onset is the smallest number whose effect over sham is shown to be above zero: up to 5 examples training can be
continuous, up to 50 it goes in batches, beyond that nightly. Both rest on the stream. The question is about the base: a
candidate's shift is shown beside, and no verdict rests on it.
"""
