"""From a folder of pairs to a behavior: reading it, checking it, writing the skeleton of a new one."""
