"""Recorders: context managers that read from one forward pass without changing it."""
