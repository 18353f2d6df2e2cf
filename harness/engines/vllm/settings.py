"""How a vLLM of the suite's own is started: its arguments and its environment.

Always eager (the suite's hooks need it) and without a prefix cache, which knows adapters by name and steered blocks not at all. On a CPU,
requests without an adapter are computed with the last adapter slot, so one slot more is made than is ever filled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.process import orphans
from harness.process.torchvision_cpu import child_environment
from harness.subjects.files import check_one_reading, read_json

EXTENSION = "harness.engines.vllm.worker.Worker"
"""What vLLM mixes into its worker class; vLLM takes it by name."""
FIXED: Mapping[str, Any] = {"enforce_eager": True, "enable_prefix_caching": False, "worker_extension_cls": EXTENSION}
"""Arguments of vLLM that parity rests on: `--vllm` must not change them."""
ALLOCATION: Mapping[str, str] = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""glibc, on a CPU: activations of up to 32 MiB (its limit) come from memory that the process keeps, up to 1 GiB of it. By default they are
given back after every operation and cleared by the kernel for the next one, which takes a quarter of vLLM's time."""


@dataclass(frozen=True)
class LocalSettings:
    """How a vLLM is started. Names and meanings are vLLM's where they are passed through."""

    device: str = "cpu"
    dtype: str = "auto"
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    in_process: bool = False
    """Without a process of its own: quicker to start, and it takes this process along when it dies."""
    adapters: int = 3
    """Adapters loaded at a time."""
    adapter_rank: int = 64
    """The highest rank an adapter may have."""
    sequences: int = 64
    """Sequences in one batch."""
    length: int = 2048
    """Tokens of the longest sequence; less where the model allows less."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of vLLM, as in its own documentation (--vllm NAME=VALUE)."""

    def arguments(self, base: Path) -> dict[str, Any]:
        """Keyword arguments of vllm.LLM. InputError where it would read other weights of the folder than transformers."""
        check_one_reading(base)
        config = read_json(base / "config.json")
        longest = int(config.get("text_config", config).get("max_position_embeddings", self.length))
        chosen = {
            "model": str(base),
            "dtype": self.dtype,
            "tensor_parallel_size": self.tensor_parallel,
            "pipeline_parallel_size": self.pipeline_parallel,
            "skip_tokenizer_init": True,
            "max_model_len": min(self.length, longest),
            "max_num_seqs": self.sequences,
            "enable_lora": True,
            "max_loras": self.adapters + 1,
            "max_cpu_loras": self.adapters + 1,
            "max_lora_rank": self.adapter_rank,
            "disable_log_stats": True,
        }
        return {**chosen, **self.more, **FIXED}


def environment(settings: LocalSettings) -> dict[str, str]:
    """What vLLM reads from the environment, as far as it is not set already."""
    chosen = {
        "VLLM_USE_V2_MODEL_RUNNER": "0",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0" if settings.in_process else "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "ERROR"),
        **orphans.starter(),
    }
    if settings.device == "cpu":
        workers = settings.tensor_parallel * settings.pipeline_parallel
        cores = sorted(os.sched_getaffinity(0))
        binding = "nobind" if workers == 1 else "|".join(str(cores[i % len(cores)]) for i in range(workers))
        chosen |= {
            "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
            "VLLM_CPU_OMP_THREADS_BIND": os.environ.get("VLLM_CPU_OMP_THREADS_BIND", binding),
            "TORCH_COMPILE_DISABLE": "1",  # what little vLLM compiles in eager mode needs a C++ compiler and ten seconds
            **{name: os.environ.get(name, value) for name, value in ALLOCATION.items()},
        }
    return child_environment({**os.environ, **chosen})
