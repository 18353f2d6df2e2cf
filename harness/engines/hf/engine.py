"""The transformers engine: does everything, on a CPU or a GPU, for any causal language model the library loads.

What it cannot show: bitwise equality across batch shapes; numbers agree within about 1e-6 of their size in float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.hf.fast import WIDE, has_bfloat16_units
from harness.engines.hf.generation import generate_rows
from harness.engines.hf.inside import record_rows
from harness.engines.hf.models import Models
from harness.engines.hf.patching import score_rows_patched_heads, score_rows_patched_states
from harness.engines.hf.scoring import score_rows
from harness.engines.protocol import Completion, Engine, HeadSet, Positions, Recorded, Scored, Sites, Steering
from harness.engines.rows import rows_of, rows_of_texts


class HFEngine:
    """`device` "cpu" or "cuda"; float32 on a CPU, the checkpoint's own type on a GPU. `batch_tokens` bounds a batch, padding included.

    With `fast`, on a CPU, Qwen3.5's layers run fused, and what several completions of one prompt begin with is run once for all of them;
    matrix products of models wider than WIDE are in bfloat16 where the processor has units for it: a third of the time for smollm2-135m,
    and the log-odds of a pair move by .01 nats (standard deviation), where pairs differ by .4.
    """

    name = "hf"

    def __init__(self, device: str = "cpu", fast: bool = True, batch_tokens: int | None = None) -> None:
        self.device, self.fast = device, fast
        self.batch_tokens = batch_tokens or (1024 if device == "cpu" else 16384)  # more is slower on a CPU: it leaves the cache
        kept = "float32" if device == "cpu" else "type of the checkpoint"
        products = f", bfloat16 products above width {WIDE}" if has_bfloat16_units() else ""
        self.numerics = f"{device}, {kept}" + (f", fused layers{products}" if fast and device == "cpu" else "")
        self.models = Models(device, fast)

    def lacks_room(self, subject: Subject) -> str | None:
        """Why the base's weights would not fit on this engine's device; None where they do, or are there already."""
        return self.models.lacks_room(subject)

    def base_model(self, subject: Subject) -> Any:
        """The base's weights as a transformers model, loaded once, without any adapter."""
        return self.models.base(subject)

    def model(self, subject: Subject) -> contextlib.AbstractContextManager[Any]:
        """The subject, its adapter included, as a transformers model for forward passes while the block lasts."""
        return self.models.ready(subject)

    def score_each(self, subject: Subject, completions: Sequence[Completion], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        return score_rows(self.models, subject, rows_of(subject, completions), steerings, self.batch_tokens)

    def score_texts_each(self, subject: Subject, texts: Sequence[str], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        return score_rows(self.models, subject, rows_of_texts(subject, texts), steerings, self.batch_tokens)

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
        return generate_rows(self.models, subject, prompts, seeds, temperature, max_new_tokens, steering, self.batch_tokens)

    def recorder(self, sites: Sites | None, fed_by: Subject | None = None) -> Engine:
        return self

    def record(self, subject: Subject, completions: Sequence[Completion], sites: Sites, fed_by: Subject | None = None) -> list[Recorded]:
        return record_rows(self.models, subject, rows_of(subject, completions), sites, fed_by, self.batch_tokens)

    def score_patched_heads(
        self,
        subject: Subject,
        donor: Subject,
        completions: Sequence[Completion],
        head_sets: Sequence[HeadSet],
        positions: Positions = "both",
    ) -> list[list[Scored]]:
        rows = rows_of(subject, completions)
        return score_rows_patched_heads(self.models, subject, donor, rows, head_sets, positions, self.batch_tokens)

    def score_patched_states(self, subject: Subject, donor: Subject, completions: Sequence[Completion]) -> list[Scored]:
        return score_rows_patched_states(self.models, subject, donor, rows_of(subject, completions), self.batch_tokens)
