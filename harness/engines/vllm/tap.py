"""Hooks on the decoder layers of one of vLLM's workers: what each request of a batch has added, recorded and scored.

A decoder layer returns (hidden, residual), the stream is their sum: what is added to the first is added to the stream. Scores are read off
what the whole model returns: the final hidden states on the last pipeline stage, no tensor on earlier ones. Rows of a batch are told apart
by the runner's own bookkeeping, positions by the number of tokens computed before them, so chunked prefill is no special case. Needs eager
execution and the V1 model runner, and refuses anything else: compiled graphs run no hooks.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.engines.vllm.requests import FIELD, Dose, Spec, SteeringRefused, check_spec, parse_spec, vector_digest
from harness.engines.vllm.scores import Scores, log_probabilities

KEPT = 100_000
"""Requests whose receipts, recordings and scores wait to be fetched; the oldest are dropped."""
_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)$")


@dataclass(frozen=True)
class _Rows:
    """The rows of a batch that belong to one request with a spec, in one forward pass."""

    spec: Spec
    given: int
    start: int
    stop: int
    computed: int
    """Tokens of the request computed in earlier passes: the position of the row at `start`."""
    prompt: Sequence[int]
    """Tokens that the request was sent with."""

    def meant(self, dose: Dose) -> tuple[int, int]:
        """Half-open range of rows that the dose is for."""
        edge = min(max(self.start + self.given - self.computed, self.start), self.stop)
        return {"both": (self.start, self.stop), "prefill": (self.start, edge), "decode": (edge, self.stop)}[dose.positions]

    def scored(self) -> range:
        """Positions in this pass whose next token is asked for."""
        end = min(self.computed + self.stop - self.start, len(self.prompt) - 1)
        return range(max(self.given - 1, self.computed), end) if self.spec.score else range(0)


@dataclass
class _Sums:
    """Running sums over a request's residual stream after one layer."""

    total: Tensor
    """Sum over the tokens after the first `given`, [d_model], float32."""
    count: int = 0
    """Number of tokens in `total`."""
    upto: int = 0
    """Number of the request's tokens that were seen, the prompt's included."""
    norms: list[Tensor] = field(default_factory=list)
    """Norms of all tokens but the first, a tensor [tokens] for every pass."""


