"""Runs generated code against tests in a sandboxed interpreter: no files, no network, no processes, little time and memory.

pydantic-monty interprets a subset of Python in a worker process; a few features (`yield`, `del`, some modules) are missing, and a
reply that uses them fails with that reason, before and after a training alike. Code that was written to deceive the tests (a value
that claims to equal everything) would pass: it guards the machine, not the score.
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
"""Seconds for the definition, the same again for all its tests; bytes; nested calls."""


@dataclass(frozen=True)
class Outcome:
    """Whether code passed all its tests; otherwise the reason, in one line."""

    passed: bool
    reason: str | None = None


class Sandbox:
    """`with Sandbox() as sandbox:` holds one pool of workers for any number of runs, each in a session of its own."""

    def __init__(self) -> None:
        self._pool: Any = Monty()

    def __enter__(self) -> Sandbox:
        self._pool.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.__exit__(kind, error, trace)

    def run(self, code: str, tests: Sequence[str], name: str) -> Outcome:
        """Define what `code` defines and evaluate every test with `f` bound to the function `name`; passed if each is True.

        Where the code defines no function of that name, its only function counts.
        """
        if not tests:
            raise ValueError("tests: is empty, must hold at least one expression")
        try:
            defined = _functions(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return Outcome(False, f"does not parse: {_reason(error)}")
        if name not in defined and len(set(defined)) != 1:
            return Outcome(False, f"defines {', '.join(defined) or 'no function'}; asked was {name}")
        function = name if name in defined else defined[0]
        try:
            with self._pool.checkout(limits=LIMITS) as session:
                session.feed_run(code, print_callback=_silent)
                values = session.feed_run(f"f = {function}\n[{', '.join(f'({test})' for test in tests)}]", print_callback=_silent)
        except Exception as error:  # whatever generated code does wrong counts as not solved
            return Outcome(False, _reason(error))
        for test, value in zip(tests, values, strict=True):
            if value is not True:
                return Outcome(False, f"not true: {test}")
        return Outcome(True)


def function_name(code: str) -> str:
    """The last function that `code` defines at its top level."""
    return _functions(code)[-1]


def _functions(code: str) -> list[str]:
    return [node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]


def _silent(*_: Any) -> None:
    """What generated code prints goes nowhere."""


def _reason(error: BaseException) -> str:
    return one_line(str(error), type(error).__name__)[:200]
