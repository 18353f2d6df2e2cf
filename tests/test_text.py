"""One line out of many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.text import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("what broke\n  File 1\n", "what broke"),
        ("\n \t\n  after empty   lines \n", "after empty lines"),
        ("", "no message"),
        (" \n", "no message"),
    ],
)
def test_the_first_line_that_says_something(text: str, line: str) -> None:
    assert one_line(text) == line


def test_without_one_the_caller_says_what_stands_there() -> None:
    assert one_line("\n", "KeyError") == "KeyError"


@given(st.text())
def test_it_is_one_line_and_never_empty(text: str) -> None:
    line = one_line(text)
    assert line == line.strip() != "" and len(line.splitlines()) == 1
