"""The static index: clean code, each fault alone, what is no code; bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.code_quality import code_quality, mean_index

CLEAN = "def area(a, b):\n    return a * b"


def test_clean_code_scores_one() -> None:
    assert code_quality(CLEAN).index == 1


def test_what_does_not_parse_scores_zero() -> None:
    assert code_quality("def area(a, b: return a").index == 0


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (CLEAN + "\n\ndef more(a):\n    return a", "one_function"),
        ("def area(a, b):\n    return a", "arguments_used"),
        ("def area(a, b):\n    return a * b * c", "names_defined"),
        ("def area(a, b):\n    print(a * b)", "returns"),
    ],
)
def test_each_fault_costs_a_quarter(code: str, fault: str) -> None:
    quality = code_quality(code)
    assert not getattr(quality, fault)
    assert quality.index == 0.75


def test_text_that_happens_to_parse_defines_nothing() -> None:
    assert code_quality("x").index == 0
    assert code_quality("").index == 0.25


@pytest.mark.parametrize(
    "code",
    [
        "def f(items):\n    return [x for x in items if x]",
        "def f(a, *rest, k=1, **more):\n    return a, rest, k, more",
        "import math\ndef f(x):\n    return math.sqrt(x)",
        "def f(_unused, x):\n    try:\n        return 1 / x\n    except ZeroDivisionError as error:\n        return str(error)",
        "def f(x):\n    def inner(y):\n        return x + y\n    return inner(1)",
        "def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)",
    ],
)
def test_ordinary_python_is_not_faulted(code: str) -> None:
    assert code_quality(code).index == 1


def test_the_mean_is_over_replies_and_needs_one() -> None:
    assert mean_index([CLEAN, "def ("]) == 0.5
    with pytest.raises(ValueError, match="codes: is empty"):
        mean_index([])


@given(st.text())
def test_any_text_has_an_index_between_zero_and_one(text: str) -> None:
    assert 0 <= code_quality(text).index <= 1
