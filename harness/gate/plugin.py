"""The pytest plugin: options, markers, fixtures, verdict colors, exit codes, and what a run leaves behind.

An eval is a test with one of the markers gate, check or finding. Where no eval is selected the plugin does nothing: no
reports, no table, pytest's own exit code. Under xdist every worker makes its entries, the controller collects and reports.

Load it with `-p harness.gate.plugin` in the `addopts` of pytest's configuration, not from a conftest.py. pytest imports those too
late: it has by then taken the value of every unknown option for a path to test, and it imports the conftest.py found there.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from harness.data.errors import EngineDied, InputError, InstrumentError
from harness.data.settings import Settings
from harness.gate import hooks, options
from harness.gate.collector import Collector
from harness.gate.history.records import probe
from harness.gate.judging import Gate, check_of
from harness.gate.phase import verdict_of_phase
from harness.gate.reports import allure_results
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.judged import KINDS, NEEDED_BY_ALL, Check, by_id, error_entry, judged
from harness.gate.verdict.thresholds import Thresholds, load_thresholds
from harness.gate.verdict.waivers import load_waivers, waiver_for

SETTINGS = pytest.StashKey[Settings]()
THRESHOLDS = pytest.StashKey[Thresholds]()
PREFLIGHT_ENTRIES = pytest.StashKey[dict[str, tuple[Entry, ...]]]()
"""On the configuration: behavior's name to its preflight entries, measured once in this process."""
ITEM_ENTRIES = pytest.StashKey[list[Entry]]()
"""On a test: the entries it has brought so far."""
EXCHANGE = pytest.StashKey[Path]()
"""Folder in which xdist workers leave what they selected."""

LOG = logging.getLogger("evals")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declares the hooks that a project may implement."""
    pluginmanager.add_hookspecs(hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the options."""
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Reads the options; a value that is not allowed is a UsageError. A collector is registered in every process that is no worker."""
    for kind in KINDS:
        config.addinivalue_line("markers", f'{kind}(id, needs=()): a behavioral eval; id as in thresholds.toml, such as "q1.knee"')
    try:
        settings = options.settings_from(config)
    except pytest.UsageError:
        if _is_run_of_evals(config):
            Collector(config, options.settings_of_reports(config)).announce()
        raise
    config.stash[PREFLIGHT_ENTRIES] = {}
    if _on_worker(config):
        config.stash[SETTINGS] = settings
        return
    collector = Collector(config, settings)
    config.stash[SETTINGS] = collector.settings
    config.option.evals_cycle = collector.settings.cycle
    config.pluginmanager.register(collector, "evals-collector")
    if _is_run_of_evals(config):
        collector.announce()
        collector.prepare_reports()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Everything a person typed is checked here, before anything loads."""
    config = session.config
    if not _is_run_of_evals(config):
        return
    settings = config.stash[SETTINGS]
    try:
        config.stash[THRESHOLDS] = load_thresholds(settings.thresholds).under(settings.profile)
        load_waivers(settings.waivers, config.stash[THRESHOLDS])
        probe(settings.history_path)
        config.hook.pytest_evals_validate(settings=settings)
    except InputError as error:
        raise pytest.UsageError(str(error)) from None
    _collector(config).clear_results()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Evals that take `behavior`, directly or through another fixture, run once for each --behavior."""
    if "behavior" in metafunc.fixturenames and any(metafunc.definition.iter_markers(kind) for kind in KINDS):
        behaviors = metafunc.config.stash[SETTINGS].behaviors
        ids = [options.behavior_name(behavior) for behavior in behaviors]
        metafunc.parametrize("behavior", behaviors, ids=ids, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Says which checks were selected; from a worker through the exchange folder, which outlives a crash."""
    config = session.config
    checks = [check for check in map(check_of, session.items) if check is not None]
    if not _on_worker(config):
        _collector(config).select(checks)
        return
    folder = Path(config.workerinput["evals_exchange"])  # type: ignore[attr-defined]
    draft = folder / f"{config.workerinput['workerid']}.draft"  # type: ignore[attr-defined]
    draft.write_text(json.dumps([asdict(check) for check in checks]), encoding="utf-8")
    draft.rename(folder / "selected.json")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist, on the controller: tells a worker where to leave what it selected."""
    config: pytest.Config = node.config
    if EXCHANGE not in config.stash:
        folder = Path(tempfile.mkdtemp(prefix="evals-"))
        config.stash[EXCHANGE] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        _collector(config).exchange = folder
    node.workerinput["evals_exchange"] = str(config.stash[EXCHANGE])


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where no test used hypothesis, its plugin has nothing to say at the end, and would load the whole library to find that out."""
    if "hypothesis" not in sys.modules:
        session.config.pluginmanager.unregister(name="hypothesispytest")


@pytest.fixture(scope="session")
def settings(pytestconfig: pytest.Config) -> Settings:
    """Every setting of this run."""
    return pytestconfig.stash[SETTINGS]


@pytest.fixture(scope="session")
def thresholds(pytestconfig: pytest.Config) -> Thresholds:
    """thresholds.toml, read and checked."""
    return _thresholds(pytestconfig)


