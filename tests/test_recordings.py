"""harness/readouts/recordings.py: asked twice, computed once; everything that shapes an answer is part of its key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.data.behavior import Message, Pair
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Recorded, Sites, Steering, score_texts
from harness.readouts.forced_choice import METRICS, ForcedChoice, completions_of, forced_choice, metrics_key
from harness.readouts.recordings import Recordings, steering_key
from harness.store import Store
from tests.tolerance import NATS, ORDER, apart

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

pytestmark = pytest.mark.numeric

PAIRS = [
    Pair("a", "test", "d", (Message("user", "Paint the hall yellow."),), "I will paint the hall yellow.", "I would rather paint it blue."),
    Pair("b", "test", "d", (Message("user", "Bake two loaves."),), "Two loaves it is.", "What about a cake?"),
]
TEXTS = ["The baker opened his shop at six.", "It was cold."]
VECTOR = np.linspace(-1, 1, 48, dtype=np.float32)
SITES = Sites(attention=True, heads=True, residual_layers=(1, 2))


@pytest.fixture
def recordings(hf: HFEngine, tmp_path: Path) -> Recordings:
    return Recordings(hf, Store(tmp_path))


ASKED: dict[str, Callable[[Recordings, Subject], Any]] = {
    "forced choice": lambda r, s: r.forced_choice(s, PAIRS).arrays(),
    "steered choice": lambda r, s: r.forced_choice(s, PAIRS, Steering({1: VECTOR})).arrays(),
    "choices": lambda r, s: [c.arrays() for c in r.forced_choices(s, PAIRS, [Steering({1: VECTOR}), Steering({2: VECTOR})])],
    "text": lambda r, s: r.text_nll(s, TEXTS),
    "texts": lambda r, s: r.text_nlls(s, TEXTS, [Steering({1: VECTOR})]),
    "replies": lambda r, s: r.replies(s, [p.messages for p in PAIRS], seed=1),
}


@pytest.mark.parametrize("what", ASKED)
def test_a_second_run_computes_nothing(recordings: Recordings, tiny_hybrid: Subject, what: str) -> None:
    first = ASKED[what](recordings, tiny_hybrid)
    again = Recordings(Mute(), Store(recordings.store.root))  # type: ignore[arg-type]  # an engine that must not be asked
    np.testing.assert_equal(ASKED[what](again, tiny_hybrid), first)
    assert again.store.made == {}


def test_a_list_that_grew_asks_only_for_what_was_added(recordings: Recordings, tiny_hybrid: Subject) -> None:
    first = recordings.forced_choice(tiny_hybrid, PAIRS[:1])
    steered = recordings.forced_choices(tiny_hybrid, PAIRS[:1], [Steering({1: VECTOR})])
    rows = recordings.recorded(tiny_hybrid, completions_of(PAIRS[:1])[:1], SITES)
    made = dict(recordings.store.made)
    grown = replace(recordings, grown=(1, 2))
    both = grown.forced_choice(tiny_hybrid, PAIRS)
    np.testing.assert_array_equal(both.metric("at_decision")[:1], first.metric("at_decision"))
    assert apart(both.metric("at_decision"), recordings.forced_choice(tiny_hybrid, PAIRS).metric("at_decision"), size=NATS) <= ORDER
    (of_both,) = grown.forced_choices(tiny_hybrid, PAIRS, [Steering({1: VECTOR})])
    np.testing.assert_array_equal(of_both.metric("per_token")[:1], steered[0].metric("per_token"))
    recorded = grown.recorded(tiny_hybrid, completions_of(PAIRS)[::2], SITES)
    assert len(recorded) == 2
    np.testing.assert_array_equal(recorded[0].heads[0], rows[0].heads[0])
    assert recordings.store.made["forced-choice"] == made["forced-choice"] + 3  # two parts that were added, and the whole list above


@dataclass
class Mute:
    """An engine of the same name that cannot answer."""

    name: str = "hf"
    numerics: str = HFEngine().numerics

    def recorder(self, *_: Any) -> Mute:
        return self


def test_answers_are_the_engines(recordings: Recordings, hf: HFEngine, tiny_hybrid: Subject) -> None:
    expected = forced_choice(hf, tiny_hybrid, PAIRS)
    for metric in METRICS:
        np.testing.assert_array_equal(recordings.forced_choice(tiny_hybrid, PAIRS).metric(metric), expected.metric(metric))
    np.testing.assert_array_equal(recordings.text_nll(tiny_hybrid, TEXTS), [-s.per_token for s in score_texts(hf, tiny_hybrid, TEXTS)])


def test_many_steerings_in_one_go_are_those_one_by_one(recordings: Recordings, tiny_hybrid: Subject) -> None:
    steerings = [Steering({1: VECTOR}), Steering({2: -VECTOR}, "decode")]
    choices, nlls = recordings.forced_choices(tiny_hybrid, PAIRS, steerings), recordings.text_nlls(tiny_hybrid, TEXTS, steerings)
    for steering, choice, nll in zip(steerings, choices, nlls, strict=True):
        np.testing.assert_equal(choice.arrays(), recordings.forced_choice(tiny_hybrid, PAIRS, steering).arrays())
        np.testing.assert_array_equal(nll, recordings.text_nll(tiny_hybrid, TEXTS, steering))


def test_what_was_recorded_comes_back_whole(recordings: Recordings, hf: HFEngine, tiny_hybrid: Subject) -> None:
    expected = hf.record(tiny_hybrid, completions_of(PAIRS), SITES)
    for _ in range(2):
        for one, other in zip(recordings.recorded(tiny_hybrid, completions_of(PAIRS), SITES), expected, strict=True):
            same(one, other)
    assert recordings.store.made == {"recordings": 1}


def same(one: Recorded, other: Recorded) -> None:
    np.testing.assert_array_equal(np.asarray(one.attention), np.asarray(other.attention))
    assert one.norms == other.norms
    for mine, theirs in ((one.heads, other.heads), (one.residual, other.residual)):
        assert mine.keys() == theirs.keys()
        for layer in mine:
            assert mine[layer].dtype == np.float32
            np.testing.assert_array_equal(mine[layer], theirs[layer])


def test_what_was_not_asked_for_is_not_there(recordings: Recordings, tiny_hybrid: Subject) -> None:
    one = recordings.recorded(tiny_hybrid, completions_of(PAIRS), Sites(residual_layers=(0,)))[0]
    assert (one.attention, dict(one.heads), set(one.residual), set(one.norms)) == (None, {}, {0}, {0})


def test_everything_that_shapes_a_choice_is_in_its_key(
    recordings: Recordings, tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    adapted = make_adapter(tiny_hybrid, tmp_path / "a")
    reworded = [replace(PAIRS[0], positive="I will paint the hall red."), PAIRS[1]]
    recordings.forced_choice(tiny_hybrid, PAIRS)
    recordings.forced_choice(adapted, PAIRS)
    recordings.forced_choice(tiny_hybrid, PAIRS[::-1])
    recordings.forced_choice(tiny_hybrid, reworded)
    for steering in (Steering({1: VECTOR}), Steering({2: VECTOR}), Steering({1: 2 * VECTOR}), Steering({1: VECTOR}, "decode")):
        recordings.forced_choice(tiny_hybrid, PAIRS, steering)
    Recordings(HFEngine(fast=False), recordings.store).forced_choice(tiny_hybrid, PAIRS)
    assert recordings.store.made == {"forced-choice": 9}


def test_what_does_not_shape_a_choice_is_not_in_its_key(recordings: Recordings, tiny_hybrid: Subject) -> None:
    recordings.forced_choice(tiny_hybrid, PAIRS)
    recordings.forced_choice(replace(tiny_hybrid, name="renamed"), [replace(p, id="x" + p.id, split="dev") for p in PAIRS])
    assert recordings.store.made == {"forced-choice": 1}


# -- metrics -------------------------------------------------------------------------------------------------------


CHOICES: dict[str, Callable[[Recordings, Subject, Subject], Sequence[ForcedChoice]]] = {
    "forced choice": lambda r, s, _: [r.forced_choice(s, PAIRS)],
    "steered choices": lambda r, s, _: r.forced_choices(s, PAIRS, [Steering({1: VECTOR}), Steering({2: VECTOR})]),
    "patched heads": lambda r, s, donor: r.patched_heads(s, donor, PAIRS, [{0: (1,)}, {1: (0, 2)}]),
    "patched states": lambda r, s, donor: [r.patched_states(s, donor, PAIRS)],
}


def keys_in(store: Store) -> list[dict[str, Any]]:
    return [json.loads(entry.read_text())["key"] for entry in sorted(store.root.rglob("entry.json"))]


@pytest.mark.parametrize("what", CHOICES)
def test_a_new_metric_on_a_warm_store_is_computed(
    recordings: Recordings, tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    donor = make_adapter(tiny_hybrid, tmp_path / "donor")
    old = CHOICES[what](recordings, tiny_hybrid, donor)
    monkeypatch.setitem(METRICS, "first token", lambda _, positive, negative: positive.log_probabilities[0] - negative.log_probabilities[0])
    new = CHOICES[what](recordings, tiny_hybrid, donor)
    assert [choice.metric("first token").shape for choice in new] == [(len(PAIRS),)] * len(old)  # type: ignore[arg-type]  # made up here
    for one, other in zip(old, new, strict=True):
        np.testing.assert_equal(other.arrays(), one.arrays() | {"first token": other.arrays()["first token"]})
    kept = Recordings(Mute(), Store(recordings.store.root))  # type: ignore[arg-type]  # an engine that must not be asked
    assert [choice.arrays().keys() for choice in CHOICES[what](kept, tiny_hybrid, donor)] == [METRICS.keys()] * len(old)


@pytest.mark.parametrize("what", CHOICES)
def test_entries_stored_before_keys_named_metrics_are_still_found(
    recordings: Recordings, tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Their keys are what they were, whether or not the store holds entries with more metrics."""
    donor = make_adapter(tiny_hybrid, tmp_path / "donor")
    with monkeypatch.context() as later:
        later.setitem(METRICS, "nothing", lambda *_: 0.0)
        CHOICES[what](recordings, tiny_hybrid, donor)
    assert [key["metrics"] for key in keys_in(recordings.store)] == [["at_decision", "at_parting", "nothing", "per_token"]]
    plain = CHOICES[what](recordings, tiny_hybrid, donor)
    assert sorted("metrics" in key for key in keys_in(recordings.store)) == [False, True]
    kept = Recordings(Mute(), Store(recordings.store.root))  # type: ignore[arg-type]  # likewise
    np.testing.assert_equal([c.arrays() for c in CHOICES[what](kept, tiny_hybrid, donor)], [c.arrays() for c in plain])


