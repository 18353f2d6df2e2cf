"""The vLLM engine: scores, generates and steers in batches, with each request's own adapter and vectors, and records the residual stream.

The same conversation is the same tokens as in hf. Forced choices are log-probabilities of one pass. What vLLM cannot show (gradients,
attention rows, head outputs, recurrent states, layers fed by another subject, patched heads and states) is left to the engine `hf`, and
`recorder` says so. What it cannot promise: bitwise equality with hf, or between batch shapes (docs/vllm.md has the measured gaps).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from harness.data.arrays import Floats
from harness.data.behavior import Message
from harness.data.errors import InstrumentError
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, end_tokens, tokenizer_of
from harness.engines.protocol import Completion, Engine, HeadSet, Positions, Recorded, Scored, Sites, Steering
from harness.engines.rows import Row, refuse_unscored, rows_of, rows_of_texts
from harness.engines.vllm.requests import Answer, Backend, Dose, Request, Sampling

SEEDS = 2**31


class VLLMEngine:
    """`start(base)` starts a vLLM with a base model, or finds the one that serves it; `kept` of them stay alive.

    `hf` answers for what vLLM cannot show; `numerics` says what computes vLLM's numbers.
    """

    name = "vllm"

    def __init__(self, start: Callable[[Subject], Backend], hf: Engine, numerics: str, kept: int = 1) -> None:
        self.hf, self.numerics = hf, numerics
        self._start, self._kept = start, kept
        self._backends: OrderedDict[str, Backend] = OrderedDict()
        self._digests: dict[tuple[str, bytes], str] = {}

    def backend(self, subject: Subject) -> Backend:
        """The vLLM that runs the subject's base."""
        digest = subject.base_digest
        if digest not in self._backends:
            while len(self._backends) >= self._kept:
                self._backends.popitem(last=False)[1].close()
                self._digests.clear()
            self._backends[digest] = self._start(subject)
        self._backends.move_to_end(digest)
        return self._backends[digest]

    def close(self) -> None:
        for backend in self._backends.values():
            backend.close()
        self._backends.clear()

    def doses(self, subject: Subject, steering: Steering | None) -> tuple[Dose, ...]:
        """A steering as doses of loaded vectors; ValueError names what does not fit the model."""
        if steering is None:
            return ()
        backend = self.backend(subject)
        found = []
        for layer, vector in steering.vectors.items():
            if not 0 <= layer < backend.served.layers:
                raise ValueError(f"steering layer {layer} is out of range: the model has layers 0 to {backend.served.layers - 1}")
            key = (subject.base_digest, vector.tobytes())
            if key not in self._digests:
                self._digests[key] = backend.put(vector)
            found.append(Dose(self._digests[key], layer, 1.0, steering.positions))
        return tuple(found)

    def score_each(self, subject: Subject, completions: Sequence[Completion], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        return self._score(subject, rows_of(subject, completions), steerings)

    def score_texts_each(self, subject: Subject, texts: Sequence[str], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        return self._score(subject, rows_of_texts(subject, texts), steerings)

    def _score(self, subject: Subject, rows: Sequence[Row], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        refuse_unscored(rows)
        added = [self.doses(subject, steering) for steering in steerings]
        answers = self._run(subject, [Request(row.tokens, row.given, subject, doses) for doses in added for row in rows])
        scored = [
            Scored(row.tokens[row.given :], answer.log_probabilities, row.offsets)
            for row, answer in zip([*rows] * len(added), answers, strict=True)
        ]
        return [scored[i * len(rows) : (i + 1) * len(rows)] for i in range(len(added))]

    def _run(self, subject: Subject, requests: Sequence[Request]) -> list[Answer]:
        return self.backend(subject).run(requests) if requests else []

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
        tokenizer, stop = tokenizer_of(subject), end_tokens(subject)
        doses, count = self.doses(subject, steering), len(prompts)
        rows = [encode_prompt(tokenizer, messages).tokens for messages in prompts]
        requests = []
        for seed in seeds:
            for i, tokens in enumerate(rows):
                sampling = Sampling((seed * 1_000_003 + i) % SEEDS, temperature, max_new_tokens, stop)
                requests.append(Request(tokens, len(tokens), subject, doses, sampling=sampling))
        answers = self._run(subject, requests)
        texts = [text.strip() for text in tokenizer.batch_decode([answer.tokens for answer in answers], skip_special_tokens=True)]
        return [texts[i * count : (i + 1) * count] for i in range(len(seeds))]

    def recorder(self, sites: Sites | None, fed_by: Subject | None = None) -> Engine:
        """This engine where the residual stream is all that is asked for; hf for everything else."""
        inside = sites is None or sites.attention or sites.heads or bool(sites.state_layers) or fed_by is not None
        return self.hf if inside else self

    def record(self, subject: Subject, completions: Sequence[Completion], sites: Sites, fed_by: Subject | None = None) -> list[Recorded]:
        if self.recorder(sites, fed_by) is self.hf:
            return self.hf.record(subject, completions, sites, fed_by)
        rows = rows_of(subject, completions)
        answers = self._run(subject, [Request(row.tokens, row.given, subject, capture=sites.residual_layers) for row in rows])
        recorded = []
        for answer in answers:
            streams = {layer: answer.streams[layer] for layer in sites.residual_layers}
            means, norms = {layer: one.mean for layer, one in streams.items()}, {layer: one.norm for layer, one in streams.items()}
            recorded.append(Recorded(attention=None, heads={}, residual=means, norms=norms, states={}, dynamics={}))
        if len(recorded) != len(completions):
            raise InstrumentError("vllm did not record every conversation")
        return recorded

    def gradients(self, subject: Subject, completions: Sequence[Completion], weights: Sequence[Floats], layers: Sequence[int]) -> Floats:
        return self.hf.gradients(subject, completions, weights, layers)

    def text_gradients(self, subject: Subject, texts: Sequence[str], layers: Sequence[int]) -> Floats:
        return self.hf.text_gradients(subject, texts, layers)

    def score_patched_heads(
        self,
        subject: Subject,
        donor: Subject,
        completions: Sequence[Completion],
        head_sets: Sequence[HeadSet],
        positions: Positions = "both",
    ) -> list[list[Scored]]:
        return self.hf.score_patched_heads(subject, donor, completions, head_sets, positions)

    def score_patched_states(self, subject: Subject, donor: Subject, completions: Sequence[Completion]) -> list[Scored]:
        return self.hf.score_patched_states(subject, donor, completions)
