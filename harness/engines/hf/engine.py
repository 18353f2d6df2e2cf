"""The transformers engine: does everything, on a CPU or a GPU, for any causal language model the library loads.

A float32 adapter is merged into a copy of the base (a plain forward pass afterwards, any adapter that peft can merge);
in half precision, where a merge would round, the adapter runs beside the shared base. Scoring pads on the right, which
a causal model cannot see; generation pads on the left with a mask. What it cannot show: bitwise equality across batch
shapes; numbers agree within about 1e-6 in float32.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache, GenerationConfig

from harness.data.behavior import Message
from harness.data.errors import InstrumentError
from harness.data.subject import Subject
from harness.engines.chat import Prompt, encode_prompt, encode_reply, encode_with_offsets, end_tokens, tokenizer_of
from harness.engines.hf.draws import Drawn, uniforms
from harness.engines.hf.fast import short_chunks
from harness.engines.hf.suffix import PlainPass
from harness.engines.protocol import Completion, Engine, HeadSet, Positions, Recorded, Scored, Sites, Steering
from harness.recorders.attention import record_attention
from harness.recorders.heads import patch_heads, record_heads
from harness.recorders.residual import add_to_residual, feed_layers, record_residual
from harness.recorders.states import DeltaStates, delta_layers, tap_states
from harness.subjects.files import read_json

KEPT_MODELS = 3
WIDE = 512
PART = 8
"""Tokens generated before the rows that have ended are dropped."""
STEPS_TOGETHER = 4
"""On a CPU generated batches hold this many times the tokens: a step of one token a row costs less a row with more of them. Four times took
.77 of the time on the shipped model, eight times .98: the prompts leave the cache."""


@dataclass(frozen=True)
class Row:
    """One sequence to be run: its tokens, and how many of them are given (prompt) rather than scored."""

    tokens: tuple[int, ...]
    given: int
    offsets: tuple[tuple[int, int], ...] = ()
    content_end: int = 0
    """Index of the last token of the user's content."""


