"""The memory graph and the agents that watch conversations from outside the model."""
