from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.agents.agent import AgentError, Conversation
from harness.agents.command import CommandSignal, CommandSurface
from harness.agents.json_lines import JsonLinesCommand
from harness.data.behavior import Message
from harness.data.errors import InputError
from harness.memory.graph import Link, MemoryGraph, Node

EXAMPLE = Path(__file__).parent / "data" / "signal_example.py"
CONVERSATIONS = [
    Conversation((Message("user", "Plant tulips."),), "Roses instead?"),
    Conversation((Message("user", "Plant tulips."),), "I will plant tulips."),
    Conversation((Message("user", "Zwölf Tulpen."),), "Ich würde rather not."),
]
READ = "import json, sys\nrows = [json.loads(line) for line in sys.stdin]\n"
ANSWER = "print(json.dumps({'id': row['id'], 'flagged': row['id'] == 1, 'confidence': 0.5}))\n"


def signal(tmp_path: Path, body: str, patience: float = 20.0) -> CommandSignal:
    script = tmp_path / "agent.py"
    script.write_text(body)
    return CommandSignal(JsonLinesCommand(f"{sys.executable} {script}", patience))


def test_the_documented_example_works() -> None:
    flags = CommandSignal(JsonLinesCommand(f"{sys.executable} {EXAMPLE}")).flag(CONVERSATIONS)
    assert [flag.flagged for flag in flags] == [True, False, True] and flags[0].span == "instead"


def test_the_order_of_answers_does_not_matter(tmp_path: Path) -> None:
    flags = signal(tmp_path, READ + "for row in reversed(rows):\n    " + ANSWER).flag(CONVERSATIONS)
    assert [flag.flagged for flag in flags] == [False, True, False]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("import sys\nsys.exit('out of memory')", "exited with 1: out of memory"),
        ("import time\ntime.sleep(60)", "did not finish 3 requests within 2 s"),
        ("print('hello')", "'hello' is no JSON object with an id"),
        (READ + "for row in rows[:2]:\n    " + ANSWER, "left 1 of 3 requests unanswered, the first with id 2"),
        (READ + "for row in [*rows, rows[0]]:\n    " + ANSWER, "id 0 is answered twice"),
        (READ + "for row in rows:\n    row['id'] += 5\n    " + ANSWER, "id 5 was not asked; asked were 0 to 2"),
        (READ + "for row in rows:\n    print(json.dumps({'id': row['id'], 'flagged': 'yes', 'confidence': 0.5}))", "flagged"),
        (READ + "for row in rows:\n    print(json.dumps({'id': row['id'], 'flagged': True, 'confidence': 7}))", "confidence"),
        (READ + 'for row in rows:\n    print(\'{"id": %d, "flagged": true, "confidence": NaN}\' % row[\'id\'])', "confidence"),
        (
            READ + "for row in rows:\n    print(json.dumps({'id': row['id'], 'flagged': True, 'confidence': 1, 'span': 'never said'}))",
            "names a span that the reply does not hold",
        ),
    ],
)
def test_an_agent_that_fails_says_how(tmp_path: Path, body: str, says: str) -> None:
    with pytest.raises(AgentError, match=r"training-signal: ") as failure:
        signal(tmp_path, body, 2.0 if "sleep" in body else 20.0).flag(CONVERSATIONS)
    assert says in str(failure.value) and "\n" not in str(failure.value)


def test_a_program_that_is_not_there_is_a_failure_of_the_agent() -> None:
    with pytest.raises(AgentError, match="could not be started: No such file"):
        CommandSignal(JsonLinesCommand("no-such-agent --quick")).flag(CONVERSATIONS)


@pytest.mark.parametrize("command", ["", "   ", "agent 'unclosed"])
def test_a_command_that_is_none_is_refused_at_once(command: str) -> None:
    with pytest.raises(InputError, match="allowed: a program and its arguments"):
        JsonLinesCommand(command)


GRAPH = MemoryGraph(
    (Node("a", "pattern", "one", "2026-05-01", 0.5), Node("b", "episode", "two", "2026-05-01", 0.5)), (Link("b", "a", "instance_of", 1.0),)
)


def surface(tmp_path: Path, node: str) -> CommandSurface:
    script = tmp_path / "surface.py"
    script.write_text(
        READ + "known = [n['id'] for n in rows[0]['memory']['nodes']]\nassert known == ['a', 'b']\n"
        "print(json.dumps({'id': 0, 'nodes': []}))\n"
        f"for row in rows[1:]:\n    print(json.dumps({{'id': row['id'], 'nodes': [{{'node': '{node}', 'score': row['id'] / 10}}]}}))\n"
    )
    return CommandSurface(JsonLinesCommand(f"{sys.executable} {script}"))


def test_a_surfacing_program_sees_the_memory_and_scores_by_name(tmp_path: Path) -> None:
    assert surface(tmp_path, "b").surface(GRAPH, CONVERSATIONS).tolist() == [[0, 0.1], [0, 0.2], [0, 0.3]]


def test_a_node_that_does_not_exist_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="surfaced ghost, which is no node of the graph"):
        surface(tmp_path, "ghost").surface(GRAPH, CONVERSATIONS)
