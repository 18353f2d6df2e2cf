"""Does the dream loop make scenarios of the right difficulty?

The experiment. A dream loop invents a hundred scenarios. It is seeded by walks over the memory graph that start at
recent patterns. Repeated and unreadable scenarios are dropped; each of the others keeps the memories it came from.
Before anybody answers, a model of difficulty labels each one obvious, middling or subtle. That model was fitted to
hand-labeled turns, never to the subject. Then the trained arm (or the candidate) answers each scenario eight times
(`--profile full`: 16), and the judge says which replies failed. A control set is dreamed without seeds. Scenarios from
a program or a file of yours (`--dream-loop`, `--dreams`) are treated in the same way.

The answer. Four findings. Does the label tell failures from successes (AUC above .6)? Is the share labeled hard the
share that fails (within .15)? Do at least two scenarios in five fail neither nearly always nor nearly never, so that
something can be learned from them? And which temperature of the dream loop would make it so? None of them settles on a subject that is
blind to difficulty: one half of a scenario's replies must tell the other half (AUC shown above .6), and failure rates
must be shown to differ. A subject that fails at one rate everywhere says nothing of the dream loop.
"""
