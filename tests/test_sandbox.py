"""The sandbox: right and wrong code, and everything that code must not do."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from harness.tasks.sandbox import Ran, Sandbox, function_name

TESTS = ("f(1) == 2", "f(-1) == 0")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as one:
        yield one


def test_right_code_passes(sandbox: Sandbox) -> None:
    assert sandbox.run("def plus_one(x): return x + 1", TESTS, "plus_one") == Ran(True)


def test_the_test_that_failed_is_named(sandbox: Sandbox) -> None:
    assert sandbox.run("def plus_one(x): return 2", TESTS, "plus_one") == Ran(False, "not true: f(-1) == 0")


def test_a_test_must_be_true_and_not_merely_truthy(sandbox: Sandbox) -> None:
    assert not sandbox.run("def g(x): return [x]", ["f(1)"], "g").passed


def test_another_name_is_fine_if_there_is_one_function(sandbox: Sandbox) -> None:
    assert sandbox.run("def other(x): return x + 1", TESTS, "plus_one").passed


def test_helpers_are_fine_beside_the_function_asked_for(sandbox: Sandbox) -> None:
    code = "def step(): return 1\n\ndef plus_one(x): return x + step()\n\ndef more(x): return 0"
    assert sandbox.run(code, TESTS, "plus_one").passed


def test_several_functions_of_other_names_are_refused(sandbox: Sandbox) -> None:
    assert sandbox.run("def a(x): return 1\ndef b(x): return 2", TESTS, "c").reason == "defines a, b; asked was c"


def test_no_function_is_refused(sandbox: Sandbox) -> None:
    assert sandbox.run("x = 1", TESTS, "g").reason == "defines no function; asked was g"


def test_nothing_to_test_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="tests: is empty"):
        sandbox.run("def g(x): return x", [], "g")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def g(x: return x", "does not parse"),
        ("\0", "does not parse"),
        ("def g(x): return " + "(" * 5000 + "x" + ")" * 5000, "does not parse"),
        ("def g(x): return y", "NameError"),
        ("def g(): return 1", "TypeError"),
        ("def g(x): return g(x)", "RecursionError"),
        ("def g(x): return [0] * 10 ** 10", "MemoryError"),
        ("def g(x): return 'a' * 10 ** 9", "MemoryError"),
        ("def g(x): return 10 ** 10 ** 8", "MemoryError"),
        ("import subprocess\ndef g(x): return x + 1", "ModuleNotFoundError"),
        ("def g(x): return __import__('os').getcwd()", "NameError"),
        ("import os\ndef g(x): return os.listdir('/')", "PermissionError"),
        ("def g(x): return open('/etc/hostname').read()", "PermissionError"),
        ("def g(x): return open('left-behind', 'w').write('x')", "PermissionError"),
        ("def g(x): return ().__class__.__bases__[0].__subclasses__()", "AttributeError"),
        ("def g(x):\n    raise SystemExit", "SystemExit"),
    ],
)
def test_what_code_must_not_do_is_refused(sandbox: Sandbox, code: str, reason: str) -> None:
    outcome = sandbox.run(code, TESTS, "g")
    assert not outcome.passed
    assert outcome.reason is not None
    assert outcome.reason.startswith(reason)
    assert "\n" not in outcome.reason


@pytest.mark.parametrize("code", ["def g(x):\n    while True: pass", "while True: pass\ndef g(x): return x + 1"])
def test_an_endless_loop_is_stopped(sandbox: Sandbox, code: str) -> None:
    began = time.monotonic()
    assert "TimeoutError" in str(sandbox.run(code, TESTS, "g").reason)
    assert time.monotonic() - began < 5


def test_runs_share_nothing(sandbox: Sandbox) -> None:
    assert sandbox.run("kept = 1\ndef g(x): return x + 1", TESTS, "g").passed
    assert sandbox.run("def g(x): return x + kept", TESTS, "g").reason == "NameError: name 'kept' is not defined"


def test_prints_go_nowhere(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    assert sandbox.run("print('loud')\ndef g(x):\n    print(x)\n    return x + 1", TESTS, "g").passed
    assert capfd.readouterr().out == ""


def test_the_pool_survives_what_it_stopped(sandbox: Sandbox) -> None:
    sandbox.run("def g(x): return [0] * 10 ** 10", TESTS, "g")
    assert sandbox.run("def g(x): return x + 1", TESTS, "g").passed


def test_the_name_of_a_function_is_the_last_one_defined() -> None:
    assert function_name("def a(): return 1\n\ndef b(): return a()") == "b"
