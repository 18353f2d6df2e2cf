"""Which heads change, few or many?

The experiment. Base and the trained models, one a seed (or the candidate), read the same conversations. What every head
says, in attention and in Gated DeltaNet layers, is recorded before the output projection. This is done twice: first as
it is, which gives the whole change of a head; then with every layer fed base's residual stream, so that nothing is
inherited from earlier layers, which gives the change by the layer's own weights. Heads are ranked by the latter. Then
the causal test, activation patching: outputs of trained heads are put into base, the most changed heads first, until
half of what all heads together bring is recovered; where all heads are not shown to bring anything, nothing more is
patched. Random heads, and random heads from the same layers, are patched beside. Heads are ranked on one half of the
conversations and patched on the other.

The answer. Half is carried by few heads (at most 5 %), by many (over 30 %), or by a number between. What heads cannot
carry, because it sits in output projections and feed-forward layers, is reported as the remainder. Beside it: do halves
of the conversations agree on the top heads more than after a sham training that moved as far; which layer carries most;
and how low a LoRA rank is enough.
"""
