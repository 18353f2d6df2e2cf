"""harness/readouts/forced_choice.py: the metrics by hand, a planted preference, and exactly nothing between a subject and itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from harness.data.behavior import Decision, Message, Pair
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Scored, Steering, score
from harness.readouts.forced_choice import METRICS, ForcedChoice, completions_of, forced_choice, from_scores
from tests.tolerance import NATS, ORDER, apart

pytestmark = pytest.mark.numeric

PAIRS = [
    Pair("a", "test", "d", (Message("user", "Paint the hall yellow."),), "I will paint the hall yellow.", "I would rather paint it blue."),
    Pair("b", "test", "d", (Message("user", "Bake two loaves."),), "Two loaves it is.", "What about a cake?"),
]


def scored(tokens: Sequence[int], *log_probabilities: float) -> Scored:
    return Scored(tuple(tokens), np.array(log_probabilities))


def pair(positive: str = "ab cd", negative: str = "ef gh", decision: Decision | None = None) -> Pair:
    return Pair("p", "test", "d", (Message("user", "Paint."),), positive, negative, decision=decision)


def test_metrics_by_hand() -> None:
    choice = from_scores([pair()], [scored((7, 8, 9), -1, -2, -3), scored((7, 5), -1, -4)])
    assert choice.metric("per_token").tolist() == [-2 - -2.5]
    assert choice.metric("at_parting").tolist() == [-2 - -4]  # they share the first token and part at the second


def test_only_tokens_of_the_decision_count_at_the_decision() -> None:
    positive = Scored((1, 2), np.array([-1.0, -5.0]), ((0, 2), (2, 5)))
    negative = Scored((1, 3), np.array([-1.0, -7.0]), ((0, 2), (2, 5)))
    marked = pair("ab cd", "ab ef", Decision(("cd",), ("ef",)))
    assert from_scores([marked], [positive, negative]).metric("at_decision").tolist() == [2]


def test_without_marks_the_whole_completion_is_the_decision() -> None:
    choice = from_scores([pair()], [scored((7, 8, 9), -1, -2, -3), scored((7, 5), -1, -4)])
    assert choice.metric("at_decision").tolist() == choice.metric("per_token").tolist()


def test_pairs_stay_apart_and_in_order() -> None:
    choice = from_scores([pair(), pair()], [scored((1,), -1), scored((2,), -3), scored((1,), -5), scored((2,), -1)])
    assert choice.metric("per_token").tolist() == choice.metric("at_parting").tolist() == [2, -4]


def test_positive_comes_first() -> None:
    assert [c.text for c in completions_of(PAIRS)] == [PAIRS[0].positive, PAIRS[0].negative, PAIRS[1].positive, PAIRS[1].negative]
    assert completions_of(PAIRS)[2].messages == PAIRS[1].messages


def test_completions_that_never_part_are_refused() -> None:
    with pytest.raises(ValueError, match="they never part"):
        from_scores([pair()], [scored((1, 2), -1, -1), scored((1,), -1)])


def test_a_completion_without_its_partner_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        from_scores([pair()], [scored((1,), -1)])


def test_swapped_completions_change_the_sign(hf: HFEngine, tiny_hybrid: Subject) -> None:
    swapped = [Pair(p.id, p.split, p.domain, p.messages, p.negative, p.positive) for p in PAIRS]
    one, other = forced_choice(hf, tiny_hybrid, PAIRS), forced_choice(hf, tiny_hybrid, swapped)
    for metric in METRICS:
        assert apart(one.metric(metric), -other.metric(metric), size=NATS) <= ORDER


def test_a_subject_does_not_differ_from_itself(hf: HFEngine, tiny_hybrid: Subject) -> None:
    one, other = forced_choice(hf, tiny_hybrid, PAIRS), forced_choice(hf, tiny_hybrid, PAIRS)
    for metric in METRICS:
        assert (one.metric(metric) - other.metric(metric) == 0).all()


def test_a_vector_toward_a_token_moves_the_choice_toward_it(hf: HFEngine, tiny_hybrid: Subject) -> None:
    """Planted: the difference of the output embeddings at the parting token, added before the last layer's norm."""
    plain = forced_choice(hf, tiny_hybrid, PAIRS[1:])
    yes, no = (one.tokens[0] for one in score(hf, tiny_hybrid, completions_of(PAIRS[1:])))
    rows = hf.base_model(tiny_hybrid).get_output_embeddings().weight.detach()
    toward = (rows[yes] - rows[no]).numpy()
    steered, back = (forced_choice(hf, tiny_hybrid, PAIRS[1:], Steering({3: sign * toward})) for sign in (1, -1))
    assert steered.metric("at_parting")[0] > plain.metric("at_parting")[0] > back.metric("at_parting")[0]


def test_arrays_come_back() -> None:
    choice = ForcedChoice({"per_token": np.array([1.0, 2.0]), "at_decision": np.array([5.0, 6.0]), "at_parting": np.array([3.0, 4.0])})
    back = ForcedChoice.from_arrays(choice.arrays())
    assert (back.metric("per_token").tolist(), back.metric("at_parting").tolist()) == ([1, 2], [3, 4])
