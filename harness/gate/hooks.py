"""The hook by which a project has its inputs checked, so that the gate needs to know none of its modules."""

from __future__ import annotations

from harness.data.settings import Settings


def pytest_evals_validate(settings: Settings) -> None:
    """Check what a person typed; raise InputError for the first thing that is wrong.

    Called once, in the process that pytest was started in, where evals are to run: before any test is collected and any model loaded.
    thresholds.toml and waivers.toml were read by then. A conftest.py or a plugin may implement it; all implementations are called.
    """
