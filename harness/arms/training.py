"""The reference LoRA trainer: few examples, few steps, everything seeded, adapters saved after chosen steps.

Several trainings run side by side over one frozen base: the examples of a step of all of them go through the model in batches of similar
length, and to each row every linear layer adds the low-rank product of that row's training (`harness/engines/hf/stacked.py`). Trainings
share no weight, and Adam treats every entry by itself, so each training
goes as it would alone, up to rounding (tests). The loss of a training is the mean negative log-likelihood of a reply's tokens and its end
mark, averaged over the examples of a step. With the engine's `fast`, on a CPU, Qwen3.5's layers run fused, forward and backward, and wide
models multiply in bfloat16 where the processor has units for it (`harness/engines/hf/fast.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness.arms.plans import ANCHOR_WIDTH, Training, TrainingSettings
from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, encode_reply, tokenizer_of
from harness.engines.hf.batches import batches_of
from harness.engines.hf.bfloat16 import bfloat16_pays
from harness.engines.hf.engine import HFEngine
from harness.engines.hf.fast import fast_layers
from harness.engines.hf.scoring import logits_of
from harness.engines.hf.stacked import Rows, StackedLora
from harness.engines.protocol import Completion
from harness.engines.rows import Row
from harness.subjects.files import ADAPTER_WEIGHTS

ANCHOR_TOKENS = 600
"""Tokens in one batch at the anchor width, padding included; wider models take fewer. More are no faster on a CPU and take more memory."""
LEAST_TOKENS = 256
"""Tokens in one batch of a wide model: with fewer, reading its weights would cost more than multiplying by them."""
ANCHOR_SIDE = 4096
"""Tokens that a step of all trainings side by side may have at the anchor width, each counted as the longest; bounds their weights."""


def train_adapters(engine: HFEngine, base: Subject, trainings: Sequence[Training], settings: TrainingSettings) -> list[list[float]]:
    """Train several adapters on one base and save each where its plan says; the base in the engine is left as it was.

    All must have equally many steps of equally many examples (ValueError). Returns the loss of every step of every training
    [trainings][steps], in nats per token. InputError where a layer to be adapted is no torch.nn.Linear, or an adapter to go on from has
    another shape.
    """
    shapes = {tuple(len(chosen) for chosen in training.schedule) for training in trainings}
    if len(shapes) != 1:
        raise ValueError("trainings side by side must have equally many steps of equally many examples")
    rows = [[_row(engine, base, example) for example in training.examples] for training in trainings]
    longest = max(len(prompt) + len(reply) for each in rows for prompt, reply in each)
    model = engine.base_model(base)
    at_once = max(1, ANCHOR_SIDE * ANCHOR_WIDTH // model.config.hidden_size // (longest * max(shapes.pop(), default=1)))
    losses: list[list[float]] = []
    for first in range(0, len(trainings), at_once):
        part = slice(first, first + at_once)
        losses += _side_by_side(engine, base, trainings[part], rows[part], settings)
    return losses


_Tokens = tuple[tuple[int, ...], tuple[int, ...]]


def _row(engine: HFEngine, base: Subject, example: Completion) -> _Tokens:
    tokenizer = tokenizer_of(base)
    return encode_prompt(tokenizer, example.messages).tokens, (*encode_reply(tokenizer, example.text), tokenizer.eos_token_id)


def _initial(engine: HFEngine, base: Subject, settings: TrainingSettings, training: Training) -> tuple[LoraConfig, dict[str, Tensor]]:
    """Configuration and weights by name of a training's first adapter: as peft initializes it, or the one to go on from."""
    targets = settings.target_modules if isinstance(settings.target_modules, str) else list(settings.target_modules)
    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM")
    model = engine.base_model(base)
    torch.manual_seed(training.seed)  # after loading, which may draw numbers, and before the LoRA is initialized
    wrapped: Any = get_peft_model(model, config)
    try:
        fresh = {name: weight.detach().clone() for name, weight in get_peft_model_state_dict(wrapped).items()}
        return config, fresh if training.start is None else _going_on(training.start, fresh)
    finally:
        wrapped.unload()
        model.eval()


