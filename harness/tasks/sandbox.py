"""Runs generated code against tests in a sandboxed interpreter: no files, no network, no processes, little time and memory.

pydantic-monty interprets a subset of Python in a worker process. A few features are missing (`yield`, `del`, some modules); a reply that
uses one fails with that reason, in the same way before and after a training. The sandbox protects the machine, not the score: code written
to deceive the tests (a value that claims to equal everything) would pass.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pydantic_monty import Monty

from harness.data.text import one_line

LIMITS = {"max_feed_duration_secs": 1.0, "max_memory": 50_000_000, "max_recursion_depth": 200}
"""Seconds for the code, and as many again for all its tests together; bytes; nested calls."""


@dataclass(frozen=True)
class Ran:
    """Whether a piece of code passed all its tests."""

    passed: bool
    reason: str | None = None
    """Why it did not, in one line; None where it did."""


class Sandbox:
    """`with Sandbox() as sandbox:` keeps one pool of worker processes for any number of runs, each in a session of its own."""

    def __init__(self) -> None:
        self._pool: Any = Monty()

    def __enter__(self) -> Sandbox:
        self._pool.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.__exit__(kind, error, trace)

    def run(self, code: str, tests: Sequence[str], name: str) -> Ran:
        """Run `code`, then evaluate every test with `f` bound to its function `name`; passed if each test is True.

        Where the code defines no function of that name but exactly one other, `f` is that one. ValueError without tests; whatever goes
        wrong in the code is a result, not an error.
        """
        if not tests:
            raise ValueError("tests: is empty, must hold at least one expression")
        try:
            defined = _functions(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return Ran(False, f"does not parse: {_reason(error)}")
        if name not in defined and len(set(defined)) != 1:
            return Ran(False, f"defines {', '.join(defined) or 'no function'}; asked was {name}")
        function = name if name in defined else defined[0]
        try:
            with self._pool.checkout(limits=LIMITS) as session:
                session.feed_run(code, print_callback=_silent)
                values = session.feed_run(f"f = {function}\n[{', '.join(f'({test})' for test in tests)}]", print_callback=_silent)
        except Exception as error:  # whatever generated code does wrong counts as not solved
            return Ran(False, _reason(error))
        for test, value in zip(tests, values, strict=True):
            if value is not True:
                return Ran(False, f"not true: {test}")
        return Ran(True)


def function_name(code: str) -> str:
    """Name of the last function that `code` defines at its top level.

    SyntaxError or ValueError where the code does not parse, IndexError where it defines no function.
    """
    return _functions(code)[-1]


def _functions(code: str) -> list[str]:
    return [node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]


def _silent(*_: Any) -> None:
    """What generated code prints goes nowhere."""


def _reason(error: BaseException) -> str:
    return one_line(str(error), type(error).__name__)[:200]
