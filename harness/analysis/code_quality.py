"""A static quality index of generated code: what can be seen without running it. Descriptive; it has no null.

index = 0 where the code does not parse, otherwise the share of these four that hold: it defines exactly one function at its top level;
that every argument is used; that every name it reads is defined somewhere in the code or built in; that the function returns a value.
A short wrong function can score 1: it tells damaged code from clean code, not right from wrong.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence
from dataclasses import dataclass

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class CodeQuality:
    """Flags of one reply; all False where it does not parse."""

    parses: bool
    one_function: bool = False
    arguments_used: bool = False
    names_defined: bool = False
    returns: bool = False

    @property
    def index(self) -> float:
        """0 to 1."""
        return (self.one_function + self.arguments_used + self.names_defined + self.returns) / 4 if self.parses else 0.0


def code_quality(code: str) -> CodeQuality:
    """The flags of one piece of code. Without a function its arguments are not used and nothing is returned."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return CodeQuality(parses=False)
    functions = [node for node in tree.body if isinstance(node, _Function)]
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return CodeQuality(
        parses=True,
        one_function=len(functions) == 1,
        arguments_used=bool(functions) and all(_arguments(one) <= _read_in(one) for one in functions),
        names_defined=read <= _defined(tree) | set(dir(builtins)),
        returns=bool(functions) and all(_returns(one) for one in functions),
    )


def mean_index(codes: Sequence[str]) -> float:
    """Mean index of many pieces of code; refuses none at all."""
    if not codes:
        raise ValueError("codes: is empty, must hold at least one")
    return sum(code_quality(code).index for code in codes) / len(codes)


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    given = function.args
    every = [
        *given.posonlyargs,
        *given.args,
        *given.kwonlyargs,
        *([given.vararg] if given.vararg else []),
        *([given.kwarg] if given.kwarg else []),
    ]
    return {one.arg for one in every if not one.arg.startswith("_")}


def _read_in(function: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _returns(function: ast.AST) -> bool:
    return any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(function))


def _defined(tree: ast.AST) -> set[str]:
    """Names bound anywhere: the order of statements and scopes are not followed."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, (*_Function, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names
