"""harness/judges/anchors.py on simulated judges: a swapped one is named, the same one never, and one label may be unsteady."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Behavior, Message
from harness.judges.anchors import ANCHORS, LABELS, anchors, change_of_judge, identity
from harness.judges.embedded import EmbeddedJudge
from harness.judges.judge import Label

SAID: tuple[Label, ...] = ("positive", "negative", "neither")


@pytest.fixture(scope="module")
def listening() -> Behavior:
    return load_behavior(resolve_behavior("listening"))


class Simulated:
    """A judge that says of each reply in turn what `says` holds, whatever it is asked."""

    name, digest = "model at http://judge", "the same digest"

    def __init__(self, says: Sequence[Label]) -> None:
        self.says = list(says)

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        return self.says[: len(replies)]

    def labels_anew(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        return self.labels(conversations, replies)

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        return self.says[0]

    def score(self, messages: Sequence[Message], reply: str) -> float:
        return 0.5


def erring(truth: Sequence[int], accuracy: float, rng: np.random.Generator) -> Simulated:
    """A judge that is right with this probability on each anchor, independently of any other judge."""
    right = rng.random(len(truth)) < accuracy
    return Simulated([SAID[t if ok else (t + 1) % 3] for t, ok in zip(truth, right, strict=True)])


def changed(behavior: Behavior, before: Simulated, after: Simulated) -> str | None:
    return change_of_judge(identity(before, behavior), identity(after, behavior))


@pytest.mark.parametrize("accuracy", [0.9, 0.97])
def test_a_swapped_judge_behind_the_same_name_is_named(listening: Behavior, accuracy: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=ANCHORS).tolist()
    found = [changed(listening, erring(truth, accuracy, rng), erring(truth, accuracy, rng)) for _ in range(100)]
    assert sum(each is not None for each in found) >= 95
    assert all("the judge changed: model at http://judge has the name it had" in each for each in found if each)


def test_the_same_judge_with_one_unsteady_label_is_the_same(listening: Behavior) -> None:
    steady: list[Label] = ["positive"] * ANCHORS
    assert changed(listening, Simulated(steady), Simulated(steady)) is None
    assert changed(listening, Simulated(steady), Simulated(["neither", *steady[1:]])) is None
    assert changed(listening, Simulated(steady), Simulated(["neither", "negative", *steady[2:]])) is not None


def test_another_digest_is_another_judge_whatever_it_says(listening: Behavior) -> None:
    mine, other = Simulated(["positive"] * ANCHORS), Simulated(["positive"] * ANCHORS)
    other.digest, other.name = "another digest", "another judge"
    assert (
        changed(listening, mine, other)
        == "the judge changed: it was model at http://judge (the same digest), now another judge (another digest)"
    )


def test_a_cycle_without_anchors_was_judged_by_nobody_known(listening: Behavior) -> None:
    assert "none whose anchors are known" in str(change_of_judge({}, identity(Simulated(["positive"] * ANCHORS), listening)))


def test_anchors_are_fixed_and_of_every_kind_and_told_apart_by_the_embedded_judge(listening: Behavior) -> None:
    replies = [reply for _, reply in anchors(listening)]
    assert replies == [reply for _, reply in anchors(listening)] and 0.9 * ANCHORS <= len(set(replies)) <= ANCHORS
    found = identity(EmbeddedJudge.fit(listening), listening)
    assert set(found[LABELS]) == {"p", "n", "-"} and len(found[LABELS]) == len(replies)
