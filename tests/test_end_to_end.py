"""The whole suite as a user runs it, on the shipped model: one cold run that everything else here is held against."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from fixtures import corpora
from fixtures.laboratory import make_lab
from fixtures.models.figures import TINY_HYBRID
from harness.arms.cycles import cycles
from harness.arms.training import Training, TrainingSettings, train_adapters
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Message
from harness.data.settings import PROJECT, Settings
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion
from harness.gate.history.records import accept
from harness.gate.verdict.thresholds import load_thresholds
from harness.store import Store
from harness.subjects.files import base_subject
from harness.subjects.named import model_layer_kinds

EVERYTHING = ("evals",)
TWO_WORKERS = ("-n", "2", "--dist", "load", "--maxschedchunk", "1")


@dataclass(frozen=True)
class Finished:
    """What a run of the suite left."""

    code: int
    output: str
    gate: dict[str, Any]

    def check(self, id: str, behavior: str = "listening") -> dict[str, Any]:
        (found,) = [check for check in self.gate["checks"] if check["key"] == f"{id}[{behavior}]"]
        return dict(found)


def run_suite(folder: Path, store: Path, *arguments: str) -> Finished:
    """pytest in a process of its own, one thread."""
    reports = folder / "reports"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-report", "--store", str(store), "--reports", str(reports)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run([*command, *arguments], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    gate = reports / "gate.json"
    return Finished(done.returncode, done.stdout + done.stderr, json.loads(gate.read_text()) if gate.is_file() else {})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "store"


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Finished:
    """The default run with an empty store, two workers."""
    return run_suite(tmp_path_factory.mktemp("cold"), store, *EVERYTHING, *TWO_WORKERS, "--inconclusive", "allow")


@pytest.fixture(scope="module")
def plain_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter as somebody else would make it: plain peft, other targets and rank than ours, weights that are not zero."""
    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(TINY_HYBRID, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.02)
    model.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_every_check_is_reported(cold: Finished) -> None:
    assert cold.gate["complete"], cold.output
    questions = {check["question"] for check in cold.gate["checks"]}
    assert questions == {"preflight", "q1", "q2", "q3", "q4", "q5", "q6", "q7"}
    assert not [check for check in cold.gate["checks"] if check["verdict"] == "error"], cold.output


@pytest.mark.slow
def test_preflight_is_green(cold: Finished) -> None:
    verdicts = {check["id"]: check["verdict"] for check in cold.gate["checks"] if check["question"] == "preflight"}
    assert {id for id, verdict in verdicts.items() if verdict not in ("pass", "not_applicable")} == set()


@pytest.mark.slow
def test_trained_sham_and_opposite_are_told_apart_in_every_seed(cold: Finished) -> None:
    series = cold.check("q1.effect_at_max")["series"]
    null = cold.check("q1.effect_at_max")["null"]
    seeds = {
        row["cell"]: np.array(row["seeds"])
        for row in series
        if row.get("metric") == null["metric"] and row.get("n") == 50 and row["cell"].startswith(null["regime"])
    }
    trained, sham, opposite = (seeds[f"{null['regime']} {kind}"] for kind in ("trained", "sham", "opposite"))
    assert (trained > sham).all() and (sham > opposite).all()


@pytest.mark.slow
def test_the_true_vector_ranks_among_the_first_of_its_null(cold: Finished) -> None:
    found = cold.check("q5.effect")
    assert found["null"]["size"] == 127
    assert found["null"]["p"] <= 0.05
    assert found["verdict"] == "pass"


@pytest.mark.slow
def test_a_second_run_trains_nothing_and_says_the_same(cold: Finished, store: Path, tmp_path: Path) -> None:
    before = {entry.name: entry.stat().st_mtime_ns for entry in (store / "arms").iterdir() if entry.is_dir()}
    warm = run_suite(tmp_path, store, *EVERYTHING, "--inconclusive", "allow")
    after = {entry.name: entry.stat().st_mtime_ns for entry in (store / "arms").iterdir() if entry.is_dir()}
    assert after == before
    for check in cold.gate["checks"]:
        again = warm.check(check["id"])
        assert again["verdict"] == check["verdict"]
        assert again["estimate"] == pytest.approx(check["estimate"], abs=1e-4, nan_ok=True) if check["estimate"] is not None else True


def test_base_as_its_own_candidate_is_a_proven_no_change(store: Path, tmp_path: Path) -> None:
    same = run_suite(tmp_path, store, "evals/preflight", "--candidate", str(TINY_HYBRID))
    assert same.code == 0, same.output
    assert same.check("preflight.adapter_is_live")["verdict"] == "not_applicable"


@pytest.mark.slow
def test_an_adapter_trained_by_somebody_else_is_judged(cold: Finished, store: Path, tmp_path: Path, plain_adapter: Path) -> None:
    judged = run_suite(tmp_path, store, *EVERYTHING, "--candidate", str(plain_adapter), "--inconclusive", "allow")
    assert judged.gate["complete"], judged.output
    assert judged.check("preflight.adapter_is_live")["verdict"] == "pass"
    assert any(row["cell"] == "candidate against base" for row in judged.check("q1.effect_at_max")["series"])


