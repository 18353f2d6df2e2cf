"""Q7's sizes, cut-offs and ids, each with its reason. Nothing else repeats them."""

from __future__ import annotations

SEPARATION, STATE_SWAP, DISPOSITION = "q7.separation", "q7.state_swap", "q7.disposition"

ADAPTERS = 8
"""Fewest trainings of each kind, which a gain in separation is replicated over, the seeds of Q1's stream; a profile with more seeds has one
training for each."""
RANKED = 19
"""Sham trainings that a given candidate is ranked among under the full profile: the first of 20 places has probability .05."""
DIRECTIONS = 40
"""Conversations with a direction, spread over the domains; as many reports and as much small talk; test scenarios for state patching."""
SIZED_ON = 20
"""Conversations on which the change of the states is read: the search for a sham of the same size reads it at many rungs."""
OWN, LEARNED = "base's own separation", "what training moves"
"""What the smallest gain of interest is a share of, and the smallest loss under state patching: the effect of training over sham."""
BROUGHT = 3
"""Adapters of each kind whose states are put into base: shown beside, no answer rests on them."""
UNCHANGED = 0.01
"""A relative change of every subject's states below this is called none."""
