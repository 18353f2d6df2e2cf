"""evals/q7: which conversations are compared, what state patching shows of base and of an adapter, and what an answer rests on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evals.q7.checks import direction_shaped, disposition, gain_in_words, known
from evals.q7.conversations import gather
from evals.q7.design import DISPOSITION, SEPARATION, STATE_SWAP
from evals.q7.groups import Group
from harness.analysis.estimated import Answer, Estimated
from harness.analysis.smallest import Sized, sized
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Message, Pair
from harness.data.measurement import Estimate
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.readouts.recordings import Recordings
from harness.readouts.state_geometry import StateSpace
from harness.store import Store
from tests.tolerance import ALGORITHM, NATS, apart

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

pytestmark = pytest.mark.numeric

PAIRS = tuple(
    Pair(
        f"{i}",
        "test",
        f"d{i}",
        (Message("user", f"Paint the {thing} yellow."),),
        f"I paint the {thing} yellow.",
        f"Why not a blue {thing}?",
    )
    for i, thing in enumerate(("hall", "kitchen", "gate"))
)


def lab_of(**known: Any) -> Any:
    return SimpleNamespace(
        behavior=load_behavior(resolve_behavior("listening")),
        progress=lambda line: None,
        each=lambda function, items: [function(item) for item in items],
        **known,
    )


def test_as_many_of_each_kind_directions_first() -> None:
    found = gather(lab_of(), 12)
    assert found.kinds == ("direction",) * 12 + ("report",) * 12 + ("general",) * 12
    assert found.inside.tolist() == [True] * 12 + [False] * 24
    assert found.against("report").tolist() == [True] * 24 + [False] * 12
    assert found.sized_on == found.texts[:20]


def test_a_direction_and_the_report_about_it_are_resampled_together() -> None:
    found = gather(lab_of(), 12)
    assert found.clusters[:12].tolist() == found.clusters[12:24].tolist()
    assert len(set(found.clusters[24:])) == 12


def test_small_talk_has_as_many_turns_as_the_directions_and_none_is_used_twice() -> None:
    found = gather(lab_of(), 12)
    assert [len(text) for text in found.texts[24:]] == [len(text) for text in found.texts[:12]]
    assert len(set(found.texts[24:])) == 12


def group(hf: HFEngine, base: Subject, subject: Subject, folder: Path) -> Group:
    lab = lab_of(recordings=Recordings(hf, Store(folder)), base=base)
    neutral = ((Message("user", "Is it cold?"),),)
    return Group(lab, "trained", (subject,), StateSpace(lab.recordings, base, neutral, (0, 2)), gather(lab, 4), PAIRS)


def test_bases_states_patched_into_base_take_nothing_away(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> None:
    base = group(hf, tiny_hybrid, tiny_hybrid, tmp_path)
    assert apart(base.taken, np.zeros((1, 3)), size=NATS) <= ALGORITHM
    assert apart(base.brought, np.zeros((1, 3)), size=NATS) <= ALGORITHM
    assert "geometries" not in vars(base) and "changes" not in vars(base)  # state patching does not pay for the geometry


def test_an_adapters_states_are_missed_and_bring_something(
    hf: HFEngine, tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    adapted = group(hf, tiny_hybrid, make_adapter(tiny_hybrid, tmp_path / "a"), tmp_path / "store")
    assert adapted.taken.shape == adapted.brought.shape == (1, 3)
    assert np.abs(adapted.taken).max() > 1e-3 and np.abs(adapted.brought).max() > 1e-3


def around(low: float, high: float, bound: float = 0.002) -> Sized:
    """An effect with this interval; the smallest of interest is `bound`, known exactly."""

    def interval(share: float) -> Estimate:
        at = 10 * bound * share
        return Estimate((low + high) / 2 + at, low + at, high + at, low + at, high + at, 0.05, 40, 20)

    return sized(interval, 0.1)


def unknown(reason: str) -> Sized:
    return Sized(Estimated(None, reason))


@pytest.mark.parametrize(
    ("gain", "answer"),
    [
        (around(0.01, 0.03), Answer("further apart than after sham")),
        (around(-0.03, -0.01), Answer("closer together than after sham")),
        (around(-0.001, 0.001), Answer("less than 10% of base's own separation", "0 [-0.001, 0.001], of either sign")),
        (around(0.0005, 0.0015), Answer("less than 10% of base's own separation", "0.001 [0.0005, 0.0015], shown to be above 0")),
        (
            around(-0.01, 0.03),
            Answer(
                None,
                "0.01 [-0.01, 0.03] is shown neither to differ from 0 nor to be less than 10% of base's own separation (0.002); "
                "about 4.0 times the data would tell",
            ),
        ),
        (unknown("no sham of the same size"), Answer(None, "no sham of the same size")),
    ],
)
def test_separation_in_words(gain: Sized, answer: Answer) -> None:
    assert gain_in_words(gain) == answer


ABOVE, BELOW, LESS, OPEN = around(0.1, 0.3), around(-0.3, -0.1), around(-0.001, 0.001), around(-0.1, 0.1)


@pytest.mark.parametrize(
    ("gain", "loss", "answer"),
    [
        (ABOVE, ABOVE, "direction-shaped"),
        (ABOVE, BELOW, "descriptive (geometry only)"),
        (ABOVE, LESS, "descriptive (geometry only)"),
        (LESS, OPEN, "moved but not direction-shaped"),
        (BELOW, OPEN, "moved but not direction-shaped"),
        (ABOVE, OPEN, None),
        (OPEN, ABOVE, None),
        (unknown("ranked"), ABOVE, None),
        (ABOVE, unknown("no variance"), None),
    ],
)
def test_direction_shaped_needs_both(gain: Sized, loss: Sized, answer: str | None) -> None:
    found = direction_shaped(gain, loss)
    assert found.words == answer and (found.reason is None) == (answer is not None)


def test_what_is_open_is_named() -> None:
    assert direction_shaped(unknown("ranked"), ABOVE).reason == "ranked"
    assert str(direction_shaped(ABOVE, OPEN).reason).startswith(
        "separation: further apart than after sham; state patching: 0 [-0.1, 0.1] is shown neither"
    )


def test_states_that_hardly_moved_are_unchanged_whatever_else() -> None:
    lab = SimpleNamespace(measurement=lambda id, unit, *, answer, null: (id, answer))
    study: Any = SimpleNamespace(lab=lab, trained=SimpleNamespace(changes=[0.004, 0.008]))  # nothing else is asked for
    assert disposition(study) == (DISPOSITION, Answer("unchanged"))


def answers(layer_kinds: tuple[str, ...], identical: bool) -> dict[str, Any]:
    lab: Any = SimpleNamespace(
        layer_kinds=layer_kinds,
        identical=identical,
        base=SimpleNamespace(name="plain"),
        measurement=lambda id, unit, **rest: rest,
    )
    return {id: known(lab, id) for id in (SEPARATION, STATE_SWAP, DISPOSITION)}


def test_without_recurrent_states_the_question_does_not_apply() -> None:
    reason = "plain has no Gated DeltaNet layers, so no recurrent state"
    assert list(answers(("full_attention",) * 4, identical=True).values()) == [{"reason": reason, "not_applicable": True}] * 3


def test_a_candidate_that_is_base_changed_no_state() -> None:
    found = answers(("linear_attention", "full_attention"), identical=True)
    assert [one["answer"].words for one in found.values()] == ["no change", "no change", "unchanged"]


def test_any_other_candidate_is_measured() -> None:
    assert set(answers(("linear_attention", "full_attention"), identical=False).values()) == {None}
