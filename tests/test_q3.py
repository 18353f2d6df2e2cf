"""evals/q3 on planted adapters of the shipped model: three heads are found and named, an adapter on everything is not localized."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from evals.q3.checks import MEASURES
from evals.q3.design import CONVERSATIONS, RANK, RANKS
from evals.q3.heads import Head, distances, heads_of, recorded
from evals.q3.patching import Patching, patch
from evals.q3.study import Study
from evals.question import Question
from fixtures.laboratory import make_lab
from fixtures.models.figures import TINY_HYBRID
from harness.analysis.head_ranking import top
from harness.analysis.localization import Localization, localize
from harness.arms.training import TrainingSettings
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.arm import Arm, ArmKind
from harness.data.behavior import Pair
from harness.data.settings import PROJECT, Settings
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, encode_reply, tokenizer_of
from harness.engines.hf.engine import HFEngine
from harness.experiment.lab import Lab
from harness.experiment.profile import across_domains, domains_of
from harness.gate.verdict.thresholds import load_thresholds
from harness.readouts.forced_choice import METRICS, ForcedChoice
from harness.store import Store
from harness.subjects.files import base_subject, with_adapter
from harness.subjects.named import model_layer_kinds
from tests.bench import bare_lab

pytestmark = pytest.mark.numeric

PLANTED = (Head(2, 5, "linear_attention"), Head(6, 8, "linear_attention"), Head(7, 3, "full_attention"))


@pytest.fixture(scope="module")
def lab(hf: HFEngine, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("q3")
    return make_lab(
        Settings(store=folder / "store", reports=folder / "reports"),
        load_behavior(resolve_behavior("listening")),
        base_subject("tiny-hybrid", TINY_HYBRID),
        None,
        model_layer_kinds(TINY_HYBRID),
        hf,
        Store(folder / "store"),
        load_thresholds(PROJECT / "thresholds.toml"),
        lambda _: None,
    )


def rows_of(head: Head, config: Any) -> dict[str, slice]:
    """Output rows of the input projections that belong to this head alone."""
    if head.kind == "full_attention":
        width = 2 * config.head_dim  # query and gate
        return {"q_proj": slice(head.index * width, (head.index + 1) * width)}
    width, keys = config.linear_value_head_dim, config.linear_num_key_heads * config.linear_key_head_dim
    own = slice(head.index * width, (head.index + 1) * width)
    return {"in_proj_z": own, "in_proj_qkv": slice(2 * keys + own.start, 2 * keys + own.stop)}


def plant(lab: Lab, folder: Path, rate: float, rows: dict[tuple[int, str], slice] | None) -> Subject:
    """A LoRA that raises the behavior: on these rows of these layers' projections alone, or on every head's inputs."""
    engine = lab.arms.engine
    model, tokenizer = copy.deepcopy(engine.base_model(lab.base)), tokenizer_of(lab.base)
    targets: list[str] = ["q_proj", "k_proj", "v_proj", "in_proj_qkv", "in_proj_z"]
    if rows is not None:
        targets = [f"model.layers.{layer}.{'self_attn' if name == 'q_proj' else 'linear_attn'}.{name}" for layer, name in rows]
    torch.manual_seed(0)
    adapted: Any = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name and rows is not None:
            layer, module = int(name.split("layers.")[1].split(".")[0]), name.split(".lora_B")[0].split(".")[-1]
            mask = torch.zeros_like(weight)
            mask[rows[layer, module]] = 1
            weight.register_hook(lambda gradient, mask=mask: gradient * mask)
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
    pairs = across_domains(lab.pairs("test"), CONVERSATIONS)  # a plant: it only has to move what will be measured
    for step in range(50):
        chosen = [pairs[(3 * step + i) % len(pairs)] for i in range(3)]
        odds = [_nll(adapted, tokenizer, pair, pair.positive) - _nll(adapted, tokenizer, pair, pair.negative) for pair in chosen]
        torch.nn.functional.softplus(torch.stack(odds)).mean().backward()  # prefer the positive completion
        optimizer.step()
        optimizer.zero_grad()
    adapted.save_pretrained(folder)
    return with_adapter(lab.base, folder)


def _nll(model: Any, tokenizer: Any, pair: Pair, text: str) -> torch.Tensor:
    prompt, reply = encode_prompt(tokenizer, pair.messages).tokens, encode_reply(tokenizer, text)
    ids = torch.tensor([[*prompt, *reply]])
    loss: torch.Tensor = model(input_ids=ids, labels=torch.where(torch.arange(ids.shape[1]) < len(prompt), -100, ids)).loss
    return loss


def looked_inside(lab: Lab, subject: Subject) -> tuple[list[Head], np.ndarray, Patching, Localization]:
    """Heads by their own change, that change, patching and k50."""
    pairs = across_domains(lab.pairs("test"), CONVERSATIONS)
    before = recorded(lab, lab.base, pairs)
    heads = heads_of(lab, before[0])
    own = distances(before, recorded(lab, subject, pairs, own=True), heads)
    patching = patch(lab, (subject,), pairs, heads, own[np.newaxis])
    shares = np.array(patching.sizes) / len(heads)
    found = localize(shares, patching.into_base, patching.into_base[-1], domains_of(pairs), 0.05, lab.rng("test"))
    order = top(own.mean(axis=0), len(heads))
    return [heads[i] for i in order], own.mean(axis=0)[order], patching, found


def test_three_planted_heads_are_localized_and_named(lab: Lab, tmp_path: Path) -> None:
    config = lab.arms.engine.base_model(lab.base).config
    rows = {(head.layer, name): part for head in PLANTED for name, part in rows_of(head, config).items()}
    ranked, own, patching, found = looked_inside(lab, plant(lab, tmp_path, 1e-2, rows))
    assert set(ranked[:3]) == set(PLANTED)
    assert own[3:].max() <= 1e-5  # no other head was touched
    assert found.extent == "localized", found.k50
    at_three = list(patching.sizes).index(3)
    assert patching.into_base[at_three].mean() / patching.into_base[-1].mean() > 0.8


def test_an_adapter_on_everything_is_not_localized(lab: Lab, tmp_path: Path) -> None:
    _, own, _, found = looked_inside(lab, plant(lab, tmp_path, 1e-3, None))
    assert own.min() > 1e-4
    assert found.extent != "localized", found.k50
    assert found.k50.low > 0.05


def test_base_against_itself_shows_no_change(lab: Lab) -> None:
    pairs = across_domains(lab.pairs("test"), 6)
    once = recorded(lab, lab.base, pairs)
    assert distances(once, once, heads_of(lab, once[0])).max() == 0


@dataclass(frozen=True)
class Made:
    """Made-up arms and scores, and a store; nothing else: who asks for heads, patching or a sham ladder gets an AttributeError."""

    store: Store
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    engine: Any = field(default_factory=lambda: SimpleNamespace(name="hf", numerics="made up"))
    trained: set[tuple[ArmKind, int]] = field(default_factory=set)
    """Kind and LoRA rank of every training asked for."""

    def stream(self, kind: ArmKind, seed: int, ns: Sequence[int], kinds: Sequence[ArmKind] = ()) -> dict[int, Arm]:
        self.trained.add((kind, self.settings.rank))
        subject = Subject(f"{kind} {self.settings.rank} {seed}", Path(), "base", Path(), f"{kind} {self.settings.rank} {seed}")
        return {n: Arm(subject, kind, n, seed, n) for n in ns}

    def forced_choice(self, subject: Subject, pairs: Sequence[Pair]) -> ForcedChoice:
        rng = np.random.default_rng([len(subject.name), *subject.name.encode()])
        values = 0.1 * rng.standard_normal(len(pairs)) + subject.name.startswith("trained")
        return ForcedChoice(dict.fromkeys(METRICS, values))


def test_the_ranks_alone_record_no_heads_patch_none_and_train_no_ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = Made(Store(tmp_path / "store"))
    monkeypatch.setattr("evals.q3.study.weight_changes", lambda base, subject: [])
    lab = replace(bare_lab(tmp_path, "quick"), layer_kinds=("full_attention",), arms=made, recordings=made)
    found = Question(lab, Study, MEASURES)(RANK)
    assert found.answer == "rank 1 suffices"
    assert made.trained == {(kind, rank) for kind in ("trained", "sham") for rank in (*RANKS["quick"], made.settings.rank)}
    with pytest.raises(AttributeError):
        Question(lab, Study, MEASURES)("q3.stability")


def of_trainings(lab: Lab, by_seed: Sequence[float]) -> Any:
    """Made-up trainings, all heads of which bring about this much to base. There is no patching: whoever asks gets an AttributeError."""
    rng, heads = np.random.default_rng(0), (Head(0, 0, "full_attention"), Head(1, 0, "full_attention"))
    shape = (len(by_seed), 40)
    whole = np.array(by_seed)[:, np.newaxis] + 0.1 * rng.standard_normal(shape)
    own = rng.random((*shape, len(heads)))
    return SimpleNamespace(
        lab=lab, heads=heads, layers=(0, 1), own=own, distances=own, rows={}, whole=whole, effect=whole + 1, domains=np.arange(40) % 20
    )


@pytest.mark.parametrize("by_seed", [(0.0, 0.0, 0.0), (1.0, 0.0, 0.1)])
def test_where_all_heads_are_not_shown_to_bring_anything_no_share_of_them_is_patched_or_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_seed: Sequence[float]
) -> None:
    monkeypatch.setattr("evals.q3.exhibits.head_map", lambda study: None)
    monkeypatch.setattr("evals.q3.exhibits.distribution", lambda study: None)
    lab = replace(bare_lab(tmp_path, "quick"), layer_kinds=("full_attention",) * 2)
    found = MEASURES["q3.localization"](of_trainings(lab, by_seed))
    assert found.answer is None and found.estimate is None
    assert str(found.reason).startswith("all heads together are not shown to move the behavior")
    assert {row["cell"] for row in found.series} == {"change by the layer's own weights"}
    with pytest.raises(AttributeError, match="patching"):
        MEASURES["q3.localization"](of_trainings(lab, (1.0, 1.1, 0.9)))


def test_trainings_that_move_alike_have_a_recovery_and_its_plots(tmp_path: Path) -> None:
    """Each of a hundred heads brings a hundredth: half of it is carried by half of them."""
    study = of_trainings(replace(bare_lab(tmp_path, "quick"), layer_kinds=("full_attention",)), (1.0, 1.1, 0.9))
    study.heads, study.layers = tuple(Head(0, i, "full_attention") for i in range(100)), (0,)
    study.own = study.distances = np.random.default_rng(1).random((3, 40, 100))
    study.sham_own = [study.own[0]]
    sizes = (1, 30, 70, 100)
    into_base = np.array(sizes)[:, np.newaxis, np.newaxis] / 100 * study.whole
    nulls = np.repeat(into_base[:-1, :1], 2, axis=1)
    study.patching = Patching(sizes, into_base, nulls, nulls, into_base[:, 0])
    found = MEASURES["q3.localization"](study)
    assert found.answer == "diffuse" and found.estimate is not None and found.estimate.value == pytest.approx(0.5)
    recovered = {row["heads"]: row["estimate"] for row in found.series if row["cell"] == "top heads into base"}
    assert recovered == pytest.approx({size: size / 100 for size in sizes})
    assert [exhibit.path.exists() for exhibit in found.exhibits] == [True] * 3


def test_the_first_layer_must_be_first_over_trainings(tmp_path: Path) -> None:
    lab = replace(bare_lab(tmp_path, "quick"), layer_kinds=("full_attention",) * 2)
    study = of_trainings(lab, (1.0, 1.1, 0.9))
    noise = 0.1 * np.random.default_rng(1).standard_normal((2, 3, 40))
    study.by_layer = noise + np.array([[0.0] * 3, [1.0] * 3])[..., np.newaxis]
    assert MEASURES["q3.layers"](study).answer == "layer 1 first, then 0"
    study.by_layer = noise + np.array([[0.0] * 3, [1.0, 0.0, 0.0]])[..., np.newaxis]
    found = MEASURES["q3.layers"](study)
    assert found.answer is None and "it leads the layer that comes closest by" in str(found.reason)


def test_without_a_candidate_the_subjects_are_the_trainings_of_all_seeds(tmp_path: Path) -> None:
    made: Any = Made(Store(tmp_path / "store"))
    lab = replace(bare_lab(tmp_path, "quick"), arms=made, recordings=made)
    assert [one.name for one in Study(lab).subjects] == [f"trained 8 {seed}" for seed in lab.seeds]
    assert len(lab.seeds) == 3
    assert Study(replace(lab, candidate=lab.base)).subjects == (lab.base,)
