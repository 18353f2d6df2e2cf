from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fixtures.dreams import difficulty_model
from fixtures.memory import load_memory
from harness.agents.json_lines import JsonLinesCommand
from harness.data.errors import InputError
from harness.dreams import scenarios
from harness.dreams.loops import CommandDreams, FileDreams, said_in, thing_of
from harness.dreams.scenarios import Collected, Dream, DreamError, DreamLoop
from harness.dreams.walk import Walk, walks
from harness.memory.graph import MemoryGraph, Node

EXAMPLE = Path(__file__).parent / "data" / "dreams_example.py"


def node(text: str, kind: str = "episode", created: str = "2026-07-01T00:00:00Z") -> Node:
    return Node(text[:12], kind, text, created, 0.5)  # type: ignore[arg-type]  # a kind


@dataclass
class Planted:
    """A loop that says the next of these texts, whatever it is asked."""

    texts: list[str]
    holds: int | None = None
    name: str = "planted"
    asked: int = 0

    def dream(self, walks: Sequence[Walk], temperature: float, seed: int) -> list[Dream]:
        first, self.asked = self.asked, self.asked + len(walks)
        return [Dream(self.texts[i % len(self.texts)]) for i in range(first, self.asked)]


def empty(count: int) -> list[Walk]:
    return [()] * count


def collect(loop: DreamLoop, walk: Callable[[int], Sequence[Walk]], wanted: int, known: Sequence[str] = ()) -> Collected:
    return scenarios.collect(loop, walk, wanted, difficulty_model(), temperature=0.7, seed=0, known=known)


def test_walks_start_at_patterns_and_follow_links() -> None:
    graph = load_memory(None)
    joined = {frozenset((link.source, link.target)) for link in graph.links}
    for walk in walks(graph, 50, np.random.default_rng(0)):
        assert walk[0].kind == "pattern" and 2 <= len(walk) <= 3
        assert all(frozenset((a.id, b.id)) in joined for a, b in pairwise(walk))


def test_recent_patterns_are_dreamed_of_more() -> None:
    graph = MemoryGraph((node("old", "pattern", "2026-06-01T00:00:00Z"), node("new", "pattern", "2026-06-15T00:00:00Z")), ())
    starts = Counter(walk[0].id for walk in walks(graph, 2000, np.random.default_rng(0)))
    assert starts["new"] / starts["old"] == pytest.approx(4, rel=0.25)  # two half-lives apart


def test_a_graph_without_patterns_is_refused() -> None:
    with pytest.raises(ValueError, match="no pattern to dream of"):
        walks(MemoryGraph((node("a"),), ()), 1, np.random.default_rng(0))


def test_things_are_named_by_memories_and_not_by_talk_about_talk() -> None:
    rng = np.random.default_rng(0)
    assert thing_of((node("The reply was long."), node("It put the letter away.")), rng) == "the letter"
    assert thing_of((node("A pattern names the dog.", "pattern"), node("Nothing here.")), rng) is None


def test_a_written_situation_is_what_the_user_says() -> None:
    assert said_in("It rained all night. The user says: Plant the tulips.") == "It rained all night. Plant the tulips."


def test_unreadable_and_repeated_dreams_are_counted_and_asked_for_again() -> None:
    texts = [
        "Plant the tulips along the fence today.",
        "so so so so so so so so",
        "Plant the tulips along the fence, today!",
        "Wash two cups by hand.",
    ]
    found = collect(Planted(texts), empty, 2)
    assert [scenario.text for scenario in found.scenarios] == [texts[0], texts[3]]
    assert (found.unreadable, found.repeated) == (1, 1)


def test_prompts_of_the_behavior_are_not_dreamed_again() -> None:
    found = collect(Planted(["Wash two cups by hand."]), empty, 1, known=["Wash two cups by hand."])
    assert not found.scenarios and found.repeated == 4  # one in each round


def test_provenance_is_the_walk() -> None:
    graph = load_memory(None)
    walk = walks(graph, 1, np.random.default_rng(3))[0]
    scenario = collect(Planted(["Wash two cups by hand."]), lambda count: [walk], 1).scenarios[0]
    assert scenario.seeds == tuple(each.id for each in walk) and scenario.domain == walk[-1].id and scenario.labeled_by == "rubric"


def test_a_file_is_read_with_its_labels_and_asked_once(tmp_path: Path) -> None:
    rows = [{"text": f"Wash {n} cups by hand.", "label": "subtle", "seeds": ["m1"]} for n in ("two", "nine")]
    (tmp_path / "dreams.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = collect(FileDreams.read(tmp_path / "dreams.jsonl"), empty, 100)
    assert [(s.label, s.labeled_by, s.domain) for s in found.scenarios] == [("subtle", "file dreams.jsonl", "m1")] * 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"text": "Wash.", "label": "hard"}', "line 1: label"),
        ('{"say": "Wash."}', "line 1"),
        ("Wash two cups", "line 1: not JSON"),
        ("", "holds no scenario"),
    ],
)
def test_a_wrong_file_is_one_line_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "dreams.jsonl").write_text(text)
    with pytest.raises(InputError, match=says):
        FileDreams.read(tmp_path / "dreams.jsonl")
    with pytest.raises(InputError, match="no such file"):
        FileDreams.read(tmp_path / "nothing.jsonl")


def test_the_documented_example_works() -> None:
    loop = CommandDreams(JsonLinesCommand(f"{sys.executable} {EXAMPLE}"))
    dreams = loop.dream([(node("Plant the tulips."),), ()], 0.7, 0)
    assert "Plant the tulips" in dreams[0].text and dreams[1].label is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("import sys\nsys.exit('no model')", "exited with 1: no model"),
        ('print(\'{"id": 0, "text": 5}\')', "text"),
        ('print(\'{"id": 0, "text": "Wash.", "label": "hard"}\')', "label"),
    ],
)
def test_a_program_that_fails_says_how(tmp_path: Path, body: str, says: str) -> None:
    (tmp_path / "dream.py").write_text(body)
    with pytest.raises(DreamError, match=f"dream loop: .*{says}"):
        CommandDreams(JsonLinesCommand(f"{sys.executable} {tmp_path / 'dream.py'}")).dream([()], 0.7, 0)
