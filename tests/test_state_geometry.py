"""harness/readouts/state_geometry.py: cosines of centered unit states, the same in however many groups of layers they are measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, Sites
from harness.readouts import state_geometry
from harness.readouts.recordings import Recordings
from harness.readouts.state_geometry import StateSpace
from harness.store import Store
from tests.tolerance import ORDER, apart

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

pytestmark = pytest.mark.numeric

TALK = tuple((Message("user", text),) for text in ("Paint the hall yellow.", "We had soup.", "Water the garden at noon.", "It rains."))
NEUTRAL = tuple((Message("user", text),) for text in ("Is it cold?", "The hall is big.", "What is a map?"))


@pytest.fixture
def space(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> StateSpace:
    return StateSpace(Recordings(hf, Store(tmp_path)), tiny_hybrid, NEUTRAL, (0, 2))


def test_cosines_are_those_of_the_definition(space: StateSpace, hf: HFEngine, tiny_hybrid: Subject) -> None:
    def unit(talk: tuple[tuple[Message, ...], ...]) -> np.ndarray:
        recorded = hf.record(tiny_hybrid, [Completion(one, ".") for one in talk], Sites(state_layers=(2,)))
        states = np.stack([one.states[2][0].reshape(4, -1) for one in recorded]).astype(np.float64)  # [n, heads, width]
        return np.asarray(states / np.linalg.norm(states, axis=-1, keepdims=True))

    centered = unit(TALK) - unit(NEUTRAL).mean(axis=0)
    centered /= np.linalg.norm(centered, axis=-1, keepdims=True)
    expected = np.einsum("ihw,jhw->hij", centered, centered).mean(axis=0)
    assert apart(space.geometry(tiny_hybrid, TALK).cosines[0, 1], expected) <= ORDER


def test_shapes_and_ranges(space: StateSpace, tiny_hybrid: Subject) -> None:
    geometry = space.geometry(tiny_hybrid, TALK)
    assert geometry.cosines.shape == geometry.raw.shape == (2, 2, 4, 4)
    assert np.abs(geometry.cosines).max() <= 1 + 1e-5
    assert apart(np.diagonal(geometry.raw, axis1=-2, axis2=-1), np.ones((2, 2, 4))) <= ORDER
    assert geometry.decay.shape == geometry.beta.shape == (2, 4)
    assert (geometry.half_life > 0).all()


def test_layers_in_groups_give_the_same(space: StateSpace, tiny_hybrid: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = space.geometry(tiny_hybrid, TALK)
    monkeypatch.setattr(state_geometry, "HELD_BYTES", 1)
    again = StateSpace(Recordings(space.recordings.engine, Store(tmp_path / "other")), tiny_hybrid, NEUTRAL, (0, 2))
    assert apart(again.geometry(tiny_hybrid, TALK).cosines, whole.cosines) <= ORDER


def test_base_has_not_changed_and_an_adapter_has(
    space: StateSpace, tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    assert space.change(tiny_hybrid, TALK) == 0
    assert space.change(make_adapter(tiny_hybrid, tmp_path / "a"), TALK) > 0.01


def test_a_second_look_records_nothing(space: StateSpace, tiny_hybrid: Subject) -> None:
    space.geometry(tiny_hybrid, TALK)
    made = dict(space.recordings.store.made)
    space.geometry(tiny_hybrid, TALK)
    assert space.recordings.store.made == made
