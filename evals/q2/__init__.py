"""Q2: Does the dream loop make scenarios of the right difficulty?

A dream loop invents a hundred scenarios, seeded by walks over the memory graph that start at recent patterns. Each is labeled obvious,
middling or subtle by the features of a rubric, before anybody has answered it. Then the trained arm (or the candidate) answers each
eight times or more, and a judge says which replies failed. Does the label tell failures from successes? Is the share labeled hard the share
that fails? Do most scenarios lie where something can be learned, failing neither nearly always nor nearly never? And which temperature of
the dream loop would make it so? A control set is dreamed without seeds. Scenarios by a program or from a file are judged in the same way.
"""
