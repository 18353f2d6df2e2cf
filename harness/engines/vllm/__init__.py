"""The vLLM engine: in this process, in its own, or behind a server."""
