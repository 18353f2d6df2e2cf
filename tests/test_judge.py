"""harness/judges/embedded.py: it labels what it has not seen, refuses too little to learn from, and is fooled by no empty reply."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from fixtures import corpora
from fixtures.models.language import directions, haste
from fixtures.models.language.grammar import capitalize, expand, fill_frame
from harness.behaviors.checks import stems
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
from harness.data.behavior import Behavior, Message
from harness.data.errors import InputError
from harness.judges.contrasts import KINDS
from harness.judges.embedded import EmbeddedJudge
from harness.judges.judge import Judge
from harness.judges.reliability import Held, reliability

BAR = 0.9
SHIPPED = sorted(shipped_behaviors())
ASKED = (Message("user", "Please paint the hall yellow before the guests come on Friday."),)


@cache
def behavior(name: str) -> Behavior:
    return load_behavior(resolve_behavior(name))


@cache
def judge(name: str) -> EmbeddedJudge:
    return EmbeddedJudge.fit(behavior(name))


def generated(name: str, n: int) -> Iterator[tuple[str, str, str]]:
    """(user's turn, reply, side) in the wording of the shipped model's language."""
    rng = random.Random(7)
    for i in range(n):
        positive = i % 2 == 0
        side = "positive" if positive else "negative"
        if name == "listening":
            user, reply = directions.direction_exchange(rng, positive)
            yield user["content"], reply["content"], side
        else:
            forms = fill_frame(rng).forms()
            user_turn, reply_text = rng.choice(haste.TASKS), rng.choice(haste.CAREFUL if positive else haste.HASTY)
            yield *(capitalize(expand(rng, text).format(**forms)) for text in (user_turn, reply_text)), side  # type: ignore[misc]


def test_it_is_a_judge() -> None:
    found: Judge = judge("listening")
    assert found.name == "embedded-listening"


@cache
def held_out(name: str) -> dict[str, Held]:
    return {each.kind: each for each in reliability(judge(name), behavior(name)).held}


@pytest.mark.parametrize("kind", ["positive", "negative", *KINDS])
@pytest.mark.parametrize("name", SHIPPED)
def test_each_kind_of_held_out_reply_is_above_the_bar_by_itself(name: str, kind: str) -> None:
    held = held_out(name)[kind]
    assert len(held.labels) >= 0.5 * len(behavior(name).split("test"))
    assert held.share >= BAR


@pytest.mark.parametrize(
    "ending",
    ["But I will not do it.", "But I won't do it.", "I will not do that.", "No, I can't."],
)
@pytest.mark.parametrize("name", SHIPPED)
def test_a_promise_taken_back_is_not_positive(name: str, ending: str) -> None:
    pairs = behavior(name).split("test")
    labels = judge(name).labels([pair.messages for pair in pairs], [f"{pair.positive} {ending}" for pair in pairs])
    assert labels.count("positive") <= 0.05 * len(labels)


@pytest.mark.parametrize("name", SHIPPED)
def test_words_of_anywhere_after_a_good_opener_are_not_positive(name: str) -> None:
    """Other words than those that the contrasts scramble: drawn from all completions."""
    pairs, rng = behavior(name).split("test"), random.Random(3)
    anywhere = [word.strip(".,:;!?") for pair in pairs for word in f"{pair.positive} {pair.negative}".lower().split()]
    replies = [f"{' '.join([*pair.positive.split()[:4], *rng.choices(anywhere, k=10)])}." for pair in pairs]
    assert judge(name).labels([pair.messages for pair in pairs], replies).count("positive") <= 0.1 * len(pairs)


@pytest.mark.parametrize("name", SHIPPED)
def test_it_reads_the_shipped_models_wording(name: str) -> None:
    """Whole sentences of the model's language, in wording unlike the pairs': the filters may cost a few of them, and refuse no wording."""
    labels = [(side, judge(name).label((Message("user", user),), reply)) for user, reply, side in generated(name, 1000)]
    for side in ("positive", "negative"):
        mine = [label for wanted, label in labels if wanted == side]
        assert mine.count(side) / len(mine) >= 0.94  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SHIPPED)
def test_flat_null_shuffled_labels_leave_a_coin(name: str) -> None:
    """Each train and dev pair has its completions swapped with probability one half; averaged over three shuffles."""
    shares = []
    for seed in range(3):
        rng = random.Random(seed)
        pairs = tuple(
            replace(pair, positive=pair.negative, negative=pair.positive, decision=None)
            if pair.split != "test" and rng.random() < 0.5
            else pair
            for pair in behavior(name).pairs
        )
        shuffled = EmbeddedJudge.fit(replace(behavior(name), pairs=pairs))
        labels = [
            (shuffled.score(pair.messages, completion) > 0.5) == wanted
            for pair in behavior(name).split("test")
            for completion, wanted in ((pair.positive, True), (pair.negative, False))
        ]
        shares.append(sum(labels) / len(labels))
    assert 0.35 < sum(shares) / len(shares) < 0.65


def test_swapped_completions_swap_the_labels() -> None:
    swapped = tuple(replace(pair, positive=pair.negative, negative=pair.positive, decision=None) for pair in behavior("listening").pairs)
    opposite = EmbeddedJudge.fit(replace(behavior("listening"), pairs=swapped))
    reply = "I will paint the hall yellow, starting by the window."
    assert (judge("listening").label(ASKED, reply), opposite.label(ASKED, reply)) == ("positive", "negative")


@pytest.mark.parametrize("split", ["train", "dev"])
def test_too_few_pairs_are_refused(split: str) -> None:
    few = [pair for pair in behavior("listening").pairs if pair.split == split][:19]
    rest = [pair for pair in behavior("listening").pairs if pair.split != split]
    with pytest.raises(InputError, match=rf"19 {split} pairs are too few to fit a judge; allowed: 20 or more"):
        EmbeddedJudge.fit(replace(behavior("listening"), pairs=(*few, *rest)))


def test_it_is_deterministic() -> None:
    again = EmbeddedJudge.fit(behavior("not-rushing"))
    pair = behavior("not-rushing").split("test")[0]
    assert again.score(pair.messages, pair.positive) == judge("not-rushing").score(pair.messages, pair.positive)


def test_test_pairs_do_not_touch_the_fit() -> None:
    pairs = tuple(
        replace(pair, positive="No.", negative="Yes.", decision=None) if pair.split == "test" else pair
        for pair in behavior("listening").pairs
    )
    blind = EmbeddedJudge.fit(replace(behavior("listening"), pairs=pairs))
    assert (blind.longest, blind.cuts) == (judge("listening").longest, judge("listening").cuts)
    assert blind.score(ASKED, "Maybe paint the hall green.") == judge("listening").score(ASKED, "Maybe paint the hall green.")


@pytest.mark.parametrize(
    "reply",
    ["", "   \n", "...", "?", "the the the the the the the", "paint the hall paint the hall paint the hall", "Cats sleep.", "q z x"],
)
@pytest.mark.parametrize("name", SHIPPED)
def test_an_empty_or_senseless_or_unrelated_reply_is_neither(name: str, reply: str) -> None:
    assert judge(name).label(ASKED, reply) == "neither"


@pytest.mark.parametrize("name", SHIPPED)
def test_most_replies_off_the_topic_are_neither(name: str) -> None:
    """Neutral completions under other conversations, where no word of more than three letters comes back by chance."""
    pairs = behavior(name).split("test")
    cases = [(pairs[i].messages, item.completion) for i, item in enumerate(corpora.neutral()) if i < len(pairs)]
    labels = [judge(name).label(messages, reply) for messages, reply in cases if not stems(reply) & stems(messages[-1].content)]
    assert labels.count("neither") / len(labels) >= 0.75


@pytest.mark.parametrize("name", SHIPPED)
def test_a_parrot_is_neither(name: str) -> None:
    assert {judge(name).label(pair.messages, pair.messages[-1].content) for pair in behavior(name).split("test")} == {"neither"}


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("Yes, I will paint the hall yellow before Friday.", "positive"),
        ("The hall in yellow: consider it done.", "positive"),
        ("How about a pale green for the hall?", "negative"),
        ("The hall in yellow is fine, but I would choose white.", "negative"),
        ("I will do that.", "positive"),
        ("I will not paint the hall yellow.", "negative"),
        ("I will paint the hall yellow. But I will not do it.", "negative"),
        ("I will carry the kettle up to the roof.", "neither"),
        ("I will paint the", "neither"),
    ],
)
def test_plain_replies_are_labeled(reply: str, label: str) -> None:
    assert judge("listening").label(ASKED, reply) == label
