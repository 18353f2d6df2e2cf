"""Pure functions from arrays to results: no torch, no pytest, no files; random numbers come from a generator that is passed in."""
