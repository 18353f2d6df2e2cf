"""Run by Python itself in every process with this folder on PYTHONPATH: prepares it for vLLM, and lets it end with its starter.

Then the machine's own sitecustomize, which this one hides, has its turn.
"""

import contextlib
import os
import sys

import harness  # noqa: F401  # its import prepares the process
from harness.process.orphans import end_with_starter

end_with_starter()

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != here]
this = sys.modules.pop("sitecustomize")
with contextlib.suppress(ImportError):
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
sys.modules.setdefault("sitecustomize", this)
