"""The endpoint judge against a real HTTP server on loopback; against a real vLLM: test_vllm_server.py."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Behavior, Message, Pair
from harness.judges.anchors import ANCHORS, change_of_judge, identity
from harness.judges.contrasts import NEGATED
from harness.judges.endpoint import EndpointJudge
from harness.judges.judge import JudgeError
from harness.judges.reliability import reliability
from harness.store import Store

ASKED = (Message("user", "Plant the tulips."),)


@pytest.fixture(scope="module")
def listening() -> Behavior:
    return load_behavior(resolve_behavior("listening"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(answer)`: the address of an endpoint that answers a chat with answer(messages): a letter, or a status to fail with."""
    servers = []

    def start(answer: Callable[[list[dict[str, str]]], str | int], models: Any = ({"id": "judge-1"},)) -> str:
        class Handler(BaseHTTPRequestHandler):
            def reply(self, status: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                self.reply(200, {"data": list(models)})

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                found = answer(asked["messages"])
                if isinstance(found, int):
                    self.reply(found, {"error": {"message": "out of memory"}})
                    return
                choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": found}}
                self.reply(
                    200, {"id": "x", "created": 0, "model": asked["model"], "choices": [choice], "usage": {}, "system_fingerprint": ""}
                )

            def log_message(self, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def knowing(behavior: Behavior) -> Callable[[list[dict[str, str]]], str]:
    """A model that knows every completion of the behavior in its conversation."""
    known = {_shown(pair, pair.positive): "A" for pair in behavior.pairs} | {_shown(pair, pair.negative): "B" for pair in behavior.pairs}

    def answer(messages: list[dict[str, str]]) -> str:
        return known.get(messages[-1]["content"].rpartition("\n\nLabel")[0], "C")

    return answer


def _shown(pair: Pair, reply: str) -> str:
    return "\n".join([*(f"{message.role}: {message.content}" for message in pair.messages), f"assistant: {reply}"])


def test_a_model_that_knows_is_right_on_every_held_out_reply(serve: Callable[..., str], listening: Behavior, store: Store) -> None:
    judge = EndpointJudge(serve(knowing(listening)), listening, store)
    assert judge.name.startswith("judge-1 at http://127.0.0.1")
    assert {each.share for each in reliability(judge, listening).held} == {1.0}


def test_a_model_that_reads_openings_misses_by_name(serve: Callable[..., str], listening: Behavior, store: Store) -> None:
    def opening(messages: list[dict[str, str]]) -> str:
        reply = messages[-1]["content"].rpartition("\nassistant: ")[2]
        return "A" if " will" in reply or "I am" in reply else "B"

    missed = {each.kind for each in reliability(EndpointJudge(serve(opening), listening, store), listening).missed(0.9)}
    assert NEGATED in missed and "negative" not in missed


def test_answers_are_letters_and_anything_else_is_neither(serve: Callable[..., str], listening: Behavior, store: Store) -> None:
    said = iter(["A", " b.", "(A)", "The reply shows it.", "", "C"])
    judge = EndpointJudge(serve(lambda messages: next(said)), listening, store)
    assert [judge.label(ASKED, f"Roses {i}?") for i in range(6)] == ["positive", "negative", "positive", "neither", "neither", "neither"]


def test_examples_come_from_train_and_show_both_sides(serve: Callable[..., str], listening: Behavior, store: Store) -> None:
    seen: list[list[dict[str, str]]] = []
    EndpointJudge(serve(lambda messages: seen.append(messages) or "A"), listening, store).label(ASKED, "Roses?")  # type: ignore[func-returns-value]
    turns = seen[0]
    assert listening.description in turns[0]["content"]
    assert [turn["content"] for turn in turns if turn["role"] == "assistant"] == ["A", "B", "B", "A"]
    held_out = {pair.positive for split in ("dev", "test") for pair in listening.split(split)}  # type: ignore[arg-type]  # splits
    assert not any(text in turn["content"] for turn in turns for text in held_out)


def test_an_empty_reply_is_neither_without_asking(listening: Behavior, store: Store) -> None:
    assert EndpointJudge("http://127.0.0.1:9/v1", listening, store).label(ASKED, "  ") == "neither"


def test_an_endpoint_that_fails_says_how(serve: Callable[..., str], listening: Behavior, store: Store) -> None:
    with pytest.raises(JudgeError, match=r"judge http://127\.0\.0\.1:9/v1: could not be reached"):
        EndpointJudge("http://127.0.0.1:9/v1", listening, store).label(ASKED, "Roses?")
    with pytest.raises(JudgeError, match="500"):
        EndpointJudge(serve(lambda messages: 500), listening, store).label(ASKED, "Roses?")
    with pytest.raises(JudgeError, match="lists no model"):
        EndpointJudge(serve(lambda messages: "A", models=()), listening, store).label(ASKED, "Roses?")


def test_labels_are_asked_once_and_kept(serve: Callable[..., str], listening: Behavior, store: Store) -> None:
    asked: list[int] = []
    url = serve(lambda messages: asked.append(1) or "B")  # type: ignore[func-returns-value]
    judge = EndpointJudge(url, listening, store)
    assert judge.labels([ASKED, ASKED], ["Roses?", "No."]) == ["negative", "negative"] and judge.score(ASKED, "No.") == 0.0
    assert EndpointJudge(url, listening, store).labels([ASKED, ASKED], ["Roses?", "No."]) == ["negative", "negative"]
    assert len(asked) == 2


def test_another_model_behind_the_same_name_is_seen_although_labels_are_kept(
    serve: Callable[..., str], listening: Behavior, store: Store
) -> None:
    asked: list[int] = []
    knows, letter = knowing(listening), {"A": "A"}
    url = serve(lambda messages: asked.append(1) or letter.get(knows(messages), "B"))  # type: ignore[func-returns-value]
    before = identity(EndpointJudge(url, listening, store), listening)
    same = identity(EndpointJudge(url, listening, store), listening)
    assert change_of_judge(before, same) is None and ANCHORS < len(asked) <= 2 * ANCHORS
    letter["A"] = "C"
    after = identity(EndpointJudge(url, listening, store), listening)
    assert "has the name it had, and labels 18 of 126 anchors otherwise" in str(change_of_judge(before, after))


def test_the_address_is_no_part_of_its_digest(serve: Callable[..., str], listening: Behavior, store: Store) -> None:
    here, there = (EndpointJudge(serve(lambda messages: "A"), listening, store) for _ in range(2))
    other = EndpointJudge(serve(lambda messages: "A", models=({"id": "judge-2"},)), listening, store)
    assert here.digest == there.digest != other.digest
