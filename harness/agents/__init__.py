"""Agents that watch conversations: the embedded ones, and programs of the reader's own."""
