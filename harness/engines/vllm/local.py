"""vLLM started by this suite: in this process, or in child processes of its own, on one device or several.

Adapters are loaded under a number of their own for each content, never by path: another content is another adapter.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.arrays import Floats
from harness.data.errors import EngineDied, InputError, InstrumentError
from harness.data.subject import Subject
from harness.engines.vllm.receipts import by_layer, check_adapter, check_receipts, scores_of
from harness.engines.vllm.requests import FIELD, Answer, Request, Served, Spec, Stream, check_spec, vector_bytes
from harness.engines.vllm.settings import LocalSettings, environment
from harness.process import orphans
from harness.subjects.files import ADAPTER_CONFIG, adapter_digest, read_json

AT_ONCE = 2048
"""Requests handed to vLLM in one go; it makes batches of them itself."""


class LocalVLLM:
    """One base model in one vLLM. `close` ends its processes; in process its memory stays taken until the process ends."""

    def __init__(self, base: Subject, settings: LocalSettings) -> None:
        self.base, self.settings = base, settings
        with _environment(environment(settings)), _one_line(f"vllm could not load {base.name}"):
            from vllm import LLM, envs

            envs.disable_envs_cache()  # of a vLLM started earlier in this process
            self._llm: Any = LLM(**settings.arguments(base.base), trust_remote_code=base.trust_remote_code)
        if settings.in_process:
            os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "0"  # vLLM's configuration goes on asking
        self._numbers = itertools.count(1)
        self._keys = (f"{os.getpid()}-{n}" for n in itertools.count())
        self._loaded: OrderedDict[str, Any] = OrderedDict()
        """LoRARequest by digest of the adapter, least recently used first."""
        self._vectors: set[str] = set()
        self._dead: str | None = None
        with _one_line("vllm's worker could not be prepared"):
            ranks: list[dict[str, Any]] = self._llm.collective_rpc("evals_install")
        first = ranks[0]
        missing = set(range(first["layers"])) - {layer for rank in ranks for layer in rank["here"]}
        if missing:
            raise InstrumentError(f"vllm's workers hold no layer {min(missing)} of {base.name}: it cannot be steered")
        self.processes = tuple(rank["pid"] for rank in ranks)
        shape = f"tensor parallel {settings.tensor_parallel}, pipeline parallel {settings.pipeline_parallel}"
        self.served = Served(
            first["layers"],
            first["width"],
            max(0, first["adapters"] - 1),
            f"vllm {first['version']}, {first['device']}, {first['dtype']}, {shape}",
        )

    def put(self, vector: NDArray[np.float32]) -> str:
        """Load a steering vector [d_model] into every worker; its digest."""
        data = vector_bytes(vector, self.served.width)
        with self._alive():
            digest = str(self._llm.collective_rpc("evals_put", args=(data,))[0])
        self._vectors.add(digest)
        return digest

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers, one a request, in order; in several batches where the requests need more adapters than there are slots."""
        answers: list[Answer] = []
        for part in self._parts(requests):
            answers += self._run(part)
        return answers

    def _parts(self, requests: Sequence[Request]) -> Iterator[list[Request]]:
        """Runs of requests that need no more adapters than there are slots."""
        part: list[Request] = []
        adapters: set[str] = set()
        for request in requests:
            own = request.subject.adapter_digest
            if len(part) == AT_ONCE or (own is not None and own not in adapters and len(adapters) == self.served.adapter_slots):
                yield part
                part, adapters = [], set()
            part.append(request)
            if own is not None:
                adapters.add(own)
        if part:
            yield part

    def _run(self, requests: Sequence[Request]) -> list[Answer]:
        keys = [next(self._keys) for _ in requests]
        specs = [request.spec(key) for key, request in zip(keys, requests, strict=True)]
        for spec in specs:
            check_spec(spec, self._vectors, self.served.layers)
        with self._alive():
            adapters = [self._adapter(request.subject) for request in requests]
            outputs = self._llm.generate(
                [{"prompt_token_ids": list(request.tokens)} for request in requests],
                [self._parameters(request, spec) for request, spec in zip(requests, specs, strict=True)],
                lora_request=adapters if any(adapters) else None,
                use_tqdm=False,
            )
            steered = self._fetch("evals_receipts", [spec.key for spec in specs if spec.doses])
            recorded = self._fetch("evals_recorded", [spec.key for spec in specs if spec.capture])
            scored = self._fetch("evals_scores", [spec.key for spec in specs if spec.score])
        answers = []
        for key, request, output in zip(keys, requests, outputs, strict=True):
            made = output.outputs[0].token_ids
            check_receipts([(request, len(made))], by_layer(steered, key))
            answers.append(_answer(request, made, by_layer(recorded, key), scores_of(request, scored, key)))
        return answers

    def _fetch(self, method: str, keys: Sequence[str]) -> list[Any]:
        """What every worker says of these requests."""
        found: list[Any] = self._llm.collective_rpc(method, args=(keys,)) if keys else []
        return found

    def _parameters(self, request: Request, spec: Spec) -> Any:
        from vllm import SamplingParams

        extra = {FIELD: spec.dumps()} if spec.doses or spec.capture or spec.score else None
        sampling = request.sampling
        if sampling is None:  # skip_clone: these parameters are this request's own, and vLLM need not copy them
            return SamplingParams(max_tokens=1, temperature=0.0, detokenize=False, extra_args=extra, skip_clone=True)
        return SamplingParams(
            max_tokens=sampling.max_new_tokens,
            min_tokens=sampling.min_new_tokens,
            temperature=sampling.temperature,
            seed=sampling.seed if sampling.temperature > 0 else None,
            stop_token_ids=list(sampling.stop),
            detokenize=False,
            extra_args=extra,
            skip_clone=True,
        )

    def _adapter(self, subject: Subject) -> Any | None:
        """vLLM's name for the subject's adapter, loaded now if it was not; None for the base itself."""
        if subject.base_digest != self.base.base_digest:
            raise InstrumentError(f"this vllm runs the base {self.base.name}, asked was {subject.name}, which has another base")
        digest, folder = subject.adapter_digest, subject.adapter
        if digest is None or folder is None:
            return None
        if digest in self._loaded:
            self._loaded.move_to_end(digest)
            return self._loaded[digest]
        if (found := adapter_digest(folder)) != digest:
            raise InstrumentError(f"{folder}: the adapter changed since the run began (digest {found}, was {digest})")
        rank = int(read_json(folder / ADAPTER_CONFIG).get("r", 0))
        if rank > self.settings.adapter_rank:
            raise InputError(f"{folder}: the adapter has rank {rank}, vllm was started for at most {self.settings.adapter_rank}")
        from vllm.lora.request import LoRARequest

        while len(self._loaded) >= self.served.adapter_slots:
            _, oldest = self._loaded.popitem(last=False)
            self._llm.llm_engine.remove_lora(oldest.lora_int_id)
        request = LoRARequest(lora_name=digest, lora_int_id=next(self._numbers), lora_path=str(folder))
        self._llm.llm_engine.add_lora(request)
        try:
            check_adapter(self._llm.collective_rpc("evals_adapter", args=(request.lora_int_id,)), subject)
        except InstrumentError:
            self._llm.llm_engine.remove_lora(request.lora_int_id)  # it would keep its slot
            raise
        self._loaded[digest] = request
        return request

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        """EngineDied where vLLM's processes have ended, now or earlier."""
        from vllm.v1.engine.exceptions import EngineDeadError

        if self._dead is not None:
            raise EngineDied(self._dead)
        try:
            yield
        except Exception as error:
            others = [pid for pid in self.processes if pid != os.getpid()]
            died = Path("/proc").is_dir() and None in map(orphans.born, others)
            if not isinstance(error, EngineDeadError) and not died:
                raise
            self._dead = f"vllm's worker died in mid-run while it served {self.base.name}"
            raise EngineDied(self._dead) from None

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._llm.llm_engine.engine_core.shutdown()


def _answer(request: Request, made: Sequence[int], streams: Mapping[int, Any], values: Floats) -> Answer:
    stop = request.sampling.stop if request.sampling else ()
    found = {layer: Stream(np.frombuffer(mean, np.float32).copy(), float(norm)) for layer, (mean, norm) in streams.items()}
    missing = set(request.capture) - set(found)
    if missing:
        raise InstrumentError(f"vllm did not record layer {min(missing)}: the model does not run through the suite's hooks")
    return Answer(values, tuple(token for token in made if token not in stop) if request.sampling else (), found)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """These environment variables while vLLM starts; its child processes keep them."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Whatever vLLM raises while it starts, as one line."""
    try:
        yield
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InstrumentError(f"{what}: {lines[-1] if lines else type(error).__name__}; python -m harness doctor --engine vllm") from error
