"""Inside vLLM's workers: what the suite asks them by name.

vLLM mixes `Worker` into its worker class (`worker_extension_cls`) and calls its methods by name (`collective_rpc`); vectors arrive as
bytes, nothing is unpickled. The work itself is done by hooks (harness/engines/vllm/tap.py).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.engines.vllm.tap import Tap


def _score_without_adapter_on_logits(model: nn.Module) -> None:
    """vLLM's adapters wrap the logits, and that wrapper knows the rows that are sampled from and no others. Adapters of the output
    matrix are refused (`check_adapter`), so what it would add is zero: it is left out."""
    for module in model.modules():
        if type(module).__name__ == "LogitsProcessorWithLoRA":
            base = module.base_layer

            def logits(hidden: Tensor, head: Any, *rest: Any, base: Any = base, **named: Any) -> Any:
                return base._get_logits(hidden, getattr(head, "base_layer", head), *rest, **named)

            module._get_logits = logits  # type: ignore[assignment]  # a method of this instance alone


class Worker:
    """Mixed into vLLM's worker, hence the prefix: `self` is that worker."""

    model_runner: Any

    def evals_install(self) -> dict[str, Any]:
        """Prepare this worker, once; what it is."""
        import vllm

        runner = self.model_runner
        if not hasattr(self, "evals_tap"):
            if runner.device.type == "cpu":
                from harness.engines.vllm import narrow_heads

                narrow_heads.install()
            self.evals_tap = Tap(runner)
            _score_without_adapter_on_logits(runner.get_model())
        tap, lora = self.evals_tap, runner.lora_config
        return {
            "version": vllm.__version__,
            "layers": tap.count,
            "here": sorted(tap.layers),
            "width": tap.width,
            "dtype": str(runner.model_config.dtype).removeprefix("torch."),
            "device": str(runner.device.type),
            "adapters": lora.max_loras if lora else 0,
            "model": str(runner.model_config.model),
            "pid": os.getpid(),
        }

    def evals_put(self, data: bytes) -> str:
        """Load a steering vector, float32 as bytes; its digest."""
        return self.evals_tap.put(data)

    def evals_vectors(self) -> list[str]:
        """Digests of the vectors that are loaded."""
        return list(self.evals_tap.vectors)

    def evals_receipts(self, keys: Sequence[str]) -> dict[str, dict[str, int]]:
        """Tokens steered, by request and layer; handed out once."""
        found = {key: self.evals_tap.steered.pop(key, {}) for key in keys}
        return {key: {str(layer): count for layer, count in counts.items()} for key, counts in found.items()}

    def evals_scores(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Log-probabilities of the tokens from `given` on, float32 as bytes, by request scored on this rank; handed out once."""
        found = {key: self.evals_tap.scores.pop(key) for key in keys}
        return {key: np.array(values, np.float32).tobytes() for key, values in found.items() if values is not None}

    def evals_recorded(self, keys: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
        """[mean residual stream as bytes, median norm], by request and layer; handed out once."""
        found = {key: self.evals_tap.recorded.pop(key, {}) for key in keys}
        return {
            key: {str(layer): [(r.total / r.count).cpu().numpy().tobytes(), float(torch.cat(r.norms).median())] for layer, r in by.items()}
            for key, by in found.items()
        }

    def evals_adapter(self, number: int) -> dict[str, Any]:
        """Where the weights of a loaded adapter went: modules of this worker that got some, names that fit no module, slots in use."""
        manager = self.model_runner.lora_manager._adapter_manager
        named = set(manager.list_adapters()[number].loras)
        return {
            "applied": sorted(named & set(manager.modules)),
            "ignored": sorted(named - set(manager.modules)),
            "last slot free": manager.lora_index_to_id[-1] is None,
        }
