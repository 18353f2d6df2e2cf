"""Run by Python itself at the start of every process with this folder on PYTHONPATH: prepares it for vLLM on a CPU.

Then the machine's own sitecustomize, which this one hides, has its turn.
"""

import contextlib
import os
import sys

import harness  # noqa: F401  # its import prepares the process

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != here]
this = sys.modules.pop("sitecustomize")
with contextlib.suppress(ImportError):
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
sys.modules.setdefault("sitecustomize", this)
