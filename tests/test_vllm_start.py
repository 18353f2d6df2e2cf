"""harness/engines/vllm/start.py, settings.py: from the command line to a vLLM, and preflight on what it makes of a candidate."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evals.preflight.checks import measure
from fixtures.laboratory import make_lab
from fixtures.models.figures import TINY_HYBRID
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.errors import EngineDied
from harness.data.settings import PROJECT, Settings
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import score
from harness.engines.vllm.engine import VLLMEngine
from harness.engines.vllm.settings import FIXED, LocalSettings, environment
from harness.engines.vllm.start import dtype_of, local_settings, vllm_engine
from harness.experiment.lab import Lab
from harness.gate.verdict.judged import judged
from harness.gate.verdict.thresholds import load_thresholds
from harness.readouts.parity import largest_gap
from harness.store import Store
from harness.subjects.named import model_layer_kinds
from tests.test_vllm_parity import COMPLETIONS, of_a_wrapper

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter, StartVLLM

VLLM = Settings(engine="vllm")


def test_number_types_follow_from_the_model_and_the_device(tiny_llama: Subject, tiny_hybrid: Subject) -> None:
    assert dtype_of(TINY_HYBRID, "cpu") == dtype_of(tiny_hybrid.base, "cpu") == "bfloat16"
    assert dtype_of(tiny_llama.base, "cpu") == "float32"
    assert dtype_of(TINY_HYBRID, "cuda") == "bfloat16" and dtype_of(tiny_llama.base, "cuda") == "float32"


def test_options_reach_vllm_under_its_own_names(tiny_llama: Subject) -> None:
    more = (("distributed_executor_backend", "ray"), ("gpu_memory_utilization", 0.6), ("max_num_seqs", 7), ("dtype", "float16"))
    settings = replace(VLLM, tensor_parallel=4, pipeline_parallel=2, vllm=more)
    arguments = local_settings(settings, tiny_llama.base, "cuda").arguments(tiny_llama.base)
    wanted = {"tensor_parallel_size": 4, "pipeline_parallel_size": 2, "max_num_seqs": 7, "dtype": "float16", **dict(more)}
    assert wanted.items() <= arguments.items() and FIXED.items() <= arguments.items()
    assert arguments["max_loras"] == LocalSettings.adapters + 1
    assert arguments["max_model_len"] == LocalSettings.length  # the model would take as much


def test_adapters_of_the_candidates_rank_fit(tiny_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    candidate = make_adapter(tiny_llama, tmp_path / "a").adapter
    assert candidate is not None
    assert local_settings(replace(VLLM, candidates=(candidate,)), tiny_llama.base, "cpu").adapter_rank == 8
    config = candidate / "adapter_config.json"
    config.write_text(config.read_text().replace('"r": 2', '"r": 24'))
    assert local_settings(replace(VLLM, candidates=(candidate,)), tiny_llama.base, "cpu").adapter_rank == 32


def test_what_the_user_set_in_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    assert environment(LocalSettings())["VLLM_CPU_KVCACHE_SPACE"] == "7"
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "9")
    assert environment(LocalSettings())["MALLOC_TRIM_THRESHOLD_"] == "9"
    found = environment(LocalSettings(tensor_parallel=2))
    assert len(found["VLLM_CPU_OMP_THREADS_BIND"].split("|")) == 2
    assert not {"VLLM_CPU_OMP_THREADS_BIND", "MALLOC_MMAP_THRESHOLD_"} & (set(environment(LocalSettings(device="cuda"))) - set(os.environ))


def test_no_model_is_loaded_before_one_is_needed(tiny_llama: Subject, hf: HFEngine) -> None:
    """A run whose numbers are all in the store starts no vLLM; the key under which they are kept is known without."""
    engine = vllm_engine(VLLM, tiny_llama, hf, hf.device)
    assert engine.numerics.endswith(", cpu, float32, tensor parallel 1, pipeline parallel 1")
    assert not engine._backends


def test_nothing_heavy_is_imported_to_check_options() -> None:
    code = (
        "import sys; import harness.engines.vllm.start; print([m for m in ('torch', 'vllm', 'transformers', 'peft') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# -- preflight -----------------------------------------------------------------------------------------------------


class MakeLab:
    def __init__(self, base: Subject, folder: Path, engine: VLLMEngine, hf: HFEngine) -> None:
        self.base, self.folder, self.engine, self.hf = base, folder, engine, hf

    def __call__(self, candidate: Subject) -> Lab:
        settings, kinds = replace(VLLM, reports=self.folder), model_layer_kinds(self.base.base)
        behavior, thresholds = load_behavior(resolve_behavior("listening")), load_thresholds(VLLM.thresholds)
        store = Store(self.folder / "store")
        return make_lab(settings, behavior, self.base, candidate, kinds, self.engine, store, thresholds, lambda _: None, self.hf)


@pytest.fixture
def lab_of(start_vllm: StartVLLM, served_llama: Subject, hf: HFEngine, tmp_path: Path) -> MakeLab:
    local = start_vllm(served_llama)
    return MakeLab(served_llama, tmp_path / "lab", VLLMEngine(lambda _: local, hf, local.served.numerics), hf)


def verdicts(lab: Lab) -> dict[str, Any]:
    thresholds = load_thresholds(VLLM.thresholds)
    return {one.id: judged(one, None, "llama", thresholds).verdict for one in measure(lab)}


def test_preflight_compares_the_engines(lab_of: MakeLab, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    lab = lab_of(make_adapter(lab_of.base, tmp_path / "a", seed=50))
    found = verdicts(lab)
    assert found["preflight.engines_agree"].outcome == found["preflight.adapter_is_live"].outcome == "pass"
    assert {one.id: one for one in measure(lab)}["preflight.engines_agree"].estimate is not None


def test_preflight_sees_an_engine_that_serves_something_else(
    lab_of: MakeLab, make_adapter: MakeAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale adapter: another one answers for the candidate."""
    candidate, stale = (make_adapter(lab_of.base, tmp_path / str(seed), seed=seed) for seed in (51, 52))
    assert largest_gap(score(lab_of.engine, stale, COMPLETIONS), score(lab_of.engine, candidate, COMPLETIONS)) > 0.1
    honest = lab_of.engine.score_each

    def wrong(subject: Subject, *rest: Any) -> Any:
        return honest(stale if subject.digest == candidate.digest else subject, *rest)

    monkeypatch.setattr(lab_of.engine, "score_each", wrong)
    assert verdicts(lab_of(candidate))["preflight.engines_agree"].outcome == "fail"


