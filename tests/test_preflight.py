"""evals/preflight/checks.py: a handful's scores are asked once of the same engine, and again of another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.preflight import checks
from evals.preflight.checks import adapter_is_live, score_handful
from fixtures.laboratory import make_lab
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.settings import Settings
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.made_with import made_with
from harness.experiment.lab import Lab
from harness.gate.verdict.thresholds import load_thresholds
from harness.readouts.recordings import Recordings
from harness.store import Store
from harness.subjects.named import model_layer_kinds


class Counting(HFEngine):
    """Counts passes."""

    passes = 0

    def score_each(self, *arguments: Any) -> Any:
        self.passes += 1
        return super().score_each(*arguments)


@pytest.fixture
def lab(tiny_llama: Subject, make_adapter: Any, tmp_path: Path) -> Lab:
    settings, behavior = Settings(reports=tmp_path), load_behavior(resolve_behavior("listening"))
    candidate, kinds = make_adapter(tiny_llama, tmp_path / "a"), model_layer_kinds(tiny_llama.base)
    store, thresholds = Store(tmp_path / "store"), load_thresholds(settings.thresholds)
    return make_lab(settings, behavior, tiny_llama, candidate, kinds, Counting(), store, thresholds, lambda _: None)


def passes(lab: Lab) -> int:
    engine: Any = lab.recordings.engine
    before = engine.passes
    score_handful(lab)
    return int(engine.passes - before)


def test_the_same_engine_is_asked_once(lab: Lab) -> None:
    first = score_handful(lab)
    assert passes(lab) == 0
    again = score_handful(lab)
    for ours, theirs in zip((*first.before, *first.after), (*again.before, *again.after), strict=True):
        assert ours.tokens == theirs.tokens and ours.offsets == theirs.offsets
        assert np.array_equal(ours.log_probabilities, theirs.log_probabilities)
    assert adapter_is_live(lab, first).estimate == adapter_is_live(lab, again).estimate


def test_an_engine_of_other_libraries_or_code_is_asked_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    score_handful(lab)
    monkeypatch.setattr(checks, "made_with", lambda: made_with() | {"peft": "99.9"})
    assert passes(lab) == 2
    assert passes(lab) == 0


def test_an_engine_outside_this_process_is_always_asked(lab: Lab) -> None:
    outside = replace(lab, recordings=Recordings(Counting(), lab.store))
    assert passes(outside) == passes(outside) == 2
