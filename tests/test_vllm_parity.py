"""harness/engines/vllm/engine.py, worker.py and tap.py in a real vLLM in this process: the same numbers as hf, request by request.

smollm2-135m runs in float32 and every token must agree up to rounding (tests/tolerance.py). tiny-hybrid runs in
bfloat16, all that vLLM's Gated DeltaNet knows on a CPU, against hf in float32: single improbable tokens differ by some tenths
there, so the mean over a completion must agree within .1. Steering moves all of them by 1 and more.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fixtures.models.figures import TINY_HYBRID
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.errors import AdapterIgnored, InputError, InstrumentError
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, Engine, Positions, Scored, Sites, Steering, generate, score, score_texts
from harness.engines.rows import rows_of
from harness.engines.vllm import settings as vllm_settings
from harness.engines.vllm.engine import VLLMEngine
from harness.engines.vllm.local import LocalVLLM
from harness.engines.vllm.requests import Request
from harness.readouts.forced_choice import completions_of
from harness.readouts.parity import MODES, largest_gap, steered_parity
from harness.subjects.files import base_subject, with_adapter
from tests.test_hf_engine import LONG, TEXTS
from tests.tolerance import ALGORITHM, apart, rounding

if TYPE_CHECKING:
    from harness.engines.vllm.tap import Tap
    from tests.conftest import MakeAdapter, StartVLLM

DOSE = 0.5
"""Of the residual norm: strong enough that a mistake cannot hide."""


@dataclass(frozen=True)
class Bench:
    """One model in both engines, with what is asked of it."""

    base: Subject
    ours: VLLMEngine
    theirs: HFEngine
    local: LocalVLLM
    completions: list[Completion]
    adapters: tuple[Subject, Subject]
    layer: int
    vector: np.ndarray
    layers: int
    by_token: bool
    allowed: float
    """Largest gap, of tokens or of completions' means, in nats."""

    def gap(self, one: Sequence[Scored], other: Sequence[Scored]) -> float:
        if not self.by_token:
            return largest_gap(one, other)
        return max(float(np.abs(a.log_probabilities - b.log_probabilities).max()) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module", params=["smollm2", "tiny-hybrid"])
def bench(
    request: pytest.FixtureRequest, start_vllm: StartVLLM, make_adapter: MakeAdapter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    real = request.param == "smollm2"
    base: Subject = request.getfixturevalue("smollm2") if real else base_subject("tiny-hybrid", TINY_HYBRID)
    theirs, local = HFEngine(fast=False), start_vllm(base, "float32" if real else "bfloat16")
    completions = completions_of(load_behavior(resolve_behavior("listening")).split("test")[: 1 if real else 4])
    folder, layer = tmp_path_factory.mktemp(request.param), local.served.layers // 2
    modules = ["q_proj", "v_proj", "down_proj"] if real else ["in_proj_qkv", "in_proj_z", "in_proj_b", "out_proj", "q_proj", "up_proj"]
    adapters = [make_adapter(base, folder / str(seed), modules, seed) for seed in range(2)]
    (recorded, *_) = theirs.record(base, completions[:1], Sites(residual_layers=(layer,)))
    vector = np.random.default_rng(0).normal(size=local.served.width)
    vector = (vector / np.linalg.norm(vector) * DOSE * recorded.norms[layer]).astype(np.float32)
    ours = VLLMEngine(lambda _: local, theirs, local.served.numerics)
    allowed = ALGORITHM * rounding(score(theirs, base, completions)) if real else 0.1
    yield Bench(base, ours, theirs, local, completions, (adapters[0], adapters[1]), layer, vector, local.served.layers, real, allowed)
    theirs.models.kept.clear()


def test_it_is_an_engine(bench: Bench) -> None:
    engine: Engine = bench.ours
    assert engine.name == "vllm" and engine.numerics != bench.theirs.numerics


def test_plain_scores_agree(bench: Bench) -> None:
    ours, theirs = score(bench.ours, bench.base, bench.completions), score(bench.theirs, bench.base, bench.completions)
    assert [one.tokens for one in ours] == [one.tokens for one in theirs]
    assert [one.offsets for one in ours] == [one.offsets for one in theirs]
    assert bench.gap(ours, theirs) <= bench.allowed


def test_texts_agree_from_their_second_token_on(bench: Bench) -> None:
    ours, theirs = score_texts(bench.ours, bench.base, TEXTS), score_texts(bench.theirs, bench.base, TEXTS)
    assert [len(one.tokens) for one in ours] == [len(one.tokens) for one in theirs]
    assert bench.gap(ours, theirs) <= bench.allowed


@pytest.mark.parametrize("mode", MODES)
def test_steered_scores_agree(bench: Bench, mode: Positions) -> None:
    steering = Steering({bench.layer: bench.vector}, mode)
    ours, theirs = (score(engine, bench.base, bench.completions, steering) for engine in (bench.ours, bench.theirs))
    assert bench.gap(ours, theirs) <= bench.allowed
    assert bench.gap(theirs, score(bench.theirs, bench.base, bench.completions)) > 5 * bench.allowed


def test_two_layers_are_steered_at_once(bench: Bench) -> None:
    steering = Steering({1: bench.vector / 4, bench.layer: bench.vector})
    ours, theirs = (score(engine, bench.base, bench.completions, steering) for engine in (bench.ours, bench.theirs))
    assert bench.gap(ours, theirs) <= bench.allowed


def test_adapters_agree_and_differ_from_base(bench: Bench) -> None:
    plain = score(bench.theirs, bench.base, bench.completions)
    for subject in bench.adapters:
        ours, theirs = score(bench.ours, subject, bench.completions), score(bench.theirs, subject, bench.completions)
        assert bench.gap(ours, theirs) <= bench.allowed
        assert bench.gap(theirs, plain) > 3 * bench.allowed


def test_every_request_of_a_mixed_batch_is_its_own(bench: Bench) -> None:
    """Plain, two adapters, three modes, an adapter under steering, and plain again, interleaved in one batch."""
    first, second = bench.adapters
    kinds: list[tuple[Subject, Steering | None]] = [
        (bench.base, None),
        (first, None),
        *((bench.base, Steering({bench.layer: bench.vector}, mode)) for mode in MODES),
        (second, None),
        (first, Steering({bench.layer: bench.vector}, "both")),
        (bench.base, Steering({bench.layer: -bench.vector}, "both")),
        (bench.base, None),
    ]
    rows = rows_of(bench.base, bench.completions)
    requests = [Request(row.tokens, row.given, subject, bench.ours.doses(bench.base, added)) for row in rows for subject, added in kinds]
    answers = bench.local.run(requests)
    for k, (subject, steering) in enumerate(kinds):
        theirs = score(bench.theirs, subject, bench.completions, steering)
        ours = [
            Scored(one.tokens, answer.log_probabilities, one.offsets) for one, answer in zip(theirs, answers[k :: len(kinds)], strict=True)
        ]
        assert bench.gap(ours, theirs) <= bench.allowed, f"request {k} of each group: {subject.name}, {steering and steering.positions}"


def test_a_wrong_sign_and_a_wrong_layer_are_seen(bench: Bench) -> None:
    """What the tests above rest on: these mistakes are far outside what is allowed."""
    found = steered_parity(bench.ours, bench.theirs, bench.base, bench.completions, Steering({bench.layer: bench.vector}), bench.layers)
    assert found.gap <= 0.1
    assert list(found.mistakes) == ["reversed", f"at layer {bench.layer + 1}"]
    assert min(found.mistakes.values()) > 5 * bench.allowed


def test_residual_streams_agree(bench: Bench) -> None:
    layers = (0, bench.layer, bench.layers - 1)
    ours, theirs = (engine.record(bench.base, bench.completions, Sites(residual_layers=layers)) for engine in (bench.ours, bench.theirs))
    relative = 1e-4 if bench.by_token else 0.02  # of the length, bfloat16
    for one, other in zip(ours, theirs, strict=True):
        for layer in layers:
            length = np.linalg.norm(other.residual[layer])
            assert np.linalg.norm(one.residual[layer] - other.residual[layer]) <= relative * length
            assert one.norms[layer] == pytest.approx(other.norms[layer], rel=relative)


def test_greedy_replies_agree_where_the_numbers_do(bench: Bench) -> None:
    """In bfloat16 the likeliest token may be another; in float32 it is not."""
    prompts = [completion.messages for completion in bench.completions[::2]]
    for steering in (None, Steering({bench.layer: bench.vector / 2}, "both")):
        ours, theirs = (
            generate(engine, bench.base, prompts, seed=0, temperature=0, max_new_tokens=12, steering=steering)
            for engine in (bench.ours, bench.theirs)
        )
        assert len(ours) == len(theirs) == len(prompts) and all(ours)
        if bench.by_token:
            assert ours == theirs


def test_what_only_hf_records_is_left_to_it(bench: Bench) -> None:
    assert bench.ours.recorder(Sites(residual_layers=(0,))) is bench.ours
    for sites in (Sites(attention=True), Sites(heads=True), Sites(residual_layers=(0,), state_layers=(0,)), None):
        assert bench.ours.recorder(sites) is bench.theirs
    assert bench.ours.recorder(Sites(residual_layers=(0,)), bench.base) is bench.theirs
    recorded = bench.ours.record(bench.base, bench.completions[:1], Sites(heads=True))
    assert recorded[0].heads


# -- one small model for what does not depend on the weights ---------------------------------------------------------


@pytest.fixture(scope="module")
def local(start_vllm: StartVLLM, served_llama: Subject) -> LocalVLLM:
    return start_vllm(served_llama)


@pytest.fixture(scope="module")
def small(local: LocalVLLM, hf: HFEngine) -> VLLMEngine:
    return VLLMEngine(lambda _: local, hf, local.served.numerics)


def tap_of(local: LocalVLLM) -> Tap:
    """The hooks of a vLLM in this process."""
    found: Tap = local._llm.llm_engine.model_executor.driver_worker.worker.evals_tap
    return found


COMPLETIONS = [Completion(c.messages, c.text) for c in completions_of(load_behavior(resolve_behavior("listening")).split("test")[:2])]


def token_gap(one: Sequence[Scored], other: Sequence[Scored]) -> float:
    return max(float(np.abs(a.log_probabilities - b.log_probabilities).max()) for a, b in zip(one, other, strict=True))


def test_narrow_heads_of_another_width_agree(start_vllm: StartVLLM, hf: HFEngine, served_hybrid: Subject) -> None:
    """16 numbers a head, of which vLLM's kernel on a CPU knows nothing; in one pass, and in parts that go on from a state."""
    for more in ({}, {"max_num_batched_tokens": 64, "enable_chunked_prefill": True}):
        local = start_vllm(served_hybrid, "bfloat16", more=more, sequences=8)
        ours = VLLMEngine(lambda _, found=local: found, hf, local.served.numerics)
        assert largest_gap(score(ours, served_hybrid, COMPLETIONS), score(hf, served_hybrid, COMPLETIONS)) <= 0.1
        assert largest_gap(score_texts(ours, served_hybrid, [LONG]), score_texts(hf, served_hybrid, [LONG])) <= 0.1


def test_chunked_prompts_are_steered_where_they_should_be(start_vllm: StartVLLM, hf: HFEngine, served_llama: Subject) -> None:
    local = start_vllm(served_llama, more={"max_num_batched_tokens": 64, "enable_chunked_prefill": True}, sequences=8)
    ours = VLLMEngine(lambda _: local, hf, local.served.numerics)
    long = [replace(one, messages=(replace(one.messages[-1], content=LONG),)) for one in COMPLETIONS]
    vector = np.random.default_rng(1).normal(size=local.served.width).astype(np.float32)
    for mode in MODES:
        steering = Steering({1: vector}, mode)
        assert apart(score(ours, served_llama, long, steering), score(hf, served_llama, long, steering)) <= ALGORITHM
    assert apart(score_texts(ours, served_llama, [LONG]), score_texts(hf, served_llama, [LONG])) <= ALGORITHM  # scored in every chunk
    recorded, expected = (engine.record(served_llama, long, Sites(residual_layers=(1,))) for engine in (ours, hf))
    assert apart(recorded[0].norms[1], expected[0].norms[1]) <= ALGORITHM
    assert apart(recorded[0].residual[1], expected[0].residual[1]) <= ALGORITHM


def test_a_request_that_is_preempted_and_runs_again_is_scored_and_recorded_once(
    start_vllm: StartVLLM, hf: HFEngine, served_llama: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two prompts of ten blocks share thirteen, in turns: one must give way when part of it is scored."""
    small = {"max_num_batched_tokens": 64, "long_prefill_token_threshold": 32, "block_size": 32, "num_gpu_blocks_override": 14}
    local = start_vllm(served_llama, more={**small, "enable_chunked_prefill": True, "max_model_len": 384}, sequences=8)
    ours, tap = VLLMEngine(lambda _: local, hf, local.served.numerics), tap_of(local)
    begun: list[str] = []
    add = tap.scores.add

    def noticed(key: str, at: int, values: Sequence[float]) -> None:
        begun.extend([key] * (at == 0))
        add(key, at, values)

    monkeypatch.setattr(tap.scores, "add", noticed)
    texts = [f"{word} {LONG}" for word in ("One.", "Two.", "Three.")]
    steering = Steering({1: np.random.default_rng(1).normal(size=48).astype(np.float32)})
    for steered in (None, steering):
        assert apart(score_texts(ours, served_llama, texts, steered), score_texts(hf, served_llama, texts, steered)) <= ALGORITHM
    assert len(begun) > len(set(begun)) == 6  # some began twice
    long = [replace(COMPLETIONS[0], messages=(replace(COMPLETIONS[0].messages[-1], content=text),)) for text in texts]
    for one, other in zip(*(engine.record(served_llama, long, Sites(residual_layers=(1,))) for engine in (ours, hf)), strict=True):
        assert apart(one.residual[1], other.residual[1]) <= ALGORITHM
        assert apart(one.norms[1], other.norms[1]) <= ALGORITHM


def test_more_adapters_than_slots_leave_plain_requests_plain(
    small: VLLMEngine, local: LocalVLLM, hf: HFEngine, served_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    """vLLM on a CPU computes requests without an adapter with the last slot's: it must stay empty."""
    plain = score(hf, served_llama, COMPLETIONS)
    for seed in range(local.served.adapter_slots + 2):
        subject = make_adapter(served_llama, tmp_path / str(seed), seed=seed)
        assert apart(score(small, subject, COMPLETIONS), score(hf, subject, COMPLETIONS)) <= ALGORITHM
        assert apart(score(small, served_llama, COMPLETIONS), plain) <= ALGORITHM


def test_a_batch_with_more_adapters_than_slots_is_split(
    local: LocalVLLM, hf: HFEngine, served_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    subjects = [make_adapter(served_llama, tmp_path / str(seed), seed=seed) for seed in range(local.served.adapter_slots + 1)]
    row = rows_of(served_llama, COMPLETIONS[:1])[0]
    answers = local.run([Request(row.tokens, row.given, subject) for subject in (*subjects, served_llama, *subjects)])
    expected = [score(hf, subject, COMPLETIONS[:1])[0].log_probabilities for subject in (*subjects, served_llama, *subjects)]
    for answer, values in zip(answers, expected, strict=True):
        assert apart(answer.log_probabilities, values) <= ALGORITHM


def test_an_adapter_is_known_by_content_not_by_folder(
    small: VLLMEngine, hf: HFEngine, served_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    """The next cycle writes into the folder of the last: the old weights must not answer for it."""
    folder = tmp_path / "candidate"
    before = make_adapter(served_llama, folder, seed=20)
    old = score(small, before, COMPLETIONS)
    shutil.rmtree(folder)
    after = make_adapter(served_llama, folder, seed=21)
    new = score(small, after, COMPLETIONS)
    assert apart(new, score(hf, after, COMPLETIONS)) <= ALGORITHM
    assert token_gap(new, old) > 0.1  # a stale adapter would be seen


def test_an_adapter_that_changed_in_mid_run_is_refused(
    small: VLLMEngine, served_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    subject = make_adapter(served_llama, tmp_path / "a", seed=30)
    shutil.rmtree(tmp_path / "a")
    make_adapter(served_llama, tmp_path / "a", seed=31)
    with pytest.raises(InstrumentError, match="the adapter changed since the run began"):
        score(small, subject, COMPLETIONS)


def of_a_wrapper(subject: Subject, base: Subject, folder: Path) -> Subject:
    """The adapter with the module names of a multimodal wrapper, which a text model does not have."""
    from safetensors.numpy import load_file, save_file

    assert subject.adapter is not None
    shutil.copytree(subject.adapter, folder)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(
        {name.replace("model.layers", "language_model.model.layers"): w for name, w in weights.items()},
        folder / "adapter_model.safetensors",
    )
    return with_adapter(base, folder, "trained on the wrapper")


def test_an_adapter_that_vllm_ignores_is_refused_by_name(
    small: VLLMEngine, hf: HFEngine, served_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    ignored = of_a_wrapper(make_adapter(served_llama, tmp_path / "a", seed=40), served_llama, tmp_path / "b")
    for _ in range(small.backend(served_llama).served.adapter_slots + 2):  # a refused one keeps no slot
        with pytest.raises(
            AdapterIgnored, match=r"^vllm ignores all of the modules that trained on the wrapper adapts, the first .*layers"
        ):
            score(small, ignored, COMPLETIONS)
    fitting = make_adapter(served_llama, tmp_path / "c", seed=41)
    assert apart(score(small, fitting, COMPLETIONS), score(hf, fitting, COMPLETIONS)) <= ALGORITHM
    assert apart(score(small, served_llama, COMPLETIONS), score(hf, served_llama, COMPLETIONS)) <= ALGORITHM


def test_an_adapter_of_a_higher_rank_is_refused(
    small: VLLMEngine, served_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    subject = make_adapter(served_llama, tmp_path / "a")
    assert subject.adapter is not None
    config = subject.adapter / "adapter_config.json"
    config.write_text(config.read_text().replace('"r": 2', '"r": 9'))
    with pytest.raises(InputError, match="rank 9, vllm was started for at most 8"):
        score(small, with_adapter(served_llama, subject.adapter), COMPLETIONS)


def test_another_base_is_refused(local: LocalVLLM, served_hybrid: Subject) -> None:
    with pytest.raises(InstrumentError, match="this vllm runs the base served-llama, asked was served-hybrid"):
        local.run([Request((1, 2), 1, served_hybrid)])


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ({3: np.ones(48)}, "steering layer 3 is out of range: the model has layers 0 to 2"),
        ({-1: np.ones(48)}, "steering layer -1 is out of range"),
        ({1: np.ones(47)}, r"must be 48 finite numbers, found shape \(47,\)"),
        ({1: np.full(48, np.nan)}, "must be 48 finite numbers"),
    ],
)
def test_steering_that_does_not_fit_is_refused(small: VLLMEngine, served_llama: Subject, vectors: dict[int, Any], message: str) -> None:
    steering = Steering({layer: vector.astype(np.float32) for layer, vector in vectors.items()})
    with pytest.raises(ValueError, match=message):
        score(small, served_llama, COMPLETIONS, steering)
    with pytest.raises(ValueError, match=message):
        generate(small, served_llama, [COMPLETIONS[0].messages], seed=0, steering=steering)


def test_a_request_that_nobody_steered_is_not_passed_on(
    small: VLLMEngine, local: LocalVLLM, served_llama: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks that did not run, as under compiled graphs."""
    tap = tap_of(local)
    monkeypatch.setattr(tap, "_begin", lambda: setattr(tap, "_rows", []))
    with pytest.raises(InstrumentError, match=r"vllm steered 0 of \d+ tokens at layer 1: its layers did not run through the hooks"):
        score(small, served_llama, COMPLETIONS, Steering({1: np.ones(48, np.float32)}))
    with pytest.raises(InstrumentError, match="vllm did not record layer 1"):
        small.record(served_llama, COMPLETIONS, Sites(residual_layers=(1,)))
    with pytest.raises(InstrumentError, match=r"vllm scored 0 of \d+ tokens: not all of them ran through the suite's hooks"):
        score(small, served_llama, COMPLETIONS)


def test_sampled_replies_follow_from_the_seed(small: VLLMEngine, served_llama: Subject) -> None:
    prompts = [one.messages for one in COMPLETIONS]
    first = generate(small, served_llama, prompts, seed=3)
    assert first == generate(small, served_llama, prompts, seed=3)
    assert first != generate(small, served_llama, prompts, seed=4)
    assert first[0] != first[1]  # the same prompt twice is two samples


def test_nothing_asked_is_nothing_answered(small: VLLMEngine, served_llama: Subject) -> None:
    assert score(small, served_llama, []) == [] and generate(small, served_llama, [], seed=0) == []
    with pytest.raises(ValueError, match="no token to be scored"):
        score_texts(small, served_llama, ["a"])


def greedy(engine: VLLMEngine, base: Subject, steering: Steering | None) -> list[str]:
    messages = (replace(COMPLETIONS[0].messages[-1], content=LONG),)
    return generate(engine, base, [messages], seed=0, temperature=0, max_new_tokens=8, steering=steering)


def test_steered_prompts_do_not_reach_plain_ones_through_a_cache(small: VLLMEngine, hf: HFEngine, served_llama: Subject) -> None:
    steering = Steering({0: np.random.default_rng(2).normal(size=48).astype(np.float32) * 5}, "prefill")
    steered = greedy(small, served_llama, steering)
    expected = generate(hf, served_llama, [(replace(COMPLETIONS[0].messages[-1], content=LONG),)], seed=0, temperature=0, max_new_tokens=8)
    assert steered != expected
    assert greedy(small, served_llama, None) == expected


def test_what_a_shared_prefix_cache_kept_from_being_scored_is_not_passed_on(
    start_vllm: StartVLLM, hf: HFEngine, served_llama: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_settings, "FIXED", {**vllm_settings.FIXED, "enable_prefix_caching": True})
    local = start_vllm(served_llama, more={"block_size": 32}, sequences=4)
    ours = VLLMEngine(lambda _: local, hf, local.served.numerics)
    assert apart(score_texts(ours, served_llama, [LONG]), score_texts(hf, served_llama, [LONG])) <= ALGORITHM
    with pytest.raises(InstrumentError, match=r"vllm scored 0 of \d+ tokens"):
        score_texts(ours, served_llama, [LONG])


def test_with_a_shared_prefix_cache_they_would(
    start_vllm: StartVLLM, hf: HFEngine, served_llama: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above rests on."""
    monkeypatch.setattr(vllm_settings, "FIXED", {**vllm_settings.FIXED, "enable_prefix_caching": True})
    local = start_vllm(served_llama, more={"block_size": 32}, sequences=4)
    ours = VLLMEngine(lambda _: local, hf, local.served.numerics)
    steering = Steering({0: np.random.default_rng(2).normal(size=48).astype(np.float32) * 5}, "prefill")
    steered = greedy(ours, served_llama, steering)
    expected = generate(hf, served_llama, [(replace(COMPLETIONS[0].messages[-1], content=LONG),)], seed=0, temperature=0, max_new_tokens=8)
    assert steered != expected
    assert greedy(ours, served_llama, None) != expected