@pytest.mark.slow
def test_with_shuffled_labels_neither_check_passes(tmp_path: Path, store: Path) -> None:
    """Half of all pairs have their completions exchanged, so there is nothing to learn and no direction to find."""
    folder = tmp_path / "shuffled"
    shutil.copytree(PROJECT / "fixtures" / "behaviors" / "listening", folder)
    rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    flips = np.random.default_rng(0).permutation(len(rows)) % 2 == 0
    for row, flip in zip(rows, flips, strict=True):
        if flip:
            row["positive"], row["negative"] = row["negative"], row["positive"]
            row["decision"] = {"positive": row["decision"]["negative"], "negative": row["decision"]["positive"]}
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    text = (folder / "behavior.toml").read_text(encoding="utf-8")
    (folder / "behavior.toml").write_text(text.replace('name = "listening"', 'name = "shuffled"'), encoding="utf-8")
    effects = "test_true_vector_stands_above_its_null or test_fifty_examples_change_the_behavior"
    shuffled = run_suite(tmp_path, store, "evals/q5", "evals/q1", "-k", effects, *TWO_WORKERS, "--behavior", str(folder))
    for id in ("q5.effect", "q1.effect_at_max"):
        assert shuffled.check(id, "shuffled")["verdict"] != "pass"


@pytest.mark.slow
def test_an_adapter_trained_on_gibberish_fails_the_gates_on_ability(store: Path, tmp_path: Path) -> None:
    engine, base, rng = HFEngine(), base_subject("tiny-hybrid", TINY_HYBRID), np.random.default_rng(0)
    words = sorted({word for document in corpora.prose() for word in document.text.split()})
    examples = [Completion((Message("user", " ".join(rng.choice(words, 8))),), " ".join(rng.choice(words, 12))) for _ in range(60)]
    train_adapters(engine, base, [Training(examples, [(i,) for i in range(60)], 0, {60: tmp_path / "gibberish"})], TrainingSettings())
    judged = run_suite(tmp_path, store, "evals/q6", "-m", "gate", "--candidate", str(tmp_path / "gibberish"))
    assert judged.code == 1, judged.output
    assert "fail" in {judged.check(id)["verdict"] for id in ("q6.perplexity", "q6.code", "q6.reasoning")}


@pytest.mark.slow
def test_base_as_its_own_candidate_changes_no_ability_no_head_and_no_state(store: Path, tmp_path: Path) -> None:
    same = run_suite(tmp_path, store, "evals/q3", "evals/q6", "evals/q7", "--candidate", str(TINY_HYBRID), "--inconclusive", "allow")
    assert same.code == 0, same.output
    assert {same.check(id)["verdict"] for id in ("q6.perplexity", "q6.code", "q6.reasoning")} == {"pass"}
    assert {same.check(id)["answer"] for id in ("q3.localization", "q3.layers", "q7.separation", "q7.state_swap")} == {"no change"}


@pytest.mark.slow
def test_the_regression_gate_tells_further_sham_and_degraded_cycles_apart(store: Path, tmp_path: Path) -> None:
    """One accepted cycle, then candidates that go on from it: more of the same, neutral talk, and the two highest degradations.

    Much neutral talk wears the behavior off (a fifth of it after 96 conversations): no more than two seeds differ by on these
    weights, so the gate lets it pass; it is q4.drift's to notice where it goes on.
    """
    lab = make_lab(
        Settings(store=store),
        load_behavior(resolve_behavior("listening")),
        base_subject("tiny-hybrid", TINY_HYBRID),
        None,
        model_layer_kinds(TINY_HYBRID),
        HFEngine(),
        Store(store),
        load_thresholds(PROJECT / "thresholds.toml"),
        lambda line: None,
    )
    made, history = cycles(lab.arms, 0), tmp_path / "history.sqlite"
    *_, third, most = sorted(made.degraded)

    def judged(name: str, subject: Subject) -> dict[str, Any]:
        gate = ("evals/q4", "-m", "gate", "--candidate", str(subject.adapter), "--cycle", name, "--history", str(history))
        return run_suite(tmp_path / name, store, *gate).check("q4.regression")

    assert judged("monday", made.healthy)["verdict"] == "pass"
    accept(history, "monday")
    verdicts = {
        "further": judged("further", made.further[most]),
        "sham": judged("sham", made.sham[min(made.sham)]),
        "much sham": judged("much-sham", made.sham[most]),
        "third": judged("third", made.degraded[third]),
        "most": judged("most", made.degraded[most]),
    }
    assert {name: check["verdict"] for name, check in verdicts.items()} == {
        "further": "pass",
        "sham": "pass",
        "much sham": "pass",
        "third": "fail",
        "most": "fail",
    }
    assert all(any(row["cell"] == "cycle monday" for row in check["series"]) for check in verdicts.values())


def broken_adapter(source: Path, target: Path, change: str) -> Path:
    shutil.copytree(source, target)
    weights = target / "adapter_model.safetensors"
    tensors = load_file(weights)
    name = next(iter(sorted(tensors)))
    if change == "missing":
        weights.unlink()
    elif change == "nan":
        tensors[name] = np.full_like(tensors[name], np.nan)
        save_file(tensors, weights)
    else:
        tensors[name] = np.zeros((tensors[name].shape[0], 7), dtype=tensors[name].dtype)
        save_file(tensors, weights)
    return target


@pytest.mark.parametrize(("change", "says"), [("missing", "no such file"), ("nan", "NaN"), ("shape", "has input width 7")])
def test_a_broken_adapter_ends_with_one_clear_line(plain_adapter: Path, tmp_path: Path, change: str, says: str) -> None:
    broken = broken_adapter(plain_adapter, tmp_path / "broken", change)
    refused = run_suite(tmp_path, tmp_path / "store", "evals/q5", "--candidate", str(broken))
    assert refused.code == 4
    assert says in next(line for line in refused.output.splitlines() if line.startswith("ERROR"))
