"""Engines score, generate, record and steer. Both speak `harness.engines.protocol.Engine`."""
