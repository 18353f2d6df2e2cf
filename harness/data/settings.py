"""Every setting of a run, once. The pytest plugin and `python -m harness` fill it; nothing else holds a default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PROJECT = Path(__file__).resolve().parents[2]

EngineName = Literal["hf", "vllm"]


@dataclass(frozen=True)
class Settings:
    model: str = "tiny-hybrid"
    candidates: tuple[Path, ...] = ()
    behaviors: tuple[str, ...] = ("listening",)
    engine: EngineName = "hf"
    server: str | None = None
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    vllm: tuple[tuple[str, Any], ...] = ()
    """Further arguments of vLLM, by name."""
    lm_eval: tuple[Path, Path] | None = None
    """Results folders of lm-evaluation-harness, before and after."""
    memory: Path | None = None
    """Folder of JSON lines or SQLite store of the memory graph; None: the shipped one."""
    surface_observe: str | None = None
    """Command line of the agent; None: the embedded one."""
    training_signal: str | None = None
    judge: str | None = None
    """OpenAI-compatible endpoint whose model labels replies; None: the embedded judge."""
    dreams: Path | None = None
    """JSON lines of scenarios for q2."""
    dream_loop: str | None = None
    """Command line of a dream loop; with neither, the base model's own scenario mode."""
    cycle: str | None = None
    baseline: str | None = None
    profile: Literal["quick", "full"] = "quick"
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    store: Path = PROJECT / ".store"
    history: Path | None = None
    """None: `history.sqlite` beside the store's folder."""
    inconclusive: Literal["fail", "allow"] = "fail"
    trust_remote_code: tuple[str, ...] = ()
    report: bool = True
    fast: bool = True
    thresholds: Path = PROJECT / "thresholds.toml"
    waivers: Path = PROJECT / "waivers.toml"
    calibration: Path = PROJECT / "calibration.json"
    reports: Path = PROJECT / "reports"

    @property
    def history_path(self) -> Path:
        return self.history or self.store.parent / "history.sqlite"