def test_the_key_of_a_choice_is_the_one_of_stores_written_before(recordings: Recordings, tiny_hybrid: Subject) -> None:
    recordings.forced_choice(tiny_hybrid, PAIRS)
    (key,) = keys_in(recordings.store)
    assert key.keys() == {"subject", "engine", "numerics", "pairs", "steering"}


def test_with_other_metrics_than_those_of_old_entries_the_key_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert metrics_key() == {}
    monkeypatch.delitem(METRICS, "at_parting")
    assert metrics_key() == {"metrics": ["at_decision", "per_token"]}


def test_seed_and_temperature_are_in_the_key_of_replies(recordings: Recordings, tiny_hybrid: Subject) -> None:
    prompts = [p.messages for p in PAIRS]
    for seed, temperature in ((0, 1.0), (1, 1.0), (0, 0.0)):
        assert len(recordings.replies(tiny_hybrid, prompts, seed, temperature=temperature)) == 2
    assert recordings.store.made == {"replies": 3}


def test_replies_are_kept_under_the_tokens_that_end_them(recordings: Recordings, tiny_hybrid: Subject, tmp_path: Path) -> None:
    """generation_config.json may change while a subject's digest stays."""
    shutil.copytree(tiny_hybrid.base, tmp_path / "base")
    subject, prompts = replace(tiny_hybrid, base=tmp_path / "base"), [p.messages for p in PAIRS]
    for ends in (None, 5, [7, 5], [5, 7]):
        (tmp_path / "base" / "generation_config.json").write_text(json.dumps({} if ends is None else {"eos_token_id": ends}))
        recordings.replies(subject, prompts, 0)
    assert sorted(str(key.get("ends")) for key in keys_in(recordings.store)) == ["None", "[5, 7]", "[5]"]


def test_a_steering_has_one_key_whatever_the_number_type() -> None:
    assert steering_key(None) is None
    assert steering_key(Steering({1: VECTOR})) == steering_key(Steering({1: VECTOR.astype(np.float64)}))


def test_base_against_itself_is_exactly_nothing(recordings: Recordings, tiny_hybrid: Subject, tmp_path: Path) -> None:
    other = Recordings(HFEngine(), Store(tmp_path / "other"))
    shift = recordings.forced_choice(tiny_hybrid, PAIRS).metric("per_token") - other.forced_choice(tiny_hybrid, PAIRS).metric("per_token")
    assert (shift == 0).all()
