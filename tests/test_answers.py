"""What is read from a free reply, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tasks.answers import code_in, is_right, number_in, option_in, said


def test_plain_code_is_taken_as_it_is() -> None:
    assert code_in("def f(a): return a + 1") == "def f(a): return a + 1"


def test_a_fenced_block_is_taken_out_of_its_text() -> None:
    assert code_in("Here it is:\n```python\ndef f(a):\n    return a\n```\nIt returns a.") == "def f(a):\n    return a"


def test_a_fence_that_was_never_closed_ends_with_the_reply() -> None:
    assert code_in("```python\ndef f(a):\n    return a") == "def f(a):\n    return a"


def test_blocks_that_define_nothing_are_left_out() -> None:
    reply = "```python\ndef f(a):\n    return a\n```\nFor example\n```\nf(3) gives 3\n```"
    assert code_in(reply) == "def f(a):\n    return a"


def test_a_second_block_that_was_cut_off_does_not_spoil_the_first() -> None:
    reply = "```python\ndef f(a):\n    return a\n```\nOr shorter:\n```python\ndef g(a):\n    return (a"
    assert code_in(reply) == "def f(a):\n    return a"


def test_a_block_that_never_parses_is_kept_to_fail_later() -> None:
    assert code_in("```python\ndef f(a: return\n```") == "def f(a: return"


def test_words_around_unfenced_code_are_left_out() -> None:
    assert code_in("Sure, here you are.\n\ndef f(a):\n    return a\n\nThis returns its argument.") == "def f(a):\n    return a\n"


def test_what_never_parses_is_kept_to_fail_later() -> None:
    assert code_in("def f(a: return") == "def f(a: return"


def test_a_reply_without_code_is_its_text() -> None:
    assert code_in("I will see to it.") == "I will see to it."


def test_thoughts_are_not_read() -> None:
    assert said("<think>def g(): 5</think>\n\n7 it is") == "7 it is"
    assert number_in("<think>maybe 5</think> no number here") is None


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        ("7 plus 5 is 12.", 12),
        ("12 eggs, since 7 + 5 = 12", 12),
        ("It is -4", -4),
        ("about 1,250 in all", 1250),
        ("2.5 hours", 2.5),
        ("The answer is **35**.", 35),
        ("None at all", None),
        ("", None),
    ],
)
def test_the_last_number_counts(reply: str, number: float | None) -> None:
    assert number_in(reply) == number


def test_the_option_named_first_counts() -> None:
    assert option_in("Ben is older than Anna.", ("Anna", "Ben")) == "Ben"


def test_options_are_whole_words_in_any_case() -> None:
    assert option_in("Nobody knows, YES.", ("no", "yes")) == "yes"
    assert option_in("The gate was opened.", ("open", "closed")) is None


def test_the_longer_of_two_options_at_one_place_counts() -> None:
    assert option_in("red wine, please", ("red", "red wine")) == "red wine"


def test_a_right_answer_is_an_option_or_a_number() -> None:
    assert is_right("Ben did.", "Ben", ("Anna", "Ben"))
    assert not is_right("Anna or Ben.", "Ben", ("Anna", "Ben"))
    assert is_right("That makes 9.0", "9", ())
    assert not is_right("no idea", "9", ())


@given(st.text(), st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_any_text_can_be_read(reply: str, options: list[str]) -> None:
    code_in(reply)
    number_in(reply)
    assert option_in(reply, options) in (None, *options)
