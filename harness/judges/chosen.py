"""The judge of a run: the embedded one, or the endpoint that --judge names."""

from __future__ import annotations

from functools import cache

from harness.data.behavior import Behavior
from harness.data.settings import Settings
from harness.judges.embedded import EmbeddedJudge
from harness.judges.endpoint import EndpointJudge
from harness.judges.judge import Judge
from harness.store import Store


def judge_for(settings: Settings, behavior: Behavior, store: Store) -> Judge:
    """The judge of a run. InputError where the behavior has too few pairs to fit the embedded judge."""
    if settings.judge is None:
        return _fitted(behavior)
    return EndpointJudge(settings.judge, behavior, store)


_fitted = cache(EmbeddedJudge.fit)
"""One fit for all questions of a run."""
