"""The gate on what is said: planted falls and gains of sampled replies, the accepted cycle it is held against, judges that fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.preflight import checks as preflight
from evals.q4.checks import MEASURES
from evals.q4.design import ID, SAMPLES, SHOWN
from evals.q4.study import Study
from fixtures.laboratory import make_lab
from fixtures.memory import load_memory
from fixtures.models.figures import TINY_HYBRID
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Message, Pair
from harness.data.measurement import Measurement
from harness.data.settings import PROJECT, Settings
from harness.data.subject import Subject
from harness.data.verdict import Verdict
from harness.engines.hf.engine import HFEngine
from harness.experiment.lab import Lab
from harness.gate.history import records as history
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run
from harness.gate.verdict.thresholds import load_thresholds
from harness.gate.verdict.verdicts import verdict_on as verdict
from harness.judges.contrasts import KINDS
from harness.judges.judge import Judge, JudgeError, Label
from harness.readouts.recordings import Recordings
from harness.store import Store
from harness.subjects.files import base_subject
from harness.subjects.named import model_layer_kinds

THRESHOLDS = load_thresholds(PROJECT / "thresholds.toml")
THRESHOLD = THRESHOLDS.for_check(ID, "tiny-hybrid", "listening")


TEST = load_behavior(resolve_behavior("listening")).split("test")


class Talker:
    """An engine whose subjects say yes to every scenario with a chance of their own, and otherwise no."""

    name, numerics = "hf", "float32"

    def __init__(self, chances: dict[str, float]) -> None:
        self.chances = chances

    def generate_each(
        self, subject: Subject, prompts: Sequence[tuple[Message, ...]], *, seeds: Sequence[int], **rest: Any
    ) -> list[list[str]]:
        draws = [np.random.default_rng([seed, len(subject.name)]).random(len(prompts)) for seed in seeds]
        return [["yes" if one < self.chances[subject.name] else "no" for one in row] for row in draws]


class Listener:
    """A judge that takes yes and every positive completion for the behavior."""

    name, digest = "listener", "listener-1"
    known = frozenset(pair.positive for pair in load_behavior(resolve_behavior("listening")).pairs)

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        return "positive" if reply == "yes" or (reply in self.known and self.knows(messages, reply)) else "negative"

    def knows(self, messages: Sequence[Message], reply: str) -> bool:
        return any(pair.positive == reply and pair.messages == tuple(messages) for pair in TEST)

    def labels_anew(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        return self.labels(conversations, replies)

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        return [self.label(messages, reply) for messages, reply in zip(conversations, replies, strict=True)]

    def score(self, messages: Sequence[Message], reply: str) -> float:
        return float(reply == "yes")


def lab_of(tmp_path: Path, chances: dict[str, float]) -> Lab:
    settings = Settings(store=tmp_path / "store", reports=tmp_path / "reports", calibration=tmp_path / "none.json", cycle="now")
    base, behavior = base_subject("tiny-hybrid", TINY_HYBRID), load_behavior(resolve_behavior("listening"))
    store = Store(settings.store)
    made = make_lab(settings, behavior, base, None, model_layer_kinds(TINY_HYBRID), HFEngine(), store, THRESHOLDS, lambda line: None)
    talker: Any = Talker(chances)
    return replace(made, candidate=replace(base, name="candidate", adapter_digest="candidate"), recordings=Recordings(talker, store))


def pairs_of(lab: Lab) -> tuple[Pair, ...]:
    return lab.behavior.split("test")


def no_agent() -> Any:
    raise AssertionError("the judged rate asks no agent")


def measure(lab: Lab, judge: Judge | None = None) -> Measurement:
    return MEASURES[ID](Study(lab, load_memory(None), no_agent, no_agent, lambda: judge or Listener()))


def accepted(lab: Lab, measured: Measurement) -> Lab:
    """The lab after a cycle with this measurement was accepted."""
    entry = Entry(measured.id, "listening", "gate", Verdict("pass", "0", "fine"), measured)
    history.append_to(lab.settings.history_path, Run(lab.settings, "before", "2026-01-01T00:00:00+00:00", (entry,), (), complete=True))
    history.accept(lab.settings.history_path, "before", force="a test")
    return lab


@pytest.mark.parametrize(("candidate", "outcome"), [(0.85, "pass"), (0.75, "pass"), (0.68, "inconclusive"), (0.5, "fail"), (0.0, "fail")])
def test_a_fall_of_what_is_said_is_seen_whatever_the_log_odds_do(tmp_path: Path, candidate: float, outcome: str) -> None:
    lab = lab_of(tmp_path, {"tiny-hybrid": 0.75, "candidate": candidate})
    measured = measure(lab)
    assert verdict(measured, THRESHOLD).outcome == outcome
    assert measured.estimate is not None and measured.estimate.value == pytest.approx(candidate - 0.75, abs=0.05)
    assert measured.null is not None and measured.null["kind"].startswith("base") and measured.null["replies"] == 4 * len(pairs_of(lab))


def test_it_is_held_against_the_accepted_cycle_scenario_by_scenario(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {"tiny-hybrid": 0.2, "candidate": 0.8})
    first = measure(lab)
    assert first.estimate is not None and first.estimate.value == pytest.approx(0.6, abs=0.05) and first.spread is None
    lab = accepted(lab, first)
    again = measure(lab)
    assert again.estimate is not None and (again.estimate.value, again.estimate.low, again.estimate.high) == (0, 0, 0)
    assert again.null is not None and again.null["kind"].startswith("cycle before")
    worse = measure(replace(lab, candidate=replace(lab.base, adapter_digest="another")))
    assert worse.estimate is not None and worse.estimate.value == pytest.approx(-0.6, abs=0.05)
    assert verdict(worse, THRESHOLD).outcome == "fail"


def test_a_cycle_that_was_never_listened_to_is_no_baseline(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {"tiny-hybrid": 0.2, "candidate": 0.8})
    lab = accepted(lab, replace(measure(lab), id="q4.regression"))
    said = measure(lab)
    assert said.estimate is None and "cycle before has no q4.judged_rate[listening]" in str(said.reason)


def test_a_judge_that_does_not_answer_leaves_its_reason(tmp_path: Path) -> None:
    class Silent(Listener):
        def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
            raise JudgeError("judge http://nowhere: could not be reached")

    measured = measure(lab_of(tmp_path, {"tiny-hybrid": 0.2, "candidate": 0.8}), Silent())
    assert (measured.estimate, measured.reason) == (None, "judge http://nowhere: could not be reached")


def test_the_replies_that_fell_most_are_shown_with_their_labels(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {"tiny-hybrid": 0.75, "candidate": 0.5})
    measured = measure(lab)
    plot, replies = measured.exhibits
    assert plot.path.read_bytes().startswith(b"\x89PNG")
    blocks = replies.path.read_text(encoding="utf-8").split("\n\n")
    changes = [float(block.split("rate changed by ")[1].split("\n")[0]) for block in blocks]
    assert len(blocks) == SHOWN and changes == sorted(changes) and changes[0] <= -0.75
    assert all(block.count("[positive] yes") + block.count("[negative] no") == SAMPLES for block in blocks)


class Opener(Listener):
    """A judge that reads openings: what a positive completion begins with is positive whatever follows."""

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        starts = {pair.positive[:12] for pair in TEST if pair.messages == tuple(messages)}
        return "positive" if reply == "yes" or reply[:12] in starts else "negative"


def test_a_judge_that_misses_a_kind_of_contrast_measures_nothing_and_says_which(tmp_path: Path) -> None:
    measured = measure(lab_of(tmp_path, {"tiny-hybrid": 0.2, "candidate": 0.8}), Opener())
    assert measured.estimate is None
    assert "the judge listener is right on only 0 of 224 retracted replies" in str(measured.reason)
    assert "a share below the 0.9 of preflight.judge" in str(measured.reason)


class Erring(Listener):
    """A judge that calls one in ten scenarios the other way round, replies and completions alike."""

    name, digest = "erring", "erring-1"
    turned = frozenset(pair.messages for pair in TEST[::10])

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        right = super().label(messages, reply) == "positive"
        return "positive" if right != (tuple(messages) in self.turned) else "negative"


def test_the_change_is_corrected_for_the_errors_of_the_judge(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {"tiny-hybrid": 0.2, "candidate": 0.8})
    wrong = sum(pair.messages in Erring.turned for pair in TEST) / len(TEST)
    lenient = replace(lab, thresholds=load_thresholds(write_bar(tmp_path, 0.85)))
    measured, naive = measure(lenient, Erring()), measure(lab)
    assert measured.estimate is not None and naive.estimate is not None
    assert measured.estimate.value == pytest.approx(naive.estimate.value, abs=0.05)
    labeled = next(row["estimate"] for row in measured.series if row["cell"].startswith("change as labeled"))
    assert labeled == pytest.approx((1 - 2 * wrong) * measured.estimate.value, abs=0.02)
    assert measured.null is not None and measured.null["sensitivity + specificity − 1"] == pytest.approx(1 - 2 * wrong, abs=0.02)


def write_bar(folder: Path, bar: float) -> Path:
    text = (PROJECT / "thresholds.toml").read_text(encoding="utf-8")
    written = folder / "thresholds.toml"
    written.write_text(text.replace("at_least = 0.9 ", f"at_least = {bar} "), encoding="utf-8")
    return written


@pytest.mark.parametrize("other", [{"digest": "listener-2"}, {"turned": frozenset(pair.messages for pair in TEST[:80])}])
def test_a_cycle_judged_by_another_judge_is_refused_by_name(tmp_path: Path, other: dict[str, Any]) -> None:
    lab = lab_of(tmp_path, {"tiny-hybrid": 0.2, "candidate": 0.8})
    lab = accepted(lab, measure(lab))
    swapped = type("Swapped", (Erring if "turned" in other else Listener,), {"name": "listener", "digest": "listener-1", **other})()
    lenient = replace(lab, thresholds=load_thresholds(write_bar(tmp_path, 0.5)))
    said = measure(lenient, swapped)
    assert said.estimate is None and "cycle before was measured with another judge (" in str(said.reason)
    assert measure(lenient).estimate is not None


def test_preflight_says_which_kind_the_judge_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, bar = lab_of(tmp_path, {}), THRESHOLDS.for_check("preflight.judge", "tiny-hybrid", "listening")
    monkeypatch.setattr(preflight, "judge_for", lambda *asked: Opener())
    found = preflight.judge(lab)
    assert found.unit == "share right of retracted replies" and verdict(found, bar).outcome == "fail"
    monkeypatch.setattr(preflight, "judge_for", lambda *asked: Listener())
    found = preflight.judge(lab)
    assert found.unit == "share right" and verdict(found, bar).outcome == "pass"
    assert [row["cell"] for row in found.series] == ["positive", "negative", *KINDS]
    assert found.estimate is not None and found.estimate.n == sum(row["n"] for row in found.series)
    assert found.estimate.clusters == len({pair.domain for pair in TEST})
