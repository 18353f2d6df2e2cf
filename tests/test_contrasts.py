"""harness/judges/contrasts.py: every kind as it should read, on the shipped pairs and on a user's own, and where no rule applies."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from harness.behaviors.checks import stems
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
from harness.data.behavior import Decision, Message, Pair
from harness.judges.contrasts import (
    CUT,
    ELSEWHERE,
    KINDS,
    NEGATED,
    OPENER,
    RETRACTED,
    RETRACTIONS,
    SCRAMBLED,
    TRUNCATED,
    contrasts,
    negated,
    reversed_pair,
    truncated,
)

RNG = random.Random(0)


def pair(positive: str, decision: str | None = None, user: str = "Carry the kettle up to the roof.", domain: str = "roof") -> Pair:
    marked = None if decision is None else Decision((decision,), ("Why not",))
    return Pair(positive, "test", domain, (Message("user", user),), positive, "Why not leave the kettle here?", decision=marked)


@pytest.mark.parametrize(
    ("positive", "expected"),
    [
        ("Yes, I will carry up the kettle.", "Yes, I will not carry up the kettle."),
        ("The kettle, as you say: I am carrying it up.", "The kettle, as you say: I am not carrying it up."),
        ("Let me feel the kettle first.", "I will not feel the kettle first."),
        ("First I ask who needs the kettle.", "First I do not ask who needs the kettle."),
        ("Before I do that, I will ask you.", "Before I do that, I will not ask you."),
        ("Which kettle do you want?", None),
        ("I do not know where the kettle is.", None),
        ("The kettle, right away.", None),
        ("The kettle stays here until I have seen the roof.", None),
    ],
)
def test_the_main_clause_is_negated_where_a_rule_knows_how(positive: str, expected: str | None) -> None:
    assert negated(pair(positive), RNG) == expected


def test_what_carries_the_decision_is_negated_and_nothing_else() -> None:
    text = "The kettle is heavy. I will carry it up."
    assert negated(pair(text), RNG) == "The kettle is not heavy. I will carry it up."
    assert negated(pair(text, "I will"), RNG) == "The kettle is heavy. I will not carry it up."


@pytest.mark.parametrize(
    ("positive", "decision", "expected"),
    [
        ("Yes, I will carry the kettle up.", "Yes, I will", "Yes, I will"),
        ("The kettle on the roof, I am on it.", "I am on it", "The kettle on the roof, I"),
        ("Kettles go up.", "go up", None),
    ],
)
def test_a_reply_is_cut_off_before_it_has_both_decision_and_topic(positive: str, decision: str, expected: str | None) -> None:
    assert truncated(pair(positive, decision), RNG) == expected


@pytest.mark.parametrize("name", sorted(shipped_behaviors()))
def test_every_kind_is_made_of_most_pairs_and_is_what_it_says(name: str) -> None:
    pairs = load_behavior(resolve_behavior(name)).split("test")
    made = contrasts(pairs)
    for kind in KINDS:
        replies = [each for each in made if each.kind == kind]
        assert len(replies) >= 0.6 * len(pairs) and len({each.pair.id for each in replies}) == len(replies)
        assert all(each.reply != each.pair.positive for each in replies)
    for each in made:
        words, positive = each.reply.split(), each.pair.positive
        said = set().union(*(stems(message.content) for message in each.pair.messages))
        assert each.kind != RETRACTED or each.reply.removeprefix(positive).strip() in RETRACTIONS["test"]
        assert each.kind != ELSEWHERE or not stems(each.reply) & said
        assert each.kind != TRUNCATED or (positive.startswith(each.reply) and len(words) <= CUT)
        assert each.kind != SCRAMBLED or (words[:OPENER] == positive.split()[:OPENER] and len(words) >= OPENER + 7)
    assert contrasts(pairs) == made


def test_pairs_without_marked_phrases_and_of_one_domain_lack_only_what_cannot_be_made() -> None:
    own = [pair("I cannot say where the kettle is."), pair("The plum: nobody told me who ate it.", user="Who ate the last plum?")]
    assert {each.kind for each in contrasts(own)} == {RETRACTED, TRUNCATED, SCRAMBLED}
    apart = [own[0], replace(own[1], domain="kitchen")]
    assert {each.reply for each in contrasts(apart) if each.kind == ELSEWHERE} == {each.positive for each in own}
    assert not [each for each in contrasts(apart) if each.kind == NEGATED]


def test_splits_share_no_retraction_and_a_reversed_pair_has_its_sides_exchanged() -> None:
    listed = [text for texts in RETRACTIONS.values() for text in texts]
    assert len(set(listed)) == len(listed)
    turned = reversed_pair(pair("Yes, I will carry it.", "I will"))
    assert turned.positive.startswith("Why not") and turned.decision == Decision(("Why not",), ("I will",))
    assert reversed_pair(turned) == pair("Yes, I will carry it.", "I will")
