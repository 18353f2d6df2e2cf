"""The reference LoRA trainer: few examples, few steps, everything seeded, adapters saved at chosen steps.

The loss is the mean negative log-likelihood of a reply's tokens and its end mark, averaged over the examples of a step.
With `fast`, on a CPU, the forward pass runs in bfloat16 autocast with short delta-rule chunks; one example a step that was
no gain but took 1.16 of the time (benchmarks/fast_paths.py), so the autocast is still to be weighed.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, encode_reply
from harness.engines.fast import short_chunks
from harness.engines.hf import HFEngine
from harness.engines.protocol import Completion

ANCHOR_WIDTH = 192


@dataclass(frozen=True)
class TrainingSettings:
    """Every setting of a LoRA training; part of the key under which its adapters are stored."""

    rank: int = 8
    alpha: int = 16
    learning_rate: float = 3e-3
    """For a residual stream of width 192; see `for_width`."""
    target_modules: str | tuple[str, ...] = "all-linear"
    batch: int = 5
    """Examples a step in the matched-steps regime (at most n)."""
    steps: int = 20
    """Optimizer steps in the matched-steps regime, whatever n is."""

    def for_width(self, width: int) -> TrainingSettings:
        """The same training for a wider or narrower model: Adam's rate goes with 1 / width (Yang et al. 2022, arXiv:2203.03466)."""
        return replace(self, learning_rate=self.learning_rate * ANCHOR_WIDTH / width)

    def as_key(self) -> dict[str, Any]:
        return asdict(self)


def train_adapters(
    engine: HFEngine,
    base: Subject,
    examples: Sequence[Completion],
    schedule: Sequence[Sequence[int]],
    settings: TrainingSettings,
    seed: int,
    save: Mapping[int, Path],
) -> list[float]:
    """Train one LoRA; step k sees `examples[i] for i in schedule[k]`; after k steps it is saved in `save[k]`.

    Returns the loss of every step, in nats per token. The base in the engine is left as it was.
    """
    targets = settings.target_modules if isinstance(settings.target_modules, str) else list(settings.target_modules)
    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM")
    base_model = engine.base_model(base)
    half = base_model.dtype != torch.float32
    torch.manual_seed(seed)  # after loading, which may draw numbers, and before the LoRA is initialized
    model: Any = get_peft_model(base_model if half else copy.deepcopy(base_model), config)
    try:
        return _optimize(model, engine, base, examples, schedule, settings, save)
    finally:
        if half:
            model.unload()
            base_model.eval()


def _optimize(
    model: Any,
    engine: HFEngine,
    base: Subject,
    examples: Sequence[Completion],
    schedule: Sequence[Sequence[int]],
    settings: TrainingSettings,
    save: Mapping[int, Path],
) -> list[float]:
    tokenizer = engine.tokenizer(base)
    rows = [(encode_prompt(tokenizer, e.messages).tokens, (*encode_reply(tokenizer, e.text), tokenizer.eos_token_id)) for e in examples]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=settings.learning_rate, weight_decay=0.0)
    on_cpu = engine.device == "cpu"
    losses = []
    model.train()
    for step, chosen in enumerate(schedule, start=1):
        width = max(len(rows[i][0]) + len(rows[i][1]) for i in chosen)
        ids = torch.full((len(chosen), width), tokenizer.pad_token_id)
        targets = torch.full((len(chosen), width), -100)
        for row, i in enumerate(chosen):
            prompt, reply = rows[i]
            ids[row, : len(prompt) + len(reply)] = torch.tensor([*prompt, *reply])
            targets[row, len(prompt) : len(prompt) + len(reply)] = torch.tensor(reply)
        ids, targets = ids.to(engine.device), targets.to(engine.device)
        with (
            torch.autocast(engine.device, torch.bfloat16, enabled=engine.fast and on_cpu),
            short_chunks() if engine.fast and on_cpu else contextlib.nullcontext(),
        ):
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets[:, 1:], ignore_index=-100, reduction="none")
        counts = (targets[:, 1:] != -100).sum(1)
        loss = (each.sum(1) / counts).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        optimizer.step()
        losses.append(float(loss.detach()))
        if step in save:
            model.save_pretrained(save[step])
    return losses
