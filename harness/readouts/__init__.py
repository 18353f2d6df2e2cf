"""From what an engine shows to arrays: log-odds, bits per byte, vectors, geometry of states."""
