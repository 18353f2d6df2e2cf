"""What is asked of a vLLM, in this process, in child processes or behind a URL, and what it answers: plain data, no vLLM and no torch.

Steering travels with each request as one string of JSON in its sampling parameters' `extra_args` (over HTTP `vllm_xargs`), under
FIELD. The same function checks it on the way out, on the server's way in and in the worker, so that whatever does not fit is
refused by name and a request is never left unsteered.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from harness.data.arrays import Floats
from harness.data.subject import Subject
from harness.engines.protocol import Positions

FIELD = "evals"
POSITIONS = get_args(Positions)


class SteeringRefused(ValueError):
    """A request's steering does not fit the model or what was loaded; the message is one line."""


@dataclass(frozen=True)
class Dose:
    """One vector of one request, added to the residual stream after `layer`."""

    vector: str
    """Digest of the loaded vector (`vector_digest`)."""
    layer: int
    scale: float = 1.0
    """Factor on the vector as loaded."""
    positions: Positions = "both"


@dataclass(frozen=True)
class Spec:
    """What the worker is to do during one request, beside running it."""

    key: str
    """Unique name under which receipts and recordings of the request are kept until fetched."""
    given: int | None = None
    """Tokens that count as prompt for `positions`; None: those the request was sent with."""
    doses: tuple[Dose, ...] = ()
    capture: tuple[int, ...] = ()
    """Layers after which the residual stream is recorded."""
    score: bool = False
    """Whether the tokens from `given` on are scored; each sequence then needs a key of its own."""

    def dumps(self) -> str:
        """As JSON text."""
        doses = [[dose.vector, dose.layer, dose.scale, dose.positions] for dose in self.doses]
        return json.dumps({"key": self.key, "given": self.given, "doses": doses, "capture": list(self.capture), "score": self.score})


def parse_spec(text: object) -> Spec:
    """The spec in a request's extra arguments; SteeringRefused names what is wrong with it."""
    try:
        raw = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise SteeringRefused(f"{FIELD}: not valid JSON ({error})") from None
    if not isinstance(raw, Mapping):
        raise SteeringRefused(f"{FIELD}: found a {type(raw).__name__}, allowed is a JSON object")
    unknown = sorted(set(raw) - {"key", "given", "doses", "capture", "score"})
    if unknown:
        raise SteeringRefused(f"{FIELD}: unknown entry {unknown[0]!r}; allowed: key, given, doses, capture, score")
    given, capture, doses = raw.get("given"), raw.get("capture", []), raw.get("doses", [])
    if given is not None and (not isinstance(given, int) or given < 0):
        raise SteeringRefused(f"{FIELD}: given is {given!r}, allowed is a whole number of tokens, or null")
    if not isinstance(doses, Sequence) or not isinstance(capture, Sequence) or not all(isinstance(layer, int) for layer in capture):
        raise SteeringRefused(f"{FIELD}: doses and capture must be lists, capture of layers")
    score = raw.get("score", False)
    if not isinstance(score, bool) or (score and not given):
        raise SteeringRefused(
            f"{FIELD}: score is {score!r} with given {given!r}, allowed is true or false, and true from a second token on"
        )
    return Spec(str(raw.get("key", "")), given, tuple(_dose(each) for each in doses), tuple(capture), score)


def _dose(raw: object) -> Dose:
    match raw:
        case [str(vector), int(layer), int() | float() as scale, str(positions)] if not isinstance(layer, bool):
            return Dose(vector, layer, float(scale), positions)  # type: ignore[arg-type]  # checked in check_spec
    raise SteeringRefused(f"{FIELD}: a dose is [vector's digest, layer, scale, positions], found {raw!r}")


