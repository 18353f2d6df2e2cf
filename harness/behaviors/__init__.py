"""From a folder of pairs to a behavior: reading, checking, writing the skeleton of a new one."""
