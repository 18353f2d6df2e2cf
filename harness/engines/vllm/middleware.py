"""The server's side of steering: `vllm serve … --middleware harness.engines.vllm.middleware.SteeringRoutes`.

Adds routes under /v1/evals (so that an API key guards them as it guards the rest): vectors and adapters in, receipts and
recordings out, and sequences that are scored or recorded, each with a key of its own. A request whose steering does not fit is answered
with 400 and the reason before the engine sees it: in the engine it would take the server down. A steered request without a cache salt
gets one, so that its cached blocks serve no other request; one that is scored or recorded always does, so that none of it is skipped.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.engines.vllm.requests import FIELD, Spec, SteeringRefused, check_spec, parse_spec
from harness.store import digest_of
from harness.subjects.files import adapter_digest, base_digest

PREFIX = "/v1/evals"
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class SteeringRoutes:
    """ASGI middleware around vLLM's own server."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app
        self._lock = asyncio.Lock()
        self._ranks: list[dict[str, Any]] | None = None
        self._known: set[str] = set()
        self._adapters: OrderedDict[str, int] = OrderedDict()
        """vLLM's number by digest, least recently used first."""
        self._state: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"].startswith(PREFIX) or scope["method"] == "POST":
            await self._ready(scope["app"])
        if scope["method"] == "POST" and not scope["path"].startswith(PREFIX):
            body = await _read(receive)
            try:
                body = await self._checked(body)
            except SteeringRefused as refused:
                error = {"message": str(refused), "type": "BadRequestError", "code": 400}
                await JSONResponse({"error": error}, status_code=400)(scope, receive, send)
                return
            headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
            scope = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
            receive = _replayed(body, receive)
        await self.app(scope, receive, send)

    async def _ready(self, app: Any) -> list[dict[str, Any]]:
        """Prepare the workers and add the routes, before the first request gets through."""
        async with self._lock:
            if self._ranks is None:
                self._state = app.state
                self._ranks = await self._workers("evals_install")
                routes = [
                    Route(f"{PREFIX}/model", self._model),
                    Route(f"{PREFIX}/digest", self._digest),
                    Route(f"{PREFIX}/vectors", self._vectors, methods=["PUT"]),
                    Route(f"{PREFIX}/adapters", self._adapter, methods=["PUT"]),
                    Route(f"{PREFIX}/read", self._read, methods=["POST"]),
                    Route(f"{PREFIX}/fetch", self._fetch, methods=["POST"]),
                ]
                app.router.routes[:0] = routes
        return self._ranks

    async def _workers(self, method: str, *arguments: Any) -> list[Any]:
        answers: list[Any] = await self._state.engine_client.collective_rpc(method, args=arguments)
        return answers

    async def _checked(self, body: bytes) -> bytes:
        """The body of a request to vLLM, its steering checked and its cache salted; untouched where there is none."""
        if FIELD.encode() not in body:
            return body
        try:
            content = json.loads(body)
            text = (content.get("vllm_xargs") or {}).get(FIELD)
        except (ValueError, AttributeError):
            return body  # vLLM has a better message
        if text is None:
            return body
        spec = await self._spec(text)
        if spec.score:
            raise SteeringRefused(f"{FIELD}: score is for {PREFIX}/read, where each sequence has a key of its own")
        if spec.doses and not content.get("cache_salt"):
            content["cache_salt"] = digest_of(text)
        return json.dumps(content).encode()

    async def _spec(self, text: object) -> Spec:
        """A request's steering, checked; SteeringRefused where it does not fit."""
        assert self._ranks is not None
        spec = parse_spec(text)
        if not {dose.vector for dose in spec.doses} <= self._known:
            self._known = set((await self._workers("evals_vectors"))[0])  # another server process may have loaded it
        check_spec(spec, self._known, self._ranks[0]["layers"])
        return spec

    async def _model(self, _request: HttpRequest) -> Response:
        models = self._state.openai_serving_models
        return JSONResponse({"served": models.base_model_paths[0].name, "ranks": self._ranks})

    async def _digest(self, _request: HttpRequest) -> Response:
        """Digest of the weights served; null where they are not a folder on this machine."""
        assert self._ranks is not None
        folder = Path(self._ranks[0]["model"])
        return JSONResponse({"digest": await asyncio.to_thread(base_digest, folder) if folder.is_dir() else None})

    async def _vectors(self, request: HttpRequest) -> Response:
        assert self._ranks is not None
        data, width = await request.body(), self._ranks[0]["width"]
        if len(data) != 4 * width:
            return _refused(f"a steering vector must be {width} numbers of 4 bytes, found {len(data)} bytes")
        digest = (await self._workers("evals_put", data))[0]
        self._known.add(digest)
        return JSONResponse({"digest": digest})

    async def _adapter(self, request: HttpRequest) -> Response:
        """Load an adapter from a folder that this machine sees, under its digest."""
        assert self._ranks is not None
        asked = await request.json()
        digest, folder = str(asked["digest"]), Path(str(asked["path"]))
        slots = self._ranks[0]["adapters"] - 1
        if slots < 1:
            return _refused("the server takes no adapters: start it with --enable-lora --max-loras 2 or more")
        if not folder.is_dir():
            return _refused(f"{folder}: no such folder on the server's machine; adapters are read from a folder that both see")
        found = await asyncio.to_thread(adapter_digest, folder)
        if found != digest:
            return _refused(f"{folder}: the adapter there has digest {found}, asked for was {digest}")
        async with self._lock:
            models, client = self._state.openai_serving_models, self._state.engine_client
            if digest not in models.lora_requests:
                while len(self._adapters) >= slots:
                    name, number = self._adapters.popitem(last=False)
                    models.lora_requests.pop(name, None)
                    await client.remove_lora(number)
                from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest

                answer = await models.load_lora_adapter(LoadLoRAAdapterRequest(lora_name=digest, lora_path=str(folder)))
                if not isinstance(answer, str):
                    return _refused(answer.error.message)
            self._adapters[digest] = models.lora_requests[digest].lora_int_id
            self._adapters.move_to_end(digest)
            return JSONResponse({"ranks": await self._workers("evals_adapter", self._adapters[digest])})

    async def _read(self, request: HttpRequest) -> Response:
        """Run sequences {tokens, evals} of one model or adapter through it and continue none; answered as `_fetch` does."""
        asked = await request.json()
        models = self._state.openai_serving_models
        lora = models.lora_requests.get(asked["model"])
        if lora is None and asked["model"] not in [path.name for path in models.base_model_paths]:
            return _refused(f"{asked['model']}: neither the model served here nor an adapter that was loaded")
        sequences = [([int(token) for token in one["tokens"]], one[FIELD]) for one in asked["sequences"]]
        try:
            keys = [(await self._spec(text)).key for _, text in sequences]
            if len(set(keys)) < len(keys):
                raise SteeringRefused(f"{FIELD}: two sequences have the same key")
            await asyncio.gather(*(self._run(tokens, text, lora) for tokens, text in sequences))
        except ValueError as refused:  # SteeringRefused, or vLLM's own: too long, a token that the model does not know
            return _refused(str(refused))
        return await self._receipts(keys)

    async def _run(self, tokens: list[int], text: str, lora: Any) -> None:
        from vllm import SamplingParams

        parameters = SamplingParams(max_tokens=1, temperature=0.0, detokenize=False, extra_args={FIELD: text})
        prompt = {"prompt_token_ids": tokens, "cache_salt": digest_of(text)}
        async for _ in self._state.engine_client.generate(prompt, parameters, f"evals-{uuid.uuid4().hex}", lora_request=lora):
            pass

    async def _fetch(self, request: HttpRequest) -> Response:
        """Receipts and recordings of the requests with these keys, by rank; handed out once."""
        return await self._receipts([str(key) for key in (await request.json())["keys"]])

    async def _receipts(self, keys: Sequence[str]) -> Response:
        recorded, scored = await self._workers("evals_recorded", keys), await self._workers("evals_scores", keys)
        steered = await self._workers("evals_receipts", keys)
        streams = [
            {key: {layer: [_text(mean), norm] for layer, (mean, norm) in by.items()} for key, by in rank.items()} for rank in recorded
        ]
        scores = [{key: _text(values) for key, values in rank.items()} for rank in scored]
        return JSONResponse({"steered": steered, "recorded": streams, "scored": scores})


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _refused(message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "BadRequestError", "code": 400}}, status_code=400)


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` as if the body had not been read yet."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return pending.pop() if pending else await receive()

    return again
