"""A vLLM that is already running, over its OpenAI-compatible API: `--engine vllm --server URL`.

It must have been started with the suite's extension and routes (`python -m harness serve`). Scores are prompt log-probabilities of
/v1/completions; steering travels in each request's `vllm_xargs`, adapters are served under their digest. The server must have the same
weights as --model: compared by digest. Needs no vLLM on this machine. VLLM_API_KEY is sent where it is set.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from harness.data.errors import EngineDied, InputError, InstrumentError
from harness.data.subject import Subject
from harness.engines.vllm_local import check_adapter
from harness.engines.vllm_requests import (
    FIELD,
    Answer,
    Request,
    Served,
    Spec,
    Stream,
    by_layer,
    check_receipts,
    vector_bytes,
)

START = "python -m harness serve MODEL"
AT_ONCE = 32
"""HTTP requests under way at a time, and sequences in one of them."""
TIMEOUT_S = 600
NEUTRAL = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""The server may have defaults of its own for these."""


class _Refused(Exception):
    """The server's answer was an error; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Connection:
    """JSON over HTTP, a connection for each thread."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._address = urlsplit(self.url)
        self._own = threading.local()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; _Refused for an error status, OSError or HTTPException where nobody answers."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/octet-stream" if isinstance(body, bytes) else "application/json"}
        if key := os.environ.get("VLLM_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        try:
            answer, text = self._exchange(method, path, data, headers)
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            answer, text = self._exchange(method, path, data, headers)  # the server had closed an idle connection
        try:
            content = json.loads(text) if text else None
        except ValueError:
            content = None
        if answer.status >= 400:
            error = content.get("error", content) if isinstance(content, dict) else None
            message = error.get("message") if isinstance(error, dict) else None
            raise _Refused(answer.status, str(message or answer.reason))
        return content

    def _exchange(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            connection = self._connection()
            connection.request(method, self._address.path + path, data, headers)
            answer = connection.getresponse()
            return answer, answer.read()
        except (OSError, http.client.HTTPException):
            self._own.connection = None
            raise

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._address.scheme == "https" else http.client.HTTPConnection
            connection = self._own.connection = kind(self._address.hostname or "", self._address.port, timeout=TIMEOUT_S)
        return connection


def describe(url: str) -> dict[str, Any]:
    """What the server says of its model; InputError where none answers, or one without the suite's extension."""
    try:
        answer: dict[str, Any] = _Connection(url).ask("GET", "/v1/evals/model")
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"--server {url}: nothing answers there ({type(error).__name__}); start one with: {START}") from None
    except _Refused as refused:
        if refused.status == 401:
            raise InputError(f"--server {url}: it asks for a key; set VLLM_API_KEY") from None
        raise InputError(f"--server {url}: no vllm with the suite's extension ({refused}); start it with: {START}") from None
    return answer


class ServedVLLM:
    """One base model behind a URL. It is not ours: `close` leaves it running."""

    def __init__(self, url: str, base: Subject) -> None:
        self.url, self.base = url, base
        found = describe(url)
        self._connection = _Connection(url)
        self._model, first = str(found["served"]), found["ranks"][0]
        digest = self._connection.ask("GET", "/v1/evals/digest")["digest"]
        if digest is not None and digest != base.base_digest:
            raise InputError(f"--server {url}: it serves {first['model']} with other weights than --model {base.name} (digest {digest})")
        self.served = Served(
            first["layers"],
            first["width"],
            max(0, first["adapters"] - 1),
            f"vllm {first['version']} server, {first['device']}, {first['dtype']}, {len(found['ranks'])} workers",
        )
        self._name = uuid.uuid4().hex[:12]
        self._numbers = itertools.count()
        self._adapters: set[str] = set()
        self._dead: str | None = None

    def only(self, subject: Subject) -> ServedVLLM:
        """This server, for subjects with its base; InputError for a checkpoint, which it does not hold."""
        if subject.base_digest != self.base.base_digest:
            raise InputError(f"--server {self.url}: it serves {self.base.name}; the checkpoint {subject.name} needs a server of its own")
        return self

    def put(self, vector: NDArray[np.float32]) -> str:
        return str(self._ask("PUT", "/v1/evals/vectors", vector_bytes(vector, self.served.width))["digest"])

    def close(self) -> None:
        """Nothing to end."""

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """One subject after another, so that no more adapters are in use than the server has slots for."""
        answers: dict[int, Answer] = {}
        digests = dict.fromkeys(request.subject.digest for request in requests)
        for digest in digests:
            mine = [i for i, request in enumerate(requests) if request.subject.digest == digest]
            self._adapter(requests[mine[0]].subject)
            groups = list(_groups(requests, mine))
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for group, answered in zip(groups, pool.map(lambda group: self._group([requests[i] for i in group]), groups), strict=True):
                    answers.update(zip(group, answered, strict=True))
        return [answers[i] for i in range(len(requests))]

    def _group(self, requests: Sequence[Request]) -> list[Answer]:
        """Requests that differ in their tokens only, as one HTTP request."""
        first = requests[0]
        spec = Spec(f"{self._name}-{next(self._numbers)}", first.given, first.doses, first.capture)
        body: dict[str, Any] = {
            "model": first.subject.adapter_digest or self._model,
            "prompt": [list(request.tokens) for request in requests],
            "cache_salt": first.salt,
            "add_special_tokens": False,
            "return_token_ids": True,
            **NEUTRAL,
        }
        sampling = first.sampling
        if sampling is None:
            body |= {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
        else:
            body |= {"max_tokens": sampling.max_new_tokens, "min_tokens": sampling.min_new_tokens, "temperature": sampling.temperature}
            body |= {"seed": sampling.seed, "stop_token_ids": list(sampling.stop)}
        watched = bool(spec.doses or spec.capture)
        if watched:
            body["vllm_xargs"] = {FIELD: spec.dumps()}
        choices = sorted(self._ask("POST", "/v1/completions", body)["choices"], key=lambda choice: choice["index"])
        fetched = self._ask("POST", "/v1/evals/fetch", {"keys": [spec.key]}) if watched else {"steered": [], "recorded": []}
        made = [choice["token_ids"] or [] for choice in choices]
        check_receipts(list(zip(requests, map(len, made), strict=True)), by_layer(fetched["steered"], spec.key))
        streams = {
            layer: Stream(np.frombuffer(base64.b64decode(mean), np.float32).copy(), float(norm))
            for layer, (mean, norm) in by_layer(fetched["recorded"], spec.key).items()
        }
        if set(first.capture) - set(streams):
            raise InstrumentError(f"the server at {self.url} did not record layer {min(set(first.capture) - set(streams))}")
        return [_answer(request, choice, tokens, streams) for request, choice, tokens in zip(requests, choices, made, strict=True)]

    def _adapter(self, subject: Subject) -> None:
        if subject.adapter is None or subject.adapter_digest is None:
            return
        asked = {"digest": subject.adapter_digest, "path": str(subject.adapter.resolve())}
        check_adapter(self._ask("PUT", "/v1/evals/adapters", asked)["ranks"], subject)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        if self._dead is not None:
            raise EngineDied(self._dead)
        try:
            return self._connection.ask(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            self._dead = f"the vllm server at {self.url} stopped answering in mid-run ({type(error).__name__})"
        except _Refused as refused:
            if refused.status < 500:
                raise InstrumentError(f"the vllm server at {self.url} refused a request: {refused}") from None
            self._dead = f"the vllm server at {self.url} failed in mid-run: {str(refused).splitlines()[0]}"
        raise EngineDied(self._dead)


def _groups(requests: Sequence[Request], mine: Sequence[int]) -> Iterator[list[int]]:
    """Indices of requests that one HTTP request can carry: equal but for their tokens, and neither recorded nor sampled."""
    together: dict[Any, list[int]] = {}
    for i in mine:
        request = requests[i]
        if request.capture or request.sampling is not None:
            yield [i]
            continue
        key = (request.doses, request.given if any(dose.positions != "both" for dose in request.doses) else None)
        group = together.setdefault(key, [])
        group.append(i)
        if len(group) == AT_ONCE:
            yield together.pop(key)
    yield from together.values()


def _answer(request: Request, choice: Any, made: Sequence[int], streams: dict[int, Stream]) -> Answer:
    if request.sampling is not None:
        return Answer(np.zeros(0), tuple(token for token in made if token not in request.sampling.stop), streams)
    entries = choice["prompt_logprobs"][request.given :]
    values = [entry[str(token)]["logprob"] for entry, token in zip(entries, request.tokens[request.given :], strict=True)]
    return Answer(np.array(values, dtype=np.float64), (), streams)