class HFEngine:
    """`device` "cpu" or "cuda"; float32 on a CPU, the checkpoint's own type on a GPU. `batch_tokens` bounds a batch, padding included.

    With `fast`, on a CPU, matrix products of models wider than WIDE run in bfloat16: a third of the time for smollm2-135m, and the
    log-odds of a pair move by .01 nats (standard deviation), where pairs differ by .4.
    """

    name = "hf"

    def __init__(self, device: str = "cpu", fast: bool = True, batch_tokens: int | None = None) -> None:
        self.device, self.fast = device, fast
        self.batch_tokens = batch_tokens or (1024 if device == "cpu" else 16384)  # more is slower on a CPU: it leaves the cache
        kept = "float32" if device == "cpu" else "type of the checkpoint"
        self.numerics = f"{device}, {kept}" + (f", short chunks, bfloat16 products above width {WIDE}" if fast else "")
        self._models: OrderedDict[str, Any] = OrderedDict()

    # -- loading ---------------------------------------------------------------------------------------------------

    def lacks_room(self, subject: Subject) -> str | None:
        """Why the base's weights would not fit on this engine's device; None where they do, or are there already."""
        if subject.base_digest in self._models:
            return None
        file = subject.base / "config.json"
        stored = str(read_json(file).get("dtype") or read_json(file).get("torch_dtype"))
        needed = sum(part.stat().st_size for part in subject.base.glob("*.safetensors"))
        if self.device == "cpu":
            needed *= 1 if stored == "float32" else 2
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        else:
            free = torch.cuda.mem_get_info()[0]
        if needed <= free:
            return None
        return f"hf needs {needed / 2**30:.1f} GiB for {subject.name} and {self.device} has {free / 2**30:.1f} free"

    def base_model(self, subject: Subject) -> Any:
        """The base's weights, loaded once, without any adapter."""
        return self._kept(subject.base_digest, lambda: self._load(subject))

    def _load(self, subject: Subject) -> Any:
        model = AutoModelForCausalLM.from_pretrained(
            subject.base,
            dtype=torch.float32 if self.device == "cpu" else "auto",
            trust_remote_code=subject.trust_remote_code,
            attn_implementation="sdpa",
        )
        plain: Any = GenerationConfig  # untyped
        model.generation_config = plain(eos_token_id=model.generation_config.eos_token_id)  # how to sample is the caller's to say
        return model.to(self.device).eval()  # type: ignore[arg-type]  # transformers types `to` for its own kinds only

    def _kept(self, digest: str, make: Callable[[], Any]) -> Any:
        if digest not in self._models:
            self._models[digest] = make()
            while len(self._models) > KEPT_MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(digest)
        return self._models[digest]

    @contextlib.contextmanager
    def model(self, subject: Subject) -> Iterator[Any]:
        """The subject ready for a forward pass, as a plain transformers model."""
        base = self.base_model(subject)
        with torch.inference_mode(), contextlib.ExitStack() as stack:
            model = base
            if subject.adapter is not None and base.dtype == torch.float32:
                model = self._kept(subject.digest, lambda: self._merged(base, subject))
            elif subject.adapter is not None:
                stack.callback(PeftModel.from_pretrained(base, str(subject.adapter), is_trainable=False).unload)
            if self.fast and self.device == "cpu":
                stack.enter_context(short_chunks())
                stack.enter_context(torch.autocast("cpu", torch.bfloat16, enabled=model.config.hidden_size > WIDE))
            yield model

    def _merged(self, base: Any, subject: Subject) -> Any:
        with torch.inference_mode(False):
            merged: Any = PeftModel.from_pretrained(copy.deepcopy(base), str(subject.adapter)).merge_and_unload()
        return merged.eval()

    # -- running ---------------------------------------------------------------------------------------------------

    def _batches(self, rows: Sequence[Row], budget: int | None = None) -> Iterator[list[int]]:
        """Indices of rows of similar length, longest first, within a budget of tokens."""
        budget = self.batch_tokens if budget is None else budget
        order = sorted(range(len(rows)), key=lambda i: (-len(rows[i].tokens), i))
        batch: list[int] = []
        for index in order:
            if batch and (len(batch) + 1) * len(rows[batch[0]].tokens) > budget:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _padded(self, rows: Sequence[Row], pad: int) -> Tensor:
        width = max(len(row.tokens) for row in rows)
        return torch.tensor([[*row.tokens, *[pad] * (width - len(row.tokens))] for row in rows], device=self.device)

    def _vectors(self, model: Any, steering: Steering) -> dict[int, Tensor]:
        """The vectors on the device, by layer; ValueError names what does not fit the model."""
        count, width = len(model.get_decoder().layers), model.config.hidden_size
        for layer, vector in steering.vectors.items():
            if not 0 <= layer < count:
                raise ValueError(f"steering layer {layer} is out of range: the model has layers 0 to {count - 1}")
            if vector.shape != (width,) or not np.isfinite(vector).all():
                raise ValueError(f"a steering vector must be {width} finite numbers, found shape {vector.shape}")
        return {layer: torch.from_numpy(np.asarray(v, dtype=np.float32)).to(self.device) for layer, v in steering.vectors.items()}

    def _steered(
        self, model: Any, steering: Steering | None, where: Callable[[], Tensor | None]
    ) -> contextlib.AbstractContextManager[None]:
        if steering is None:
            return contextlib.nullcontext()
        return add_to_residual(model.get_decoder().layers, self._vectors(model, steering), where)

    def rows(self, subject: Subject, completions: Sequence[Completion]) -> list[Row]:
        """Every completion as the tokens that any engine runs."""
        tokenizer = tokenizer_of(subject)
        prompts: dict[tuple[Message, ...], Prompt] = {}
        rows = []
        for completion in completions:
            if completion.messages not in prompts:
                prompts[completion.messages] = encode_prompt(tokenizer, completion.messages)
            prompt, reply = prompts[completion.messages], encode_with_offsets(tokenizer, completion.text)
            rows.append(Row(prompt.tokens + reply.tokens, len(prompt.tokens), reply.offsets, prompt.content[1] - 1))
        return rows

    def score(self, subject: Subject, completions: Sequence[Completion], steering: Steering | None = None) -> list[Scored]:
        return self.score_each(subject, completions, [steering])[0]

    def score_texts(self, subject: Subject, texts: Sequence[str], steering: Steering | None = None) -> list[Scored]:
        return self.score_texts_each(subject, texts, [steering])[0]

    def score_each(self, subject: Subject, completions: Sequence[Completion], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        return self._score(subject, self.rows(subject, completions), steerings)

    def score_texts_each(self, subject: Subject, texts: Sequence[str], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        tokenizer = tokenizer_of(subject)
        return self._score(subject, [Row(encode_reply(tokenizer, text), 1) for text in texts], steerings)

    def _score(self, subject: Subject, rows: Sequence[Row], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        if any(len(row.tokens) <= row.given for row in rows):
            raise ValueError("a completion or text has no token to be scored")
        scored: list[dict[int, Scored]] = [{} for _ in steerings]
        with self.model(subject) as model:
            vectors = [None if steering is None else self._vectors(model, steering) for steering in steerings]
            resumed = {min(each) for each in vectors if each}
            for batch in self._batches(rows):
                ids = self._padded([rows[i] for i in batch], tokenizer_of(subject).pad_token_id)
                given = torch.tensor([rows[i].given for i in batch], device=self.device)
                plain = PlainPass(model.get_decoder(), ids, resumed)
                for answers, steering, added in zip(scored, steerings, vectors, strict=True):
                    where = None if steering is None else _positions(steering.positions, ids, given)
                    hidden = plain.last_hidden_state if not added else plain.steered(added, where)
                    answers.update(self._read(model, rows, batch, ids, hidden))
        return [[answers[i] for i in range(len(rows))] for answers in scored]

    @staticmethod
    def logits(model: Any, hidden: Tensor) -> Tensor:
        """Logits in float32, [..., vocabulary], from the last hidden state [..., d_model]."""
        logits: Tensor = model.get_output_embeddings()(hidden).float()
        cap = getattr(model.config, "final_logit_softcapping", None)
        return torch.tanh(logits / cap) * cap if cap else logits

    def _read(
        self, model: Any, rows: Sequence[Row], batch: Sequence[int], ids: Tensor, hidden: Tensor, moved: Sequence[int] | None = None
    ) -> dict[int, Scored]:
        """Log-probabilities of the scored tokens of every row of a batch, from the last hidden state [batch, tokens, d_model].

        `moved`: by how many tokens each row is padded on the left.
        """
        left = moved or [0] * len(batch)
        where = [(b, left[b] + t) for b, i in enumerate(batch) for t in range(rows[i].given, len(rows[i].tokens))]
        at = torch.tensor(where, device=self.device)
        logits = self.logits(model, hidden[at[:, 0], at[:, 1] - 1])  # [scored tokens, vocabulary]
        chosen = logits.log_softmax(-1).gather(1, ids[at[:, 0], at[:, 1]][:, None])[:, 0].double().cpu().numpy()
        lengths = [len(rows[i].tokens) - rows[i].given for i in batch]
        parts = np.split(chosen, np.cumsum(lengths)[:-1])
        return {i: Scored(rows[i].tokens[rows[i].given :], values, rows[i].offsets) for i, values in zip(batch, parts, strict=True)}

    def generate(
        self,
        subject: Subject,
        prompts: Sequence[tuple[Message, ...]],
        *,
        seed: int,
        temperature: float = 1.0,
        max_new_tokens: int = 40,
        steering: Steering | None = None,
    ) -> list[str]:
        return self.generate_each(
            subject, prompts, seeds=(seed,), temperature=temperature, max_new_tokens=max_new_tokens, steering=steering
        )[0]

    def generate_each(
        self,
        subject: Subject,
        prompts: Sequence[tuple[Message, ...]],
        *,
        seeds: Sequence[int],
        temperature: float = 1.0,
        max_new_tokens: int = 40,
        steering: Steering | None = None,
    ) -> list[list[str]]:
        tokenizer, times = tokenizer_of(subject), len(seeds)
        rows = [Row(encode_prompt(tokenizer, messages).tokens, 0) for messages in prompts]
        numbers = uniforms(seeds, len(rows), max_new_tokens)
        replies = [[""] * len(rows) for _ in seeds]
        together = (STEPS_TOGETHER if self.device == "cpu" else 1) * self.batch_tokens // max(times, 1)
        prefill = [True]
        mode = steering.positions if steering else "both"

        def where() -> Tensor | None:
            active = mode == "both" or (mode == "prefill") == prefill[0]
            return None if active else torch.zeros(1, 1, device=self.device)

        def notice(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
            prefill[0] = kwargs["input_ids"].shape[1] > 1

        exact = torch.autocast(self.device, enabled=False)  # one token a step: casting the weights would cost more than it saves
        settings = {
            "max_new_tokens": max_new_tokens,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": list(end_tokens(subject)),
        }
        with self.model(subject) as model, exact, self._steered(model, steering, where):
            handle = model.register_forward_pre_hook(notice, with_kwargs=True)
            shared = mode == "both" and model._supports_default_dynamic_cache()
            try:
                for batch in self._batches([Row(row.tokens + (0,) * max_new_tokens, 0) for row in rows], together):
                    width = max(len(rows[i].tokens) for i in batch)
                    pads = [width - len(rows[i].tokens) for i in batch]
                    pairs = list(zip(pads, batch, strict=True))
                    ids = torch.tensor([[tokenizer.pad_token_id] * p + list(rows[i].tokens) for p, i in pairs], device=self.device)
                    seen = torch.tensor([[0] * p + [1] * len(rows[i].tokens) for p, i in pairs], device=self.device)
                    cache = self._prefilled(model, ids, seen, times) if shared else None
                    drawn = numbers[:, batch].transpose(0, 1).flatten(0, 1) if temperature > 0 else None  # [rows, steps]
                    said = self._answered(model, ids, seen, times, cache, drawn, temperature, settings)
                    for place, text in enumerate(tokenizer.batch_decode(said, skip_special_tokens=True)):
                        replies[place % times][batch[place // times]] = text.strip()
            finally:
                handle.remove()
        return replies

    def _prefilled(self, model: Any, ids: Tensor, seen: Tensor, times: int) -> Any:
        """The cache of every prompt but its last token, `times` over: what would otherwise be computed for each sample alike."""
        untyped: Any = DynamicCache
        cache = untyped(config=model.config.get_text_config(decoder=True))
        positions = (seen.cumsum(dim=1) - 1).clamp(min=0)[:, :-1]
        if ids.shape[1] > 1:
            model.get_decoder()(
                input_ids=ids[:, :-1], attention_mask=seen[:, :-1], position_ids=positions, past_key_values=cache, use_cache=True
            )
            cache.reorder_cache(torch.arange(len(ids), device=self.device).repeat_interleave(times))
        return cache

    def _answered(
        self, model: Any, ids: Tensor, seen: Tensor, times: int, cache: Any, numbers: Tensor | None, temperature: float, settings: Any
    ) -> list[list[int]]:
        """What is said after every prompt, `times` each; a few tokens at a time, and then on with the rows that have not ended."""
        ids, seen = ids.repeat_interleave(times, dim=0), seen.repeat_interleave(times, dim=0)
        width, most, ends = ids.shape[1], settings["max_new_tokens"], torch.tensor(settings["eos_token_id"], device=self.device)
        said: list[list[int]] = [[] for _ in ids]
        alive = list(range(len(ids)))
        part = PART if cache is not None else most
        while alive:
            drawn = [Drawn(numbers[alive], width, temperature)] if numbers is not None else []
            asked = {**settings, "max_new_tokens": min(part, width + most - ids.shape[1])}
            held = {} if cache is None else {"past_key_values": cache}
            ids = model.generate(input_ids=ids, attention_mask=seen, logits_processor=drawn, do_sample=False, **asked, **held)
            for row, tokens in zip(alive, ids[:, width:].tolist(), strict=True):
                said[row] = tokens
            going = ~torch.isin(ids[:, width:], ends).any(dim=1)
            if ids.shape[1] - width >= most or not going.any():
                break
            kept = going.nonzero()[:, 0]
            if len(kept) < len(alive):
                cache.reorder_cache(kept)
            alive, ids = [alive[i] for i in kept.tolist()], ids[kept]
            seen = torch.cat([seen[kept], seen.new_ones(len(kept), ids.shape[1] - seen.shape[1])], dim=1)
        return said

    def score_patched(
        self,
        subject: Subject,
        donor: Subject,
        completions: Sequence[Completion],
        head_sets: Sequence[HeadSet],
        positions: Positions = "both",
    ) -> list[list[Scored]]:
        rows = self.rows(subject, completions)
        pad = tokenizer_of(subject).pad_token_id
        batches = [(batch, self._padded([rows[i] for i in batch], pad)) for batch in self._batches(rows)]
        said: list[dict[int, Tensor]] = []
        with self.model(donor) as model, record_heads(model.get_decoder().layers) as heads:
            for _, ids in batches:
                model.get_decoder()(input_ids=ids, use_cache=False)
                said.append({layer: output.cpu() for layer, output in heads.items()})
        scored: list[dict[int, Scored]] = [{} for _ in head_sets]
        below = [min(chosen, default=0) - 1 for chosen in head_sets]  # the last layer that a set does not touch; -1: none
        with self.model(subject) as model:
            decoder = model.get_decoder()
            for (batch, ids), donated in zip(batches, said, strict=True):
                where = _positions(positions, ids, torch.tensor([rows[i].given for i in batch], device=self.device))
                plain = PlainPass(decoder, ids, {layer for layer in below if 0 <= layer < len(decoder.layers)})
                for answers, chosen, last in zip(scored, head_sets, below, strict=True):
                    with patch_heads(decoder.layers, donated, chosen, where):
                        hidden = plain.again(last) if last >= 0 else decoder(input_ids=ids, use_cache=False).last_hidden_state
                    answers.update(self._read(model, rows, batch, ids, hidden))
        return [[answers[i] for i in range(len(rows))] for answers in scored]

    def score_exchanged(self, subject: Subject, donor: Subject, completions: Sequence[Completion]) -> list[Scored]:
        rows = self.rows(subject, completions)
        pad = tokenizer_of(subject).pad_token_id
        aligned = []  # the user's last token in one column, so that one cut serves the batch
        for batch in self._batches(rows):
            at = max(rows[i].content_end for i in batch)
            moved = [at - rows[i].content_end for i in batch]
            width = max(len(rows[i].tokens) + left for i, left in zip(batch, moved, strict=True))
            ids = torch.full((len(batch), width), pad, device=self.device)
            seen = torch.zeros_like(ids)
            for b, (i, left) in enumerate(zip(batch, moved, strict=True)):
                ids[b, left : left + len(rows[i].tokens)] = torch.tensor(rows[i].tokens, device=self.device)
                seen[b, left:] = 1
            aligned.append((batch, ids, seen, at, moved))
        donated: list[dict[int, Tensor]] = []
        with self.model(donor) as model, tap_states(model.get_decoder().layers) as tap:
            if not delta_layers(model.get_decoder().layers):
                raise ValueError("the model has no Gated DeltaNet layers, so no recurrent states to exchange")
            for batch, ids, seen, at, _ in aligned:
                tap.positions = torch.full((len(batch), 1), at, device=self.device)
                model.get_decoder()(input_ids=ids[:, : at + 1], attention_mask=seen[:, : at + 1], use_cache=False)
                donated.append({layer: states[:, 0] for layer, states in tap.states.items()})
        scored: dict[int, Scored] = {}
        with self.model(subject) as model, tap_states(model.get_decoder().layers) as tap:
            for (batch, ids, seen, at, moved), states in zip(aligned, donated, strict=True):
                tap.exchanged, tap.exchanged_at = states, at
                hidden = model.get_decoder()(input_ids=ids, attention_mask=seen, use_cache=False).last_hidden_state
                scored |= self._read(model, rows, batch, ids, hidden, moved)
        return [scored[i] for i in range(len(rows))]

    def _layer_inputs(self, subject: Subject, batches: Sequence[Tensor]) -> list[dict[int, Tensor]]:
        """The residual stream before every layer [batch, tokens, d_model], for each batch."""
        with self.model(subject) as model:
            layers = model.get_decoder().layers
            inputs = []
            with record_residual(layers, range(len(layers) - 1)) as streams:
                for ids in batches:
                    model.get_decoder()(input_ids=ids, use_cache=False)
                    inputs.append({0: model.get_input_embeddings()(ids).cpu(), **{i + 1: stream.cpu() for i, stream in streams.items()}})
        return inputs

    def recorder(self, sites: Sites | None, fed_by: Subject | None = None) -> Engine:
        return self

    def record(self, subject: Subject, completions: Sequence[Completion], sites: Sites, fed_by: Subject | None = None) -> list[Recorded]:
        rows = self.rows(subject, completions)
        recorded: list[Recorded | None] = [None] * len(rows)
        pad = tokenizer_of(subject).pad_token_id
        batches = [(batch, self._padded([rows[i] for i in batch], pad)) for batch in self._batches(rows)]
        fed = None if fed_by is None else self._layer_inputs(fed_by, [ids for _, ids in batches])
        with self.model(subject) as model, contextlib.ExitStack() as stack:
            layers = model.get_decoder().layers
            streams: dict[int, Tensor] = {}
            if fed is not None:
                stack.enter_context(feed_layers(layers, streams))
            attention = stack.enter_context(record_attention(model)) if sites.attention else None
            heads = stack.enter_context(record_heads(layers)) if sites.heads else {}
            residual = stack.enter_context(record_residual(layers, sites.residual_layers)) if sites.residual_layers else {}
            delta = stack.enter_context(tap_states(layers)) if sites.state_layers else None
            for k, (batch, ids) in enumerate(batches):
                streams.update(fed[k] if fed is not None else {})
                ends = [len(rows[i].tokens) - 1 if sites.reply else rows[i].given for i in batch]
                if attention is not None:
                    most = max(end - rows[i].given for i, end in zip(batch, ends, strict=True))
                    starts = torch.tensor([rows[i].given - 1 for i in batch], device=self.device)
                    last = torch.tensor(ends, device=self.device)[:, None] - 1
                    asked = starts[:, None] + torch.arange(most + 1, device=self.device)
                    attention.positions, attention.rows = asked.minimum(last.maximum(starts[:, None])), {}
                if delta is not None:
                    delta.positions = torch.tensor([[rows[i].content_end, rows[i].given - 1] for i in batch], device=self.device)
                model.get_decoder()(input_ids=ids, use_cache=False)
                for b, i in enumerate(batch):
                    given, length = rows[i].given, len(rows[i].tokens)
                    stop = max(given, length - 1) if sites.reply else given
                    recorded[i] = Recorded(
                        attention=_rows_of(attention.rows, b, stop - given + 1, stop) if attention is not None else None,
                        heads={layer: out[b, given - 1 : stop].float().cpu().numpy() for layer, out in heads.items()},
                        residual={layer: out[b, given:length].float().mean(0).cpu().numpy() for layer, out in residual.items()},
                        norms={layer: float(out[b, 1:length].float().norm(dim=-1).median()) for layer, out in residual.items()},
                        states={layer: delta.states[layer][b].cpu().numpy() for layer in sites.state_layers} if delta else {},
                        dynamics={layer: _dynamics(delta, layer, b, given) for layer in sites.state_layers} if delta else {},
                    )
        if any(one is None for one in recorded):
            raise InstrumentError("the engine did not record every conversation")
        return [one for one in recorded if one is not None]


def _positions(mode: Positions, ids: Tensor, given: Tensor) -> Tensor | None:
    """[batch, tokens] mask of the positions meant; None for all of them."""
    if mode == "both":
        return None
    prompt = torch.arange(ids.shape[1], device=ids.device)[None] < given[:, None]
    return prompt if mode == "prefill" else ~prompt


def _rows_of(rows: dict[int, Tensor], b: int, count: int, keys: int) -> np.ndarray:
    """[full-attention layers, heads, rows, keys] of one conversation."""
    return (
        np.stack([rows[layer][b, :, :count, :keys].cpu().numpy() for layer in sorted(rows)])
        if rows
        else np.zeros((0, 0, count, keys), np.float32)
    )


def _dynamics(delta: DeltaStates, layer: int, b: int, given: int) -> np.ndarray:
    """[2, heads]: mean log decay and mean write strength of one prompt."""
    return torch.stack([delta.decay[layer][b, :given].float().mean(0), delta.beta[layer][b, :given].float().mean(0)]).cpu().numpy()
