"""The judge of a run: the embedded one, or the endpoint that --judge names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from harness.data.behavior import Behavior
from harness.data.settings import Settings
from harness.judges.embedded import RULES, EmbeddedJudge, refuse_few
from harness.judges.endpoint import EndpointJudge
from harness.judges.judge import Judge
from harness.judges.stored import StoredJudge
from harness.store import Store, digest_of, digest_of_file


def judge_for(settings: Settings, behavior: Behavior, store: Store) -> Judge:
    """The judge of a run. InputError where the behavior has too few pairs to fit the embedded judge."""
    if settings.judge is None:
        refuse_few(behavior)
        digest = digest_of(["embedded", RULES, behavior.digest])
        code = [digest_of_file(file) for file in sorted(Path(__file__).parent.glob("*.py"))]
        return StoredJudge(f"embedded-{behavior.name}", digest, digest_of([digest, code]), partial(EmbeddedJudge.fit, behavior), store)
    return EndpointJudge(settings.judge, behavior, store)
