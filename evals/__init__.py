"""The evals: one folder a question.

The docstring of each folder's `__init__.py` has the question as its first line (it ends in "?"), then the experiment, then what an answer
means. It is the only source of all three: the README's table and the report take them from there.
"""