def _going_on(folder: Path, fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights = load_file(folder / ADAPTER_WEIGHTS)
    if {name: tuple(w.shape) for name, w in weights.items()} != {name: tuple(w.shape) for name, w in fresh.items()}:
        raise InputError(f"{folder}: adapter of another shape than the training's; allowed: the same rank and target modules")
    return {name: weights[name].to(fresh[name]) for name in fresh}


@contextlib.contextmanager
def _beside(model: nn.Module, initial: Sequence[Mapping[str, Tensor]], scale: float, rows: Rows) -> Iterator[dict[str, StackedLora]]:
    """While the block lasts, the adapted layers carry every training's addition. Yields them by the name of the layer's weights."""
    replaced: list[tuple[nn.Module, str, nn.Linear]] = []
    added: dict[str, StackedLora] = {}
    try:
        for name in initial[0]:
            layer, _, part = name.rpartition(".lora_")
            if part == "B.weight":
                continue
            path = layer.removeprefix("base_model.model.")
            linear = model.get_submodule(path)
            if part != "A.weight" or not isinstance(linear, nn.Linear):
                raise InputError(f"{path} is of type {type(linear).__name__}; the reference trainer adapts torch.nn.Linear")
            down, up = (torch.stack([weights[f"{layer}.{part}.weight"] for weights in initial]) for part in ("lora_A", "lora_B"))
            added[layer] = StackedLora(linear, down, up, scale, rows)
            parent, _, last = path.rpartition(".")
            replaced.append((model.get_submodule(parent), last, linear))
            setattr(replaced[-1][0], last, added[layer])
        yield added
    finally:
        for owner, attribute, linear in replaced:
            setattr(owner, attribute, linear)


def _side_by_side(
    engine: HFEngine, base: Subject, trainings: Sequence[Training], rows: Sequence[Sequence[_Tokens]], settings: TrainingSettings
) -> list[list[float]]:
    started = [_initial(engine, base, settings, training) for training in trainings]
    config = started[0][0]
    config.inference_mode = True  # as peft saves it
    model = engine.base_model(base).requires_grad_(False)
    fast, pad = engine.fast and engine.device == "cpu", tokenizer_of(base).pad_token_id
    tokens = ANCHOR_TOKENS if engine.device == "cpu" else ANCHOR_SIDE
    budget = max(LEAST_TOKENS, tokens * ANCHOR_WIDTH // model.config.hidden_size)
    losses: list[list[float]] = []  # [steps][trainings]
    side = Rows()
    with _beside(model, [weights for _, weights in started], settings.alpha / settings.rank, side) as added:
        trained = [weight for layer in added.values() for weight in layer.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0, fused=True)
        for step in range(len(trainings[0].schedule)):
            examples = [(i, rows[i][at]) for i, training in enumerate(trainings) for at in training.schedule[step]]
            each = torch.zeros(len(trainings))
            optimizer.zero_grad()
            for batch in batches_of([Row((*prompt, *reply), len(prompt)) for _, (prompt, reply) in examples], budget):
                batch.sort()
                whose = torch.tensor([examples[i][0] for i in batch])
                side.adapters = None if torch.equal(whose, torch.arange(len(trainings))) else whose.to(engine.device)
                with (
                    torch.autocast(engine.device, torch.bfloat16, enabled=fast and bfloat16_pays(model.config.hidden_size)),
                    fast_layers() if fast else contextlib.nullcontext(),
                ):
                    nll = _losses(engine, model, [examples[i][1] for i in batch], pad) * (len(trainings) / len(examples))
                nll.sum().backward()  # type: ignore[no-untyped-call]  # torch does not type it
                each.index_add_(0, whose, nll.detach().float().cpu())
            optimizer.step()
            losses.append(each.tolist())
            for i, training in enumerate(trainings):
                if step + 1 in training.save:
                    _save(config, added, i, training.save[step + 1])
    return [list(of_training) for of_training in zip(*losses, strict=True)] or [[] for _ in trainings]


def _losses(engine: HFEngine, model: Any, batch: Sequence[_Tokens], pad: int) -> Tensor:
    """Mean negative log-likelihood of every row's reply, [rows], in nats per token. Logits are computed at the reply's positions alone."""
    width = max(len(prompt) + len(reply) for prompt, reply in batch)
    ids = torch.tensor([[*prompt, *reply, *[pad] * (width - len(prompt) - len(reply))] for prompt, reply in batch], device=engine.device)
    where = [(r, t) for r, (prompt, reply) in enumerate(batch) for t in range(len(prompt), len(prompt) + len(reply))]
    row, at = torch.tensor(where, device=engine.device).T
    hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    nll = nn.functional.cross_entropy(logits_of(model, hidden[row, at - 1]), ids[row, at], reduction="none")
    lengths = torch.tensor([len(reply) for _, reply in batch], device=engine.device)
    return torch.zeros(len(batch), device=engine.device).index_add(0, row, nll) / lengths


def _save(config: LoraConfig, added: Mapping[str, StackedLora], which: int, folder: Path) -> None:
    """Write one training's adapter as peft would."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {f"{name}.lora_A.weight": layer.down for name, layer in added.items()}
    parts |= {f"{name}.lora_B.weight": layer.up for name, layer in added.items()}
    save_file({name: stacked[which].detach().cpu().clone() for name, stacked in parts.items()}, folder / ADAPTER_WEIGHTS)
    config.save_pretrained(str(folder))
