"""Where things live holds: imports go down only, nothing imports in a circle, and nothing of ours is imported by its name as a string.

Imports inside functions and under TYPE_CHECKING count as any other.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from harness.data.settings import PROJECT

LAYERS = tuple(
    line.split()
    for line in """
    harness.process
    harness
    harness.process.startup
    harness.data
    harness.store harness.analysis harness.behaviors harness.tasks harness.recorders
    harness.subjects
    harness.engines
    harness.engines.hf
    harness.engines.vllm
    harness.judges harness.memory harness.readouts harness.arms
    harness.agents
    harness.dreams
    harness.experiment
    harness.gate.verdict
    harness.gate.history
    harness.gate.reports
    harness.gate
    harness.doctor
    fixtures.behaviors fixtures.corpora fixtures.dreams fixtures.memory fixtures.tasks
    fixtures.models.language
    fixtures.models
    fixtures
    evals
    evals.preflight
    evals.conftest
    evals.q1 evals.q2 evals.q3 evals.q4 evals.q5 evals.q6 evals.q7
    evals.calibration
    harness.__main__
    conftest
    """.strip().splitlines()
)
"""Folders and single modules from the bottom to the top. A line imports from lines above it in this list, never from its own or below.

A folder's line holds the files that lie in it directly. "harness" is its __init__ alone, run before anything else of the project.
"""
LEVEL = {place: level for level, line in enumerate(LAYERS) for place in line}
OLD_NAMES = {
    "harness.engines.vllm_worker": "harness.engines.vllm",
    "harness.engines.vllm_middleware": "harness.engines.vllm",
}
"""Names that owners of servers type on vLLM's command line; they re-export what moved into the folder."""
OURS = ("harness", "evals", "fixtures", "conftest", "tests")
BY_STRING = ("import_module", "__import__", "find_spec", "run_module", "resolve_name", "importorskip")
"""Functions that import, or look for, the module they are given the name of."""
LOOSE = {"__init__.py", "__main__.py", "store.py"}
"""The only files that lie in harness/ directly."""

Sources = Mapping[str, str]
"""Module to source text."""
Graph = Mapping[str, set[str]]
"""Module to the modules of this project that it imports."""


def read_sources() -> dict[str, str]:
    files = [PROJECT / "conftest.py", *(file for top in ("harness", "evals", "fixtures") for file in (PROJECT / top).rglob("*.py"))]
    return {name_of(file.relative_to(PROJECT)): file.read_text(encoding="utf-8") for file in files}


def name_of(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph_of(sources: Sources) -> dict[str, set[str]]:
    """What every module imports; `from package import name` counts as its module where `name` is one."""
    found: dict[str, set[str]] = {}
    for module, text in sources.items():
        names: list[str] = []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                assert node.level == 0, f"{module}: a relative import"
                names += [full if (full := f"{node.module}.{alias.name}") in sources else node.module for alias in node.names]
        found[module] = {name for name in names if name in sources and name != module}
    return found


def place_of(module: str, modules: Collection[str]) -> str:
    """The name under which it should stand in LAYERS: its own, or its folder's."""
    if module in OLD_NAMES:
        return OLD_NAMES[module]
    is_folder = any(other.startswith(f"{module}.") for other in modules)
    return module if is_folder or module in LEVEL else module.rpartition(".")[0]


def upward(graph: Graph) -> list[str]:
    """Imports of a place that does not lie below, "module -> module"."""
    places = {module: place_of(module, graph) for module in graph}
    return sorted(
        f"{module} -> {other}"
        for module, others in graph.items()
        for other in others
        if places[module] != places[other] and LEVEL[places[other]] >= LEVEL[places[module]]
    )


def circles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import one another in a circle, each sorted: the strongly connected components (Tarjan) of two or more."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph[module]:
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            cut = stack.index(module)
            if len(stack) - cut > 1:
                found.append(sorted(stack[cut:]))
            del stack[cut:]

    for module in graph:
        if module not in index:
            visit(module)
    return sorted(found)


def by_string(sources: Sources) -> Iterator[str]:
    """Calls that import one of our modules by its name, or one whose name cannot be read here, "module:line"."""
    for module, text in sources.items():
        tree = ast.parse(text)
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called not in BY_STRING:
                continue
            asked = node.args[0]
            name = constants.get(asked.id) if isinstance(asked, ast.Name) else getattr(asked, "value", None)
            if not isinstance(name, str) or name.split(".")[0] in OURS:
                yield f"{module}:{node.lineno}"


SOURCES = read_sources()
GRAPH = graph_of(SOURCES)


def test_every_folder_has_a_place() -> None:
    assert sorted({place_of(module, SOURCES) for module in SOURCES} - LEVEL.keys()) == []


def test_nothing_imports_upward() -> None:
    assert upward(GRAPH) == []


def test_nothing_imports_in_a_circle() -> None:
    assert circles(GRAPH) == []


def test_nothing_of_ours_is_imported_by_its_name() -> None:
    assert list(by_string(SOURCES)) == []


def test_no_product_code_imports_a_test() -> None:
    tests = [f"{module} -> {other}" for module, others in GRAPH.items() for other in others if other.split(".")[-1].startswith("test_")]
    assert tests == []
    names = {alias for text in SOURCES.values() for node in ast.walk(ast.parse(text)) for alias in _imported(node)}
    assert [name for name in names if name.split(".")[0] == "tests"] == []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_harness_holds_folders_and_three_files() -> None:
    assert {file.name for file in (PROJECT / "harness").iterdir() if file.is_file()} == LOOSE


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        ("harness.data.x", "def f():\n    from harness.gate.plugin import gate", ["harness.data.x -> harness.gate.plugin"]),
        ("harness.judges.x", "if TYPE_CHECKING:\n    import harness.arms.maker", ["harness.judges.x -> harness.arms.maker"]),
        ("evals.q3.x", "from evals.q4 import design", ["evals.q3.x -> evals.q4.design"]),
        ("harness.engines.hf.x", "from harness.engines import chat", []),
        ("harness.engines.x", "from harness.engines.hf.engine import HFEngine", ["harness.engines.x -> harness.engines.hf.engine"]),
    ],
)
def test_an_import_upward_is_found(module: str, text: str, found: list[str]) -> None:
    assert upward(graph_of({**dict.fromkeys(SOURCES, ""), module: text})) == found


def test_a_circle_is_found_and_a_diamond_is_none() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("import_module('fixtures.inputs')", ["m:1"]),
        ("def f(name):\n    return importlib.import_module(name)", ["m:2"]),
        ("NAME = 'harness.gate'\nfind_spec(NAME)", ["m:2"]),
        ("PACKAGE = 'vllm'\nimportlib.util.find_spec(PACKAGE)", []),
    ],
)
def test_an_import_by_name_is_found(text: str, lines: list[str]) -> None:
    assert list(by_string({"m": text})) == lines
