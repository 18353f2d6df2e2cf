"""Q3: Which heads change, few or many?

Base and trained model are teacher-forced on the same conversations. For every head, attention and Gated DeltaNet alike, the change of
what it says before the output projection: the whole change, and the part that its layer's own weights made (every layer is fed base's
residual stream, so nothing is inherited from the layers before), by which heads are ranked. Then the causal question: what trained heads
say is put into base, the most changed first, until half of what all heads together bring is recovered; held against random heads and
heads drawn layer by layer alike. Heads are ranked on one half of the conversations and patched on the other. What heads cannot carry
(changed output projections and feed-forward layers) is reported as the remainder. Beside it: whether halves of the conversations
agree on the top heads more than for a sham training that moved as far, the layers ranked, and how low a rank suffices.
"""
