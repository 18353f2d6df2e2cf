"""Registers the gate's plugin and the session fixtures; everything else lives beside what uses it."""

pytest_plugins = ["harness.gate.plugin", "fixtures.session"]
