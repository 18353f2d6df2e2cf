"""Refuses to go on where pytest read another configuration than this project's.

pyproject.toml names the suite's plugins (`addopts = -p …`), so that pytest knows their options before it looks for conftest.py files.
Where it does not know an option, it takes the option's value for a path to test and imports the conftest.py in it: with `--candidate`
that would run code out of an adapter's folder.
"""

from pathlib import Path

import pytest

PLUGINS = ("harness.gate.plugin", "fixtures.session")


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not all(map(pluginmanager.has_plugin, PLUGINS)):
        raise pytest.UsageError(
            f"pytest did not read {Path(__file__).with_name('pyproject.toml')}, which names the suite's plugins; "
            f"allowed: -c with that file, as in: pytest -c {Path(__file__).with_name('pyproject.toml')} evals"
        )
