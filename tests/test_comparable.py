"""A baseline is compared only where everything but the subject is the same; what differs is refused by its name, and alone.

The table has a row for everything that determines a gate: how it is changed in the world, and what the refusal says.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evals.baseline import NotComparable, earlier
from evals.q4 import judged_rate
from evals.q4.design import ID as JUDGED_RATE
from evals.q4.design import REGRESSION
from evals.q6 import cells
from evals.q6.design import IDS
from fixtures import corpora, tasks
from fixtures.models.figures import TINY_HYBRID
from harness.data.measurement import Estimate
from harness.data.subject import Subject
from harness.data.verdict import Verdict
from harness.engines.precision import precision_of
from harness.experiment.lab import Lab
from harness.gate.history import records as history
from harness.gate.history.comparable import differences
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run
from harness.judges.anchors import DIGEST, LABELS, NAME
from harness.subjects.files import base_subject
from harness.subjects.own_files import NONE, own_files
from tests.bench import bare_lab


@dataclass(frozen=True)
class World:
    """What determines the measurements of a cycle."""

    lab: Lab
    judge: str = "listener"
    anchors: str = "pn-" * 40

    def rests_on(self, id: str) -> dict[str, str]:
        if id == JUDGED_RATE:
            who = {NAME: self.judge, DIGEST: f"digest of {self.judge}", LABELS: self.anchors}
            return {**who, "sampling": judged_rate.SAMPLING}
        part = next((part for part, known in IDS.items() if known == id), None)
        return {} if part is None else dict(cells.rests_on(self.lab, part))


@pytest.fixture
def world(tmp_path: Path) -> World:
    folder = tmp_path / "candidate"
    folder.mkdir()
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(TINY_HYBRID / name, folder / name)
    lab = bare_lab(tmp_path / "lab", profile="quick")
    settings = replace(lab.settings, store=tmp_path / "store", history=tmp_path / "history.sqlite", cycle="now")
    return World(replace(lab, settings=settings, candidate=Subject("candidate", folder, "first")))


def recorded(world: World, id: str) -> None:
    """The accepted cycle "monday", with check `id` as this world measures it."""
    lab, pairs = world.lab, world.lab.behavior.split("test")[:4]
    estimate = Estimate(0.0, -0.1, 0.1, -0.1, 0.1, 0.001, 4, 4)
    measured = lab.measurement(id, "", estimate, pairs=pairs, values=np.arange(4.0), rests_on=world.rests_on(id))
    entry = Entry(id, lab.behavior.name, "gate", Verdict("pass", "0", "fine"), measured)
    history.append_to(lab.settings.history_path, Run(lab.settings, "monday", "2026-01-01T00:00:00+00:00", (entry,), (), complete=True))


def read(world: World, id: str) -> list[float]:
    ids = [pair.id for pair in world.lab.behavior.split("test")[:4]]
    return earlier(world.lab, "monday", id, ids, world.rests_on(id)).of(ids).tolist()


def settings(**fields: Any) -> Callable[[World, pytest.MonkeyPatch], World]:
    return lambda world, _: replace(world, lab=replace(world.lab, settings=replace(world.lab.settings, **fields)))


def engine(**fields: Any) -> Callable[[World, pytest.MonkeyPatch], World]:
    def changed(world: World, _: pytest.MonkeyPatch) -> World:
        made: Any = SimpleNamespace(**{**vars(world.lab.recordings.engine), **fields})
        return replace(world, lab=replace(world.lab, recordings=replace(world.lab.recordings, engine=made)))

    return changed


def own_file(name: str, change: Callable[[str], str]) -> Callable[[World, pytest.MonkeyPatch], World]:
    """The candidate is a checkpoint with another file of its own."""

    def changed(world: World, _: pytest.MonkeyPatch) -> World:
        assert world.lab.candidate is not None
        folder = world.lab.candidate.base.with_name("next")
        shutil.copytree(world.lab.candidate.base, folder)
        (folder / name).write_text(change((folder / name).read_text(encoding="utf-8")), encoding="utf-8")
        return replace(world, lab=replace(world.lab, candidate=Subject("next", folder, "next")))

    return changed


def with_entry(**entries: Any) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), **entries})


def other_prose(world: World, patch: pytest.MonkeyPatch) -> World:
    first, *rest = corpora.prose()
    patch.setattr(corpora, "prose", lambda: (replace(first, text=first.text + " More."), *rest))
    return world


def other_code(world: World, patch: pytest.MonkeyPatch) -> World:
    first, *rest = tasks.code()
    patch.setattr(tasks, "code", lambda: (replace(first, tests=first.tests[:-1]), *rest))
    return world


def other_temperature(world: World, patch: pytest.MonkeyPatch) -> World:
    patch.setattr(cells, "TEMPERATURE", 0.7)
    return world


def other_sampling(world: World, patch: pytest.MonkeyPatch) -> World:
    patch.setattr(judged_rate, "SAMPLING", "8 replies")
    return world


def other_base(world: World, _: pytest.MonkeyPatch) -> World:
    return replace(world, lab=replace(world.lab, base=replace(world.lab.base, base_digest="another")))


def other_pairs(world: World, _: pytest.MonkeyPatch) -> World:
    return replace(world, lab=replace(world.lab, behavior=replace(world.lab.behavior, digest="another")))


TABLE: dict[str, tuple[str, Callable[[World, pytest.MonkeyPatch], World], str]] = {
    "base": (REGRESSION, other_base, "another base (base, now another)"),
    "behavior": (REGRESSION, other_pairs, "another behavior ("),
    "profile": (REGRESSION, settings(profile="full"), "another profile (quick, now full)"),
    "seed": (REGRESSION, settings(seed=1), "another seed (0, now 1)"),
    "engine": (REGRESSION, engine(name="vllm"), "another engine (hf, now vllm, for what hf cannot show)"),
    "numerics": (REGRESSION, engine(numerics="cpu, bfloat16"), "another numerics (float32, now bfloat16)"),
    "tokenizer": (REGRESSION, own_file("tokenizer.json", with_entry(added_tokens=[])), "another tokenizer ("),
    "marks": (REGRESSION, own_file("tokenizer_config.json", with_entry(eos_token="<|endoftext|>")), "another tokenizer ("),
    "template": (REGRESSION, own_file("chat_template.jinja", lambda text: "Hello. " + text), "another chat template ("),
    "generation": (REGRESSION, own_file("generation_config.json", with_entry(eos_token_id=[7])), "another generation config ("),
    "judge": (
        JUDGED_RATE,
        lambda world, _: replace(world, judge="gpt"),
        "another judge (it was listener (digest of listener), now gpt (digest of gpt))",
    ),
    "judge behind the same name": (
        JUDGED_RATE,
        lambda world, _: replace(world, anchors="nn-nn-" + "pn-" * 38),
        "another judge (listener has the name it had, and labels 2 of 120 anchors otherwise)",
    ),
    "sampling": (JUDGED_RATE, other_sampling, "another sampling (4 replies, temperature 1, at most 40 tokens, now 8 replies)"),
    "corpora": (IDS["prose"], other_prose, "another corpora ("),
    "tasks": (IDS["code"], other_code, "another tasks ("),
    "sampling of tasks": (IDS["code"], other_temperature, "another sampling (up to 5 samples, temperature 0.5, "),
}


@pytest.mark.parametrize("row", TABLE)
def test_each_thing_that_determines_a_gate_is_refused_by_its_name_and_alone(
    world: World, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, change, says = TABLE[row]
    world = engine(numerics="cpu, float32, fused layers")(world, monkeypatch)
    recorded(world, id)
    assert read(world, id) == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(NotComparable) as caught:
        read(change(world, monkeypatch), id)
    said = str(caught.value)
    assert said.startswith(f"cycle monday was measured with {says}") and said.count(" another ") == 2  # the second: "or name another"
    assert "run it again on that cycle's candidate" in said and "\n" not in said


def test_an_address_that_moved_and_an_anchor_that_wavered_are_the_same_judge() -> None:
    before = {NAME: "gpt at here", DIGEST: "d", LABELS: "ppnn"}
    assert not differences(before, {NAME: "gpt at there", DIGEST: "d", LABELS: "ppn-"})
    assert differences(before, {NAME: "gpt at here", DIGEST: "d", LABELS: "pp--"})
    assert not differences({NAME: "gpt at here", DIGEST: "d"}, {NAME: "gpt at there", DIGEST: "d"})
    assert differences({NAME: "gpt at here"}, {NAME: "gpt at there"})


def test_another_subject_is_what_a_comparison_is_about(world: World) -> None:
    recorded(world, REGRESSION)
    assert world.lab.candidate is not None
    assert read(replace(world, lab=replace(world.lab, candidate=replace(world.lab.candidate, base_digest="second"))), REGRESSION)
    assert not differences({"subject": "a", "sketch": "x", "seed": "0"}, {"subject": "b", "sketch": "y", "seed": "0"})


def test_everything_that_differs_is_named() -> None:
    assert differences({"seed": "0", "judge": "a", "tasks": "t"}, {"seed": "1", "judge": "a", "corpora": "c"}) == (
        "another seed (0, now 1)",
        "another corpora (not recorded, now c)",
        "another tasks (t, now not recorded)",
    )


def test_a_cycle_of_a_version_that_recorded_less_is_measured_again(world: World) -> None:
    recorded(world, REGRESSION)
    now = world.lab.provenance()
    old = {name: value for name, value in now.items() if name in ("base", "subject", "behavior", "engine", "profile")}
    assert "another seed (not recorded, now 0)" in differences(old, now)


# -- what files and numerics are the same ------------------------------------------------------------------------------


def test_files_that_only_another_version_wrote_are_the_same(world: World, tmp_path: Path) -> None:
    assert world.lab.candidate is not None
    first = own_files(world.lab.candidate)
    assert set(first) == {"tokenizer", "chat template", "generation config"} and NONE not in first.values()
    folder = tmp_path / "saved-again"
    shutil.copytree(world.lab.candidate.base, folder)
    for name, more in (
        ("tokenizer.json", {"truncation": {"max_length": 9}}),
        ("generation_config.json", {"transformers_version": "6.0.0"}),
    ):
        (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **more}, indent=3), encoding="utf-8")
    kept = json.loads((folder / "tokenizer_config.json").read_text())
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({**kept, "chat_template": template, "padding_side": "right"}))
    assert own_files(Subject("again", folder, "again")) == first


def test_a_folder_without_them_says_so(tmp_path: Path) -> None:
    assert set(own_files(Subject("bare", tmp_path, "bare")).values()) == {NONE}
    (tmp_path / "vocab.json").write_text("{}")
    assert own_files(Subject("old", tmp_path, "old"))["tokenizer"] != NONE


@pytest.mark.parametrize(
    ("numerics", "precision"),
    [
        ("cpu, float32", "float32"),
        ("cpu, float32, fused layers", "float32"),
        ("cpu, float32, fused layers, bfloat16 products above width 512", "float32"),  # the shipped model is 192 wide
        ("cpu, float32, fused layers, bfloat16 products above width 128", "float32, bfloat16 products"),
        ("cuda, type of the checkpoint", "bfloat16"),
        ("vllm 0.25.0, cpu, bfloat16, tensor parallel 1, pipeline parallel 1", "bfloat16"),
        ("vllm 0.26.0, cpu, bfloat16, tensor parallel 2, pipeline parallel 1", "bfloat16"),
        ("vllm 0.25.0, cuda, bfloat16, tensor parallel 1, pipeline parallel 1, quantization=fp8", "bfloat16, quantization=fp8"),
        ("made up", "made up"),
    ],
)
def test_number_types_are_what_numerics_are_compared_by(numerics: str, precision: str) -> None:
    engine: Any = SimpleNamespace(numerics=numerics)
    assert precision_of(engine, base_subject("tiny-hybrid", TINY_HYBRID)) == precision
