"""The name that owners of servers type: `harness.engines.vllm_worker.Worker` lives in `harness/engines/vllm/worker.py`."""

from harness.engines.vllm.worker import Worker

__all__ = ["Worker"]
