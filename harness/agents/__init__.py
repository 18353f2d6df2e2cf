"""From a conversation to what an agent says of it: activations of memory nodes, or a flag."""
