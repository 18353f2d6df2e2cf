"""A static quality index of generated code: what can be seen without running it. Descriptive; it has no null.

The index is 0 where the code does not parse, otherwise the share of four properties that hold: exactly one function is defined at the top
level; every argument is used; every name that is read is defined somewhere in the code or built in; the function returns a value. A short
wrong function can score 1: the index tells damaged code from clean code, not right from wrong.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence
from dataclasses import dataclass

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class CodeQuality:
    """The properties of one piece of code; all False where it does not parse."""

    parses: bool
    one_function: bool = False
    """Exactly one function is defined at the top level."""
    arguments_used: bool = False
    """Every function uses all its arguments, and there is a function."""
    names_defined: bool = False
    """Every name that is read is defined somewhere in the code or built in."""
    returns: bool = False
    """Every function returns a value, and there is a function."""

    @property
    def index(self) -> float:
        """Share of the four properties that hold, 0 to 1; 0 where the code does not parse."""
        return (self.one_function + self.arguments_used + self.names_defined + self.returns) / 4 if self.parses else 0.0


def code_quality(code: str) -> CodeQuality:
    """The properties of one piece of code."""
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
    """Mean index over pieces of code, 0 to 1. ValueError for none."""
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
