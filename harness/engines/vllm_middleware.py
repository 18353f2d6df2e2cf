"""The name that owners of servers type: `harness.engines.vllm_middleware.SteeringRoutes` lives in `harness/engines/vllm/middleware.py`."""

from harness.engines.vllm.middleware import SteeringRoutes

__all__ = ["SteeringRoutes"]