def check_spec(spec: Spec, known: Collection[str], layers: int) -> None:
    """SteeringRefused, by name, unless every vector is loaded, every layer exists and every dose is finite."""
    for dose in spec.doses:
        if dose.vector not in known:
            raise SteeringRefused(f"steering vector {dose.vector} is not loaded; loaded: {', '.join(sorted(known)[:5]) or 'none'}")
        if not 0 <= dose.layer < layers:
            raise SteeringRefused(f"steering layer {dose.layer} is out of range: the model has layers 0 to {layers - 1}")
        if not math.isfinite(dose.scale):
            raise SteeringRefused(f"steering dose {dose.scale} is not finite")
        if dose.positions not in POSITIONS:
            raise SteeringRefused(f"steering positions {dose.positions!r}: not allowed; allowed: {', '.join(POSITIONS)}")
    for layer in spec.capture:
        if not 0 <= layer < layers:
            raise SteeringRefused(f"recorded layer {layer} is out of range: the model has layers 0 to {layers - 1}")


def vector_bytes(vector: NDArray[np.float32], width: int) -> bytes:
    """A vector as it travels; SteeringRefused unless it is `width` finite numbers."""
    if vector.shape != (width,) or not np.isfinite(vector).all():
        raise SteeringRefused(f"a steering vector must be {width} finite numbers, found shape {vector.shape}")
    return np.ascontiguousarray(vector, dtype=np.float32).tobytes()


def vector_digest(data: bytes) -> str:
    """The digest under which a vector, float32 as bytes, is kept and named."""
    return hashlib.sha256(data).hexdigest()[:24]


@dataclass(frozen=True)
class Sampling:
    """How a reply is sampled. Without it a request only scores."""

    seed: int
    temperature: float
    max_new_tokens: int
    stop: tuple[int, ...]
    """Tokens that end the reply; they are not part of it."""
    min_new_tokens: int = 0


@dataclass(frozen=True)
class Request:
    """One sequence: continued, or recorded, or else scored from its token `given` on."""

    tokens: tuple[int, ...]
    given: int
    subject: Subject
    """Whose adapter, if any, serves this request; its base must be the server's."""
    doses: tuple[Dose, ...] = ()
    capture: tuple[int, ...] = ()
    sampling: Sampling | None = None

    @property
    def scored(self) -> bool:
        """Whether its tokens are scored: it is neither sampled nor recorded."""
        return self.sampling is None and not self.capture

    def spec(self, key: str) -> Spec:
        """What the worker is to do, under this key."""
        return Spec(key, self.given, self.doses, self.capture, self.scored)

    @property
    def salt(self) -> str:
        """Separates prefix caches: requests share cached blocks only where adapter and steering are the same."""
        content = [self.subject.digest, self.given, [[d.vector, d.layer, d.scale, d.positions] for d in self.doses]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]

    def expected(self, dose: Dose, generated: int) -> int:
        """Tokens that this dose is added to: the last token made is never fed back."""
        fed = len(self.tokens) + (max(0, generated - 1) if self.sampling else 0)
        return {"both": fed, "prefill": min(self.given, fed), "decode": max(0, fed - self.given)}[dose.positions]


@dataclass(frozen=True)
class Stream:
    """The residual stream after one layer."""

    mean: NDArray[np.float32]
    """[d_model], over the tokens from `given` on."""
    norm: float
    """Median norm over all tokens but the first."""


@dataclass(frozen=True)
class Answer:
    """What one request came to."""

    log_probabilities: Floats
    """[tokens from `given` on], nats; empty for a request that is continued or recorded."""
    tokens: tuple[int, ...] = ()
    """Tokens of the reply, without the one that ended it."""
    streams: Mapping[int, Stream] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """The model behind a backend, as its workers describe it."""

    layers: int
    width: int
    adapter_slots: int
    """Adapters that one batch may mix, one slot being kept empty for requests without; 0: none."""
    numerics: str


class Backend(Protocol):
    """A running vLLM with one base model."""

    served: Served

    def put(self, vector: NDArray[np.float32]) -> str:
        """Load a steering vector; its digest."""
        ...

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers in the order of the requests, whatever adapters and steerings they mix."""
        ...

    def close(self) -> None: ...