@pytest.fixture(scope="session")
def progress(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """`progress("training arm 3 of 30")` prints a line although output is captured; an xdist worker shares the terminal's stderr."""
    terminal = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")

    def say(text: str) -> None:
        LOG.info(text)
        if capture is None:
            return
        with capture.global_and_fixture_disabled():
            if _on_worker(pytestconfig):
                print(f"  {text}", file=sys.stderr, flush=True)
            elif terminal is not None:
                terminal.ensure_newline()
                terminal.write_line(f"  {text}", bold=False)
                terminal.flush()

    return say


@pytest.fixture
def gate(request: pytest.FixtureRequest, settings: Settings, thresholds: Thresholds) -> Gate:
    """`gate.judge(measurement)`: records the verdict and ends the test accordingly."""
    check = check_of(request.node)
    if check is None:
        raise InstrumentError(f"{request.node.nodeid} takes `gate` but has none of the markers gate, check, finding")
    record = request.node.stash.setdefault(ITEM_ENTRIES, []).append
    preflight: dict[str, Entry] = {}
    if not check.is_preflight:
        entries = _preflight_entries(request, check.behavior or options.behavior_name(settings.behaviors[0]))
        if entries is None:
            check = _without_preflight(check)
        else:
            for entry in entries:
                record(entry)
            preflight = by_id(entries)
    return Gate(check, options.subject_name(settings), thresholds, preflight, record)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuses a test that is a gate by its marker alone, which would block nothing, or by thresholds.toml alone: it would block unseen."""
    check = check_of(item)
    if check is None:
        return
    item.stash[ITEM_ENTRIES] = []
    allure_results.name_test(item.nodeid)
    config = item.config
    threshold = _thresholds(config).for_check(check.id, options.subject_name(config.stash[SETTINGS]), check.behavior)
    if (check.kind == "gate") != (threshold is not None and threshold.kind == "gate"):
        says = f"kind {threshold.kind}" if threshold is not None else "nothing"
        raise InstrumentError(f"{check.id} is marked {check.kind} but {_thresholds(config).path.name} says {says} of it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Hangs the test's entries on its report, which carries them to the controller as JSON."""
    report = yield
    check = check_of(item)
    if check is None:
        return report
    entries = item.stash.setdefault(ITEM_ENTRIES, [])
    own = next((entry for entry in entries if entry.nodeid == check.nodeid), None)
    verdict = verdict_of_phase(check, own, report, call)
    if verdict is not None:
        if own is not None:
            entries.remove(own)
            own = replace(own, verdict=verdict)
        else:
            blank = error_entry(check, options.subject_name(item.config.stash[SETTINGS]), _thresholds(item.config), "")
            own = replace(blank, verdict=verdict)
        entries.append(own)
    if own is not None:
        report.evals_outcome = "waived" if _is_waived(item.config, own) else own.verdict.outcome
    report.evals_engine_died = call.excinfo is not None and isinstance(call.excinfo.value, EngineDied)
    report.evals_entries = [entry.dumps() for entry in entries]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: Any) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """`?` in yellow for inconclusive, w for a waived gate, E for a broken instrument; all leave pytest's failed count alone."""
    outcome = getattr(report, "evals_outcome", None)
    if not report.failed:
        return None
    if outcome == "inconclusive":
        return "inconclusive", "?", ("INCONCLUSIVE", {"yellow": True})
    if outcome == "waived":
        return "waived", "w", ("WAIVED", {"yellow": True})
    if outcome == "error":
        return "error", "E", ("ERROR", {"red": True})
    return None


def _preflight_entries(request: pytest.FixtureRequest, behavior: str) -> tuple[Entry, ...] | None:
    """The behavior's preflight entries, measured when first asked for; None where the project defines no fixture `preflight`."""
    config = request.config
    known = config.stash[PREFLIGHT_ENTRIES]
    if behavior not in known:
        try:
            preflight = request.getfixturevalue("preflight")
        except pytest.FixtureLookupError as error:
            if error.argname == "preflight":
                return None
            raise
        measurements = preflight(behavior)
        subject = options.subject_name(config.stash[SETTINGS])
        known[behavior] = tuple(judged(measurement, None, subject, _thresholds(config)) for measurement in measurements)
    return known[behavior]


def _without_preflight(check: Check) -> Check:
    """In a project without preflight a check rests on what its marker names and on nothing else."""
    return replace(check, needs=tuple(id for id in check.needs if id not in NEEDED_BY_ALL))


def _is_waived(config: pytest.Config, entry: Entry) -> bool:
    settings = config.stash[SETTINGS]
    if entry.kind != "gate":
        return False
    waivers = load_waivers(settings.waivers, _thresholds(config))
    return waiver_for(waivers, entry.id, entry.behavior, entry.verdict.outcome, str(settings.cycle), date.today()) is not None


def _thresholds(config: pytest.Config) -> Thresholds:
    if THRESHOLDS not in config.stash:
        settings = config.stash[SETTINGS]
        config.stash[THRESHOLDS] = load_thresholds(settings.thresholds).under(settings.profile)
    return config.stash[THRESHOLDS]


def _evals_among_arguments(config: pytest.Config) -> bool:
    """Whether an argument lies in a folder of evals, or holds one (`pytest` without arguments in the root does)."""
    paths = ((config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args)
    return any(options.in_eval_folder(config, path, or_above=True) for path in paths)


def _collector(config: pytest.Config) -> Collector:
    collector = config.pluginmanager.get_plugin("evals-collector")
    assert isinstance(collector, Collector)
    return collector


def _is_run_of_evals(config: pytest.Config) -> bool:
    """Whether this process is the one that reports, and evals are to be run."""
    return not _on_worker(config) and not config.option.collectonly and _evals_among_arguments(config)


def _on_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
