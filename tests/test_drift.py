"""Slow decay: each step passes q4.regression, and q4.drift catches it against the pinned cycle. Simulated scenarios, no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.__main__ import app
from harness.analysis.ratios import ratio_interval
from harness.data.errors import InputError
from harness.data.measurement import Measurement, Spread
from harness.data.settings import PROJECT, Settings
from harness.data.verdict import Verdict
from harness.experiment.seed_spread import read_calibration
from harness.gate.history import records as history
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run
from harness.gate.verdict.thresholds import load_thresholds
from harness.gate.verdict.verdicts import verdict_on

THRESHOLDS = load_thresholds(PROJECT / "thresholds.toml")
CALIBRATED = next(iter(read_calibration(PROJECT / "calibration.json")["subjects"].values()))
EFFECT = 0.6
"""Mean effect of a whole training, nats."""
DOMAINS, SCENARIOS = 32, 224
"""Of the shipped behavior's test split."""
STEP = 0.05
"""Share of the full effect lost in each cycle."""
NEAR, FAR = 0.3, 1.1
"""Standard deviation over scenarios of a cycle's difference from the pinned one, in shares of the full effect: of a few steps that go on
from the accepted adapter, and of trainings from the beginning under new seeds (1.1 on the shipped weights)."""


def chain(decay: float, cycles: int, scatter: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds above base of every cycle [cycles + 1, scenarios], the whole training's, and the domains."""
    domains = np.repeat(np.arange(DOMAINS), SCENARIOS // DOMAINS)
    full = 0.6 + 0.2 * rng.standard_normal(DOMAINS)[domains] + 0.4 * rng.standard_normal(SCENARIOS)
    cycle = np.arange(cycles + 1)[:, None]
    noise = 0.3 * rng.standard_normal((cycles + 1, DOMAINS))[:, domains] + 0.95 * rng.standard_normal((cycles + 1, SCENARIOS))
    return full - 0.6 * decay * cycle + 0.6 * scatter / np.sqrt(2) * noise, full, domains


def verdicts(id: str, cycles: np.ndarray, full: np.ndarray, domains: np.ndarray, against: str, spread: str | None) -> list[str]:
    """Of every cycle after the first, against the one before it or against the first; `spread`: which of the calibrated ones."""
    threshold = THRESHOLDS.for_check(id, "tiny-hybrid", "listening")
    assert threshold is not None
    known = None if spread is None else Spread(**CALIBRATED[spread][id]).in_units_of(EFFECT)
    found = []
    for k in range(1, len(cycles)):
        change = cycles[k] - (cycles[k - 1] if against == "step" else cycles[0])
        estimate = ratio_interval(change, full, domains, threshold.alpha)
        found.append(verdict_on(Measurement(id, "listening", "share", estimate, spread=known), threshold).outcome)
    return found


@pytest.mark.parametrize(("scatter", "spread", "within"), [(NEAR, None, 6), (NEAR, "continued", 7), (FAR, "retrained", 15)])
def test_decay_that_no_step_shows_is_caught_against_the_pinned_cycle(scatter: float, spread: str | None, within: int) -> None:
    """The price of knowing the seeds: from-scratch trainings differ so much that decay takes two or three times as long to show."""
    steps, caught = [], []
    for seed in range(20):
        cycles, full, domains = chain(STEP, 18, scatter, np.random.default_rng(seed))
        steps += verdicts("q4.regression", cycles, full, domains, "step", spread)
        drift = verdicts("q4.drift", cycles, full, domains, "pinned", spread)
        caught.append(next((k + 1 for k, outcome in enumerate(drift) if outcome != "pass"), None))
    assert steps.count("pass") >= 0.95 * len(steps)
    assert all(cycle is not None for cycle in caught)
    assert np.median([cycle for cycle in caught if cycle is not None]) <= within


@pytest.mark.parametrize(("scatter", "spread"), [(NEAR, "continued"), (FAR, "retrained")])
def test_a_chain_without_decay_is_left_alone(scatter: float, spread: str) -> None:
    outcomes = []
    for seed in range(20):
        outcomes += verdicts("q4.drift", *chain(0.0, 12, scatter, np.random.default_rng(seed)), "pinned", spread)
    assert outcomes.count("fail") == 0 and outcomes.count("pass") >= 0.95 * len(outcomes)


def recorded(path: Path, *names: str) -> None:
    for name in names:
        entry = Entry("q4.regression", "listening", "gate", Verdict("pass", "0", "fine"))
        history.append_to(path, Run(Settings(), name, "2026-01-01T00:00:00+00:00", (entry,), (), complete=True))


def test_accepting_moves_the_step_and_never_the_pin(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    assert history.pinned(path) is None
    recorded(path, "monday", "tuesday", "wednesday")
    for cycle in ("monday", "tuesday", "wednesday"):
        history.accept(path, cycle)
    assert (history.last_accepted(path), history.pinned(path)) == ("wednesday", "monday")


def test_a_new_pin_takes_a_command_and_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    recorded(path, "monday", "tuesday")
    history.accept(path, "monday")
    with pytest.raises(InputError, match="pinned only with a reason"):
        history.pin(path, "tuesday", " ")
    with pytest.raises(InputError, match="cycle sunday: not in"):
        history.pin(path, "sunday", "why not")
    assert history.pinned(path) == "monday"
    ask = ("pin", "tuesday", "--history", str(path))
    assert CliRunner().invoke(app, [*ask]).exit_code != 0
    done = CliRunner().invoke(app, [*ask, "--reason", "the new data set starts here"])
    assert (done.exit_code, done.stdout, history.pinned(path)) == (0, "tuesday is pinned now\n", "tuesday")
