"""harness/judges/stored.py and the signal on top of it: answers come from the store, and another judge's never do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.agents.agent import AgentError, Conversation
from harness.agents.embedded import EmbeddedSignal, StoredSignal
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.behaviors.skeleton import write_skeleton
from harness.data.behavior import Message
from harness.data.errors import InputError
from harness.data.settings import Settings
from harness.judges.chosen import judge_for
from harness.judges.embedded import EmbeddedJudge
from harness.judges.judge import Judge, JudgeError, Label
from harness.judges.stored import StoredJudge
from harness.store import Store

ASKED = (Message("user", "Plant the tulips."),)
REPLIES = ("I plant the tulips.", "Why not roses? They smell.", "no")
CONVERSATIONS = [Conversation(ASKED, reply) for reply in REPLIES]


@dataclass
class Counting:
    """Calls everything negative that asks, and counts how often it is asked for labels."""

    digest: str = "one"
    name: str = "counting"
    asked: list[Sequence[str]] = field(default_factory=list)

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        self.asked.append(replies)
        return [self.label(messages, reply) for messages, reply in zip(conversations, replies, strict=True)]

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        return "neither" if reply == "no" else "negative" if "?" in reply else "positive"

    def score(self, messages: Sequence[Message], reply: str) -> float:
        return 0.1 if "?" in reply else 0.9


def test_labels_are_asked_for_once_and_the_judge_is_made_for_that_alone(tmp_path: Path) -> None:
    made: list[Counting] = []

    def make() -> Judge:
        made.append(Counting())
        return made[-1]

    for _ in range(2):
        judge = StoredJudge("counting", "one", "one", make, Store(tmp_path))
        assert judge.labels([ASKED] * 3, REPLIES) == ["positive", "negative", "neither"]
    assert len(made) == 1 and made[0].asked == [REPLIES]
    assert StoredJudge("counting", "one", "one", make, Store(tmp_path)).labels([ASKED], REPLIES[1:2]) == ["negative"]
    assert len(made) == 2  # another list of replies is another question


def test_another_judge_is_asked_itself(tmp_path: Path) -> None:
    first, other = Counting(), Counting("another")
    StoredJudge(first.name, first.digest, first.digest, lambda: first, Store(tmp_path)).labels([ASKED] * 3, REPLIES)
    StoredJudge(other.name, other.digest, other.digest, lambda: other, Store(tmp_path)).labels([ASKED] * 3, REPLIES)
    assert other.asked == [REPLIES]


def test_it_answers_as_the_judge_that_is_fitted(tmp_path: Path) -> None:
    behavior = load_behavior(resolve_behavior("listening"))
    stored, fitted = judge_for(Settings(), behavior, Store(tmp_path)), EmbeddedJudge.fit(behavior)
    assert (stored.name, stored.digest) == (fitted.name, fitted.digest)
    pairs = behavior.split("test")[:10]
    for said in ([pair.positive for pair in pairs], [pair.negative for pair in pairs]):
        prompts = [pair.messages for pair in pairs]
        assert stored.labels(prompts, said) == fitted.labels(prompts, said)
        assert [stored.score(*each) for each in zip(prompts, said, strict=True)] == [
            fitted.score(*each) for each in zip(prompts, said, strict=True)
        ]


def test_a_behavior_with_too_few_pairs_is_refused_before_a_label_is_asked_for(tmp_path: Path) -> None:
    write_skeleton(tmp_path / "mine", "mine")
    with pytest.raises(InputError, match=r"train pairs are too few to fit a judge; allowed: 20 or more"):
        judge_for(Settings(), load_behavior(tmp_path / "mine"), Store(tmp_path / "store"))


def test_flags_are_kept_whole(tmp_path: Path) -> None:
    signal = EmbeddedSignal(Counting(), "pattern-x")
    first = StoredSignal(signal, Store(tmp_path)).flag(CONVERSATIONS)
    assert first == signal.flag(CONVERSATIONS)
    silent = Counting()
    assert StoredSignal(EmbeddedSignal(silent, "pattern-x"), Store(tmp_path)).flag(CONVERSATIONS) == first
    assert silent.asked == []
    assert [
        flag.pattern for flag in StoredSignal(EmbeddedSignal(silent, "pattern-y"), Store(tmp_path)).flag(CONVERSATIONS) if flag.flagged
    ] == ["pattern-y"]


def test_a_judge_that_cannot_say_who_it_is_fails_as_an_agent(tmp_path: Path) -> None:
    class Lost(Counting):
        @property
        def digest(self) -> str:  # type: ignore[override]
            raise JudgeError("judge: could not be reached")

        @digest.setter
        def digest(self, value: str) -> None: ...

    with pytest.raises(AgentError, match="training-signal: judge: could not be reached"):
        StoredSignal(EmbeddedSignal(Lost(), "pattern-x"), Store(tmp_path)).flag(CONVERSATIONS)
