"""The transformers engine: does everything, on a CPU or a GPU, for any causal language model the library loads.

torch and transformers load with the first pass: a run whose answers are all in the store needs neither.
What it cannot show: bitwise equality across batch shapes; numbers agree within about 1e-6 of their size in float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.arrays import Floats
from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.hf.bfloat16 import WIDE, has_bfloat16_units
from harness.engines.precision import OF_THE_CHECKPOINT
from harness.engines.protocol import Completion, Engine, HeadSet, Positions, Recorded, Scored, Sites, Steering
from harness.engines.rows import refuse_unscored, rows_of, rows_of_texts

if TYPE_CHECKING:
    from harness.engines.hf.models import Models


class HFEngine:
    """`device` "cpu" or "cuda"; float32 on a CPU, the checkpoint's own type on a GPU. `batch_tokens` bounds a batch, padding included.

    With `fast`, on a CPU, Qwen3.5's layers run fused, and what several completions of one prompt begin with is run once for all of them;
    matrix products of models wider than WIDE are in bfloat16 where the processor has units for it: a third of the time for smollm2-135m,
    and the log-odds of a pair move by .01 nats (standard deviation), where pairs differ by .4. `bfloat16_units` says whether it has; None:
    torch is loaded and asked. `threads` of this process run products; None: as many as torch takes.
    """

    name = "hf"

    def __init__(
        self,
        device: str = "cpu",
        fast: bool = True,
        batch_tokens: int | None = None,
        *,
        bfloat16_units: bool | None = None,
        threads: int | None = None,
    ) -> None:
        self.device, self.fast, self.threads = device, fast, threads
        self.batch_tokens = batch_tokens or (1024 if device == "cpu" else 16384)  # more is slower on a CPU: it leaves the cache
        kept = "float32" if device == "cpu" else OF_THE_CHECKPOINT
        units = has_bfloat16_units() if bfloat16_units is None else bfloat16_units
        products = f", bfloat16 products above width {WIDE}" if units else ""
        self.numerics = f"{device}, {kept}" + (f", fused layers{products}" if fast and device == "cpu" else "")

    @cached_property
    def models(self) -> Models:
        """The models in memory; the first use of it loads torch."""
        import torch

        from harness.engines.hf.models import Models

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return Models(self.device, self.fast)

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
        from harness.engines.hf.scoring import score_rows

        return score_rows(self.models, subject, rows_of(subject, completions), steerings, self.batch_tokens)

    def score_texts_each(self, subject: Subject, texts: Sequence[str], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        from harness.engines.hf.scoring import score_rows

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
        from harness.engines.hf.generation import generate_rows

        return generate_rows(self.models, subject, prompts, seeds, temperature, max_new_tokens, steering, self.batch_tokens)

    def recorder(self, sites: Sites | None, fed_by: Subject | None = None) -> Engine:
        return self

    def gradients(self, subject: Subject, completions: Sequence[Completion], weights: Sequence[Floats], layers: Sequence[int]) -> Floats:
        from harness.engines.hf.gradients import gradient_rows

        return gradient_rows(self.models, subject, rows_of(subject, completions), weights, layers, self.batch_tokens)

    def text_gradients(self, subject: Subject, texts: Sequence[str], layers: Sequence[int]) -> Floats:
        from harness.engines.hf.gradients import gradient_rows

        rows = rows_of_texts(subject, texts)
        refuse_unscored(rows)
        equal = [np.full(len(row.tokens) - row.given, 1 / (len(row.tokens) - row.given)) for row in rows]
        return gradient_rows(self.models, subject, rows, equal, layers, self.batch_tokens)

    def record(self, subject: Subject, completions: Sequence[Completion], sites: Sites, fed_by: Subject | None = None) -> list[Recorded]:
        from harness.engines.hf.inside import record_rows

        return record_rows(self.models, subject, rows_of(subject, completions), sites, fed_by, self.batch_tokens)

    def score_patched_heads(
        self,
        subject: Subject,
        donor: Subject,
        completions: Sequence[Completion],
        head_sets: Sequence[HeadSet],
        positions: Positions = "both",
    ) -> list[list[Scored]]:
        from harness.engines.hf.patching import score_rows_patched_heads

        rows = rows_of(subject, completions)
        return score_rows_patched_heads(self.models, subject, donor, rows, head_sets, positions, self.batch_tokens)

    def score_patched_states(self, subject: Subject, donor: Subject, completions: Sequence[Completion]) -> list[Scored]:
        from harness.engines.hf.patching import score_rows_patched_states

        return score_rows_patched_states(self.models, subject, donor, rows_of(subject, completions), self.batch_tokens)