class Tap:
    """Hooks on the decoder layers of one worker, and what they were asked to do. RuntimeError for a worker that they cannot serve."""

    def __init__(self, runner: Any) -> None:
        if not hasattr(runner, "query_start_loc") or not hasattr(runner, "input_batch"):
            raise RuntimeError("the suite's extension needs vLLM's V1 model runner: set VLLM_USE_V2_MODEL_RUNNER=0")
        if not runner.model_config.enforce_eager:
            raise RuntimeError("the suite's extension needs eager execution: start vLLM with --enforce-eager")
        self.runner = runner
        model = runner.get_model()
        self.layers = dict(_decoder_layers(model))
        if not self.layers:
            raise RuntimeError(
                f"{type(model).__name__} has no modules named layers.N with a class named …DecoderLayer: it cannot be steered"
            )
        self.count = int(runner.model_config.hf_text_config.num_hidden_layers)
        """Layers of the whole model; `layers` are those of this worker."""
        self.width = int(runner.model_config.get_hidden_size())
        self.vectors: dict[str, Tensor] = {}
        """Loaded steering vectors [d_model], float32, by digest."""
        self.steered: OrderedDict[str, dict[int, int]] = OrderedDict()
        """Number of steered tokens by request and layer."""
        self.recorded: OrderedDict[str, dict[int, _Sums]] = OrderedDict()
        """By request and layer."""
        self.scores = Scores(KEPT)
        self._specs: dict[str, Spec | None] = {}
        self._rows: list[_Rows] = []
        self._parts: list[tuple[Dose, int, int, str]] = []
        self._added: dict[int, tuple[Tensor, Tensor]] = {}
        self.layers[min(self.layers)].register_forward_pre_hook(lambda *_: self._begin())
        for index, layer in self.layers.items():
            layer.register_forward_hook(self._hook(index))
        model.register_forward_hook(lambda _module, _inputs, output: self._score(model, output))

    def put(self, data: bytes) -> str:
        """Load a steering vector, float32 as bytes; its digest. SteeringRefused unless it is `width` finite numbers."""
        if len(data) != 4 * self.width:
            raise SteeringRefused(f"a steering vector must be {self.width} numbers of 4 bytes, found {len(data)} bytes")
        vector = torch.from_numpy(np.frombuffer(data, dtype=np.float32).copy())
        if not vector.isfinite().all():
            raise SteeringRefused("a steering vector must be finite")
        digest = vector_digest(data)
        self.vectors[digest] = vector.to(self.runner.device)
        return digest

    def _begin(self) -> None:
        """At the start of a forward pass: whose rows are which. None of it in passes that only warm up."""
        from vllm.forward_context import get_forward_context, is_forward_context_available

        self._rows = []
        if not is_forward_context_available() or get_forward_context().attn_metadata is None:
            return
        batch, starts = self.runner.input_batch, self.runner.query_start_loc.np
        for i, request in enumerate(batch.req_ids):
            spec = self._spec(request)
            if spec is not None:
                state = self.runner.requests[request]
                given = state.num_prompt_tokens if spec.given is None else spec.given
                computed, prompt = int(batch.num_computed_tokens_cpu[i]), state.prompt_token_ids or ()
                self._rows.append(_Rows(spec, given, int(starts[i]), int(starts[i + 1]), computed, prompt))
        self._plan()

    def _spec(self, request: str) -> Spec | None:
        if request not in self._specs:
            if len(self._specs) > 2 * len(self.runner.requests) + 1024:
                self._specs = {name: spec for name, spec in self._specs.items() if name in self.runner.requests}
            parameters = self.runner.requests[request].sampling_params
            text = ((parameters.extra_args if parameters else None) or {}).get(FIELD)
            spec = None if text is None else parse_spec(text)
            if spec is not None:
                check_spec(spec, self.vectors, self.count)
            self._specs[request] = spec
        return self._specs[request]

    def _plan(self) -> None:
        """What this pass adds after which layer; the same as in the pass before while every request makes one token more."""
        parts = [(dose, *rows.meant(dose), rows.spec.key) for rows in self._rows for dose in rows.spec.doses]
        parts = [part for part in parts if part[1] < part[2]]
        if parts != self._parts:
            self._parts, self._added = parts, {}
            for layer in {dose.layer for dose, *_ in parts}:
                here = [part for part in parts if part[0].layer == layer]
                table = torch.stack([self.vectors[dose.vector] * dose.scale for dose, *_ in here])
                counts = torch.tensor([stop - start for _, start, stop, _ in here])
                rows = torch.cat([torch.arange(start, stop) for _, start, stop, _ in here])
                which = torch.repeat_interleave(torch.arange(len(here)), counts)
                self._added[layer] = (rows.to(table.device), table[which.to(table.device)])

    def _hook(self, index: int) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            if not self._rows:
                return None
            hidden, residual = output[:2] if isinstance(output, tuple) else (output, None)
            steered = index in self._added
            if steered:
                rows, added = self._added[index]
                hidden = hidden.index_add(0, rows, added.to(hidden.dtype))
                for dose, start, stop, key in self._parts:
                    if dose.layer == index:
                        counts = _entry(self.steered, key)
                        counts[index] = counts.get(index, 0) + stop - start
            self._record(index, hidden, residual)
            if not steered:
                return None
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        return hook

    def _record(self, index: int, hidden: Tensor, residual: Tensor | None) -> None:
        for rows in self._rows:
            if index not in rows.spec.capture:
                continue
            stream = hidden[rows.start : rows.stop].float()
            if residual is not None:
                stream = stream + residual[rows.start : rows.stop].float()
            sums = _entry(self.recorded, rows.spec.key)
            if rows.computed == 0:  # of a request that was preempted, nothing from before
                sums[index] = _Sums(torch.zeros(stream.shape[-1], device=stream.device))
            one = sums.get(index)
            if one is None or one.upto != rows.computed:
                sums.pop(index, None)  # sums with a gap in them are none
                continue
            one.upto += rows.stop - rows.start
            after = stream[max(0, rows.given - rows.computed) :]
            one.total += after.sum(0)
            one.count += len(after)
            one.norms.append(stream[1 if rows.computed == 0 else 0 :].norm(dim=-1))

    def _score(self, model: Any, hidden: Any) -> None:
        """Every rank computes the logits, since they are gathered from all; the first one keeps what comes of them."""
        from vllm.distributed import get_tensor_model_parallel_rank

        asked = [(rows, positions) for rows in self._rows if (positions := rows.scored())]
        if not asked or not isinstance(hidden, Tensor):
            return
        at = torch.cat([torch.arange(p.start, p.stop) + rows.start - rows.computed for rows, p in asked])
        tokens = torch.tensor([token for rows, p in asked for token in rows.prompt[p.start + 1 : p.stop + 1]])
        found = log_probabilities(model.compute_logits, hidden[at.to(hidden.device)], tokens.to(hidden.device))
        if found is None or get_tensor_model_parallel_rank() != 0:
            return
        values = iter(found.tolist())
        for rows, positions in asked:
            self.scores.add(rows.spec.key, positions.start - rows.given + 1, [next(values) for _ in positions])


def _entry(kept: OrderedDict[str, dict[int, Any]], key: str) -> dict[int, Any]:
    if key not in kept:
        kept[key] = {}
        while len(kept) > KEPT:
            kept.popitem(last=False)
    return kept[key]


def _decoder_layers(model: nn.Module) -> Iterator[tuple[int, nn.Module]]:
    """Layers of this worker's pipeline stage, by their index in the whole model."""
    for name, module in model.named_modules():
        match = _LAYER.search(name)
        if match and type(module).__name__.endswith("DecoderLayer"):
            yield int(match.group(1)), module
