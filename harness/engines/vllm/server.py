"""A vLLM that is already running, over its OpenAI-compatible API: `--engine vllm --server URL`.

It must have been started with the suite's extension and routes (`python -m harness serve`). Replies are those of /v1/completions, where
steering travels in `vllm_xargs`; what is scored or recorded goes through a route of the suite's own, each sequence with its own steering.
Adapters are served under their digest. The server must have the same weights as --model: compared by digest. Needs no vLLM on this
machine. VLLM_API_KEY is sent where it is set.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from harness.data.errors import EngineDied, InputError, InstrumentError
from harness.data.subject import Subject
from harness.engines.vllm.receipts import by_layer, check_adapter, check_receipts, scores_of
from harness.engines.vllm.requests import FIELD, Answer, Request, Served, Stream, vector_bytes

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
        """Send a steering vector [d_model] to the server; its digest."""
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
            read = [i for i in mine if requests[i].sampling is None]
            groups = [read[n : n + AT_ONCE] for n in range(0, len(read), AT_ONCE)]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for group, answered in zip(groups, pool.map(lambda group: self._read([requests[i] for i in group]), groups), strict=True):
                    answers.update(zip(group, answered, strict=True))
                continued = [i for i in mine if requests[i].sampling is not None]
                answers.update(zip(continued, pool.map(lambda i: self._continue(requests[i]), continued), strict=True))
        return [answers[i] for i in range(len(requests))]

    def _read(self, requests: Sequence[Request]) -> list[Answer]:
        """Requests of one subject that are scored or recorded, as one HTTP request."""
        specs = [request.spec(self._key()) for request in requests]
        sequences = [{"tokens": list(request.tokens), FIELD: spec.dumps()} for request, spec in zip(requests, specs, strict=True)]
        found = self._ask("POST", "/v1/evals/read", {"model": self._name_of(requests[0].subject), "sequences": sequences})
        scored = [{key: base64.b64decode(values) for key, values in rank.items()} for rank in found["scored"]]
        answers = []
        for request, spec in zip(requests, specs, strict=True):
            check_receipts([(request, 1)], by_layer(found["steered"], spec.key))
            streams = {
                layer: Stream(np.frombuffer(base64.b64decode(mean), np.float32).copy(), float(norm))
                for layer, (mean, norm) in by_layer(found["recorded"], spec.key).items()
            }
            if missing := set(request.capture) - set(streams):
                raise InstrumentError(f"the server at {self.url} did not record layer {min(missing)}")
            answers.append(Answer(scores_of(request, scored, spec.key), (), streams))
        return answers

    def _continue(self, request: Request) -> Answer:
        assert request.sampling is not None
        sampling, spec = request.sampling, request.spec(self._key())
        body: dict[str, Any] = {
            "model": self._name_of(request.subject),
            "prompt": list(request.tokens),
            "cache_salt": request.salt,
            "add_special_tokens": False,
            "return_token_ids": True,
            "max_tokens": sampling.max_new_tokens,
            "min_tokens": sampling.min_new_tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
            "stop_token_ids": list(sampling.stop),
            **NEUTRAL,
        }
        if spec.doses:
            body |= {"vllm_xargs": {FIELD: spec.dumps()}, "cache_salt": f"{request.salt}-{spec.key}"}  # cached tokens are not steered again
        made = self._ask("POST", "/v1/completions", body)["choices"][0]["token_ids"] or []
        steered = self._ask("POST", "/v1/evals/fetch", {"keys": [spec.key]})["steered"] if spec.doses else []
        check_receipts([(request, len(made))], by_layer(steered, spec.key))
        return Answer(np.zeros(0), tuple(token for token in made if token not in sampling.stop))

    def _key(self) -> str:
        return f"{self._name}-{next(self._numbers)}"

    def _name_of(self, subject: Subject) -> str:
        """What the server calls it."""
        return subject.adapter_digest or self._model

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