def test_preflight_catches_an_adapter_that_the_engine_ignores(lab_of: MakeLab, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    """Trained on the text model, served by a wrapper or the other way round: the names fit nothing, and nothing is applied."""
    ignored = of_a_wrapper(make_adapter(lab_of.base, tmp_path / "a", seed=53), lab_of.base, tmp_path / "b")
    found = verdicts(lab_of(ignored))
    assert found["preflight.adapter_is_live"].outcome == "fail"
    assert found["preflight.adapter_is_live"].answer.startswith("vllm ignores all of the modules that trained on the wrapper adapts")
    assert found["preflight.engines_agree"].outcome == "inconclusive"


def test_an_engine_that_drops_the_adapter_without_a_word_is_caught_too(
    lab_of: MakeLab, make_adapter: MakeAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the check of module names ever miss it: the numbers of the candidate are the base's."""
    honest = lab_of.engine.score_each
    monkeypatch.setattr(lab_of.engine, "score_each", lambda subject, *rest: honest(lab_of.base, *rest))
    found = verdicts(lab_of(make_adapter(lab_of.base, tmp_path / "a", seed=54)))
    assert found["preflight.adapter_is_live"].outcome == found["preflight.engines_agree"].outcome == "fail"


def test_where_hf_has_no_room_the_engines_are_not_compared_and_that_is_said(
    lab_of: MakeLab, make_adapter: MakeAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_of(make_adapter(lab_of.base, tmp_path / "a", seed=57))
    fresh = HFEngine()
    assert fresh.lacks_room(lab_of.base) is None
    with monkeypatch.context() as little:
        little.setattr(os, "sysconf", lambda _: 64)
        reason = fresh.lacks_room(lab_of.base)
    assert reason is not None and reason.endswith("GiB for served-llama and cpu has 0.0 free")
    monkeypatch.setattr(lab_of.hf, "lacks_room", lambda _: reason)
    verdict = verdicts(lab)["preflight.engines_agree"]
    assert verdict.outcome == "not_applicable" and reason in verdict.message


def test_an_engine_that_died_takes_only_those_along_that_need_it(
    lab_of: MakeLab, make_adapter: MakeAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(*_: Any) -> Any:
        raise EngineDied("vllm's worker died in mid-run while it served base")

    monkeypatch.setattr(lab_of.engine, "score_each", dead)
    found = verdicts(lab_of(make_adapter(lab_of.base, tmp_path / "a", seed=56)))
    for id in ("adapter_is_live", "engines_agree", "finite"):
        verdict = found[f"preflight.{id}"]
        assert verdict.outcome == "inconclusive" and "died in mid-run" in verdict.message
    assert found["preflight.data"].outcome == found["preflight.judge"].outcome == "pass"


def test_what_only_hf_shows_is_measured_with_hf_and_says_so(lab_of: MakeLab, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    lab = lab_of(make_adapter(lab_of.base, tmp_path / "a", seed=55))
    assert lab.measurement("q5.effect", "nats").provenance["engine"] == "vllm"
    inside = lab.on_hf()
    assert inside.recordings.engine is lab_of.hf
    assert inside.measurement("q3.layers", "").provenance["engine"] == "hf, for what vllm cannot show"
    assert np.isfinite([one.per_token for one in score(inside.recordings.engine, lab.base, COMPLETIONS)]).all()
