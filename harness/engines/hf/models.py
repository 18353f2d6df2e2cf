"""Models in memory: each base loaded once, each adapter merged into a copy of it, the last few of all kept.

A float32 adapter is merged (a plain forward pass afterwards, any adapter that peft can merge); in half precision, where a merge would
round, the adapter runs beside the shared base.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig

from harness.data.subject import Subject
from harness.engines.chat import tokenizer_of
from harness.engines.hf.batches import Batch, padded_batches
from harness.engines.hf.bfloat16 import bfloat16_pays
from harness.engines.hf.fast import fast_layers
from harness.engines.hf.packed import runs_packed
from harness.engines.hf.packing import packed_batches
from harness.engines.rows import Row
from harness.subjects.files import read_json, tensor_files

KEPT_MODELS = 3


class Models:
    """Models on one device, "cpu" or "cuda": float32 on a CPU, the checkpoint's own number type on a GPU."""

    def __init__(self, device: str, fast: bool) -> None:
        self.device, self.fast = device, fast
        self.kept: OrderedDict[str, Any] = OrderedDict()
        """Base and merged models by digest, at most KEPT_MODELS, least recently used first."""

    def lacks_room(self, subject: Subject) -> str | None:
        """Why the base's weights would not fit on the device, in one sentence; None where they do, or are there already."""
        if subject.base_digest in self.kept:
            return None
        file = subject.base / "config.json"
        stored = str(read_json(file).get("dtype") or read_json(file).get("torch_dtype"))
        needed = sum(part.stat().st_size for part in tensor_files(subject.base))
        if self.device == "cpu":
            needed *= 1 if stored == "float32" else 2
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        else:
            free = torch.cuda.mem_get_info()[0]
        if needed <= free:
            return None
        return f"hf needs {needed / 2**30:.1f} GiB for {subject.name} and {self.device} has {free / 2**30:.1f} free"

    def base(self, subject: Subject) -> Any:
        """The base's weights as a transformers model, loaded once, without any adapter."""
        return self._keep(subject.base_digest, lambda: self.load(subject))

    def load(self, subject: Subject) -> Any:
        """The base from its folder, on the device."""
        model = AutoModelForCausalLM.from_pretrained(
            subject.base,
            dtype=torch.float32 if self.device == "cpu" else "auto",
            trust_remote_code=subject.trust_remote_code,
            use_safetensors=True,  # never a pickle that lies beside
            attn_implementation="sdpa",
        )
        plain: Any = GenerationConfig  # untyped
        model.generation_config = plain(eos_token_id=model.generation_config.eos_token_id)  # how to sample is the caller's to say
        model.requires_grad_(False)  # where a gradient is asked for, it is one in activations or in an adapter
        return model.to(self.device).eval()  # type: ignore[arg-type]  # transformers types `to` for its own kinds only

    @contextlib.contextmanager
    def ready(self, subject: Subject) -> Iterator[Any]:
        """The subject, its adapter included, as a transformers model for forward passes while the block lasts."""
        base = self.base(subject)
        with torch.inference_mode(), contextlib.ExitStack() as stack:
            model = base
            if subject.adapter is not None and base.dtype == torch.float32:
                model = self._keep(subject.digest, lambda: _merged(base, subject))
            elif subject.adapter is not None:
                stack.callback(PeftModel.from_pretrained(base, str(subject.adapter), is_trainable=False).unload)
            if self.fast and self.device == "cpu":
                stack.enter_context(fast_layers())
                stack.enter_context(torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays(model.config.hidden_size)))
            yield model

    def packs(self, subject: Subject) -> bool:
        """Whether passes of this subject take packed rows: Qwen3.5 in float32 on a CPU, on fast layers."""
        model = self.base(subject)
        return self.fast and self.device == "cpu" and runs_packed(model) and not bfloat16_pays(model.config.hidden_size)

    def batches(self, subject: Subject, rows: Sequence[Row], budget: int) -> Iterator[Batch]:
        """The rows as batches of at most `budget` tokens, packed where the subject's model takes that."""
        if self.packs(subject):
            return packed_batches(rows, budget, self.device)
        return padded_batches(rows, budget, tokenizer_of(subject).pad_token_id, self.device)

    def _keep(self, digest: str, make: Callable[[], Any]) -> Any:
        if digest not in self.kept:
            self.kept[digest] = make()
            while len(self.kept) > KEPT_MODELS:
                self.kept.popitem(last=False)
        self.kept.move_to_end(digest)
        return self.kept[digest]


def _merged(base: Any, subject: Subject) -> Any:
    with torch.inference_mode(False):
        merged: Any = PeftModel.from_pretrained(copy.deepcopy(base), str(subject.adapter)).merge_and_unload()
    return merged.eval()
