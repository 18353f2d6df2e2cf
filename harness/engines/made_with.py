"""What numbers come from beside the subject and the question: processor, libraries, the suite's own code. Loads no torch."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from harness.store import digest_of, digest_of_file

LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")
"""Environment variables by which instructions of the processor are forbidden."""
LIBRARIES = ("torch", "transformers", "peft", "tokenizers")
"""What runs models in this process."""
HARNESS = Path(__file__).resolve().parents[1]
CODE = ("engines", "recorders")
"""Folders of this package that run models."""


def processor() -> dict[str, str]:
    """The processor as torch sees it: its name and instructions, the version of torch, and what is forbidden."""
    found = {"processor": platform.machine(), "torch": metadata.version("torch")}
    if (file := Path("/proc/cpuinfo")).is_file():
        first = file.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
        found["processor"] = digest_of([line for line in first if line.startswith(("model name", "flags", "Features"))])
    return found | {name: os.environ[name] for name in LIMITS if name in os.environ}


def made_with() -> dict[str, str]:
    """Processor, versions of LIBRARIES, and a digest of the suite's own code that runs models."""
    code = {str(file.relative_to(HARNESS)): digest_of_file(file) for folder in CODE for file in sorted((HARNESS / folder).rglob("*.py"))}
    return processor() | {name: metadata.version(name) for name in LIBRARIES} | {"code": digest_of(code)}


def is_cpu_build() -> bool:
    """Whether the installed torch is a build for CPUs alone."""
    return metadata.version("torch").endswith("+cpu")


def device_of(asked: str) -> str:
    """The device that --device names; for "auto", "cuda" where torch finds a GPU. A build for CPUs is not loaded to be asked."""
    if asked != "auto" or is_cpu_build():
        return "cpu" if asked == "auto" else asked
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
