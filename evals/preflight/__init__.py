"""Preflight: is the instrument fit to judge anything?

Before any behavior is measured: the candidate must change the model's log-probabilities at all, weights and outputs must be finite,
the engines must agree, the behavior's data must not give the answer away, and the judge of free replies must be right on scenarios
it has not seen. A red line here means that what rests on it says nothing about the candidate: mend the instrument first.
"""
