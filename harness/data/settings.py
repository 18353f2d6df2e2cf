"""Every setting of a run, once. The pytest plugin and `python -m harness` fill it; nothing else holds a default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PROJECT = Path(__file__).resolve().parents[2]
"""The root of the repository."""
EngineName = Literal["hf", "vllm"]
"""hf is transformers in this process, vllm a vLLM server or workers."""


@dataclass(frozen=True)
class Settings:
    """One run's settings, each named after its option: `--tensor-parallel` is `tensor_parallel`."""

    model: str = "tiny-hybrid"
    """Base model: a shipped name, a folder, or a hub id OWNER/NAME."""
    candidates: tuple[Path, ...] = ()
    """Folders of what this cycle trained, each an adapter or a checkpoint; empty: the suite trains its own arms."""
    behaviors: tuple[str, ...] = ("listening",)
    """Names of shipped behaviors, folders of others, or "all"."""
    engine: EngineName = "hf"
    """What scores, generates and steers. What vLLM cannot record is recorded by hf either way."""
    server: str | None = None
    """Address of a running vLLM server; None: a vLLM started by the run."""
    tensor_parallel: int = 1
    """Devices that share each layer, under vLLM."""
    pipeline_parallel: int = 1
    """Groups of devices that share the layers among them, under vLLM."""
    vllm: tuple[tuple[str, Any], ...] = ()
    """Further arguments of vLLM, by name."""
    lm_eval: tuple[Path, Path] | None = None
    """Results folders of lm-evaluation-harness, before and after the training."""
    memory: Path | None = None
    """The memory graph: a folder of JSON lines or an SQLite file; None: the shipped graph."""
    surface_observe: str | None = None
    """Command line of the surface-observe agent; None: the embedded agent."""
    training_signal: str | None = None
    """Command line of the training-signal agent; None: the embedded agent."""
    judge: str | None = None
    """OpenAI-compatible endpoint whose model labels replies; None: the embedded judge."""
    dreams: Path | None = None
    """JSON-lines file of scenarios for q2; None: a dream loop writes them."""
    dream_loop: str | None = None
    """Command line of a dream loop; None: the base model writes the scenarios itself."""
    cycle: str | None = None
    """Name of the training cycle that this run is about; None: the time of the run."""
    baseline: str | None = None
    """Name of the recorded cycle to compare with; None: the last accepted one."""
    profile: Literal["quick", "full"] = "quick"
    """How much data a run uses: the sizes in harness/experiment/profile.py."""
    seed: int = 0
    """Seed of everything random in the run."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; "auto": a GPU where there is one."""
    store: Path = PROJECT / ".store"
    """Folder of everything expensive, kept between runs."""
    verify: bool = False
    """Whether every weight is hashed anew, where size and times of an unchanged file are enough otherwise."""
    history: Path | None = None
    """The database of recorded cycles; None: `history.sqlite` beside the store's folder."""
    inconclusive: Literal["fail", "allow"] = "fail"
    """Whether an inconclusive check or finding makes the exit code red, as a failure does; an inconclusive gate always does."""
    trust_remote_code: tuple[str, ...] = ()
    """Models whose own Python code may be run while they are loaded."""
    report: bool = True
    """Whether the Allure HTML report is written; gate.json and the summary always are."""
    fast: bool = True
    """Whether engines may take the suite's own shortcuts; without them they compute as the libraries do by default."""
    thresholds: Path = PROJECT / "thresholds.toml"
    """What is expected of every check."""
    waivers: Path = PROJECT / "waivers.toml"
    """Gates that a person has excused for a cycle; the file need not exist."""
    calibration: Path = PROJECT / "calibration.json"
    """What calibration measured of each subject and behavior."""
    reports: Path = PROJECT / "reports"
    """Folder that gate.json, the exhibits and the report are written to."""

    @property
    def history_path(self) -> Path:
        """The database of recorded cycles, whether or not it exists yet."""
        return self.history or self.store.parent / "history.sqlite"
