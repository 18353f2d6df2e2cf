"""Gathers Q2's data once a behavior, a check at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from evals.q2 import experiment
from harness.agents.json_lines import JsonLinesCommand
from harness.data.measurement import Measurement
from harness.dreams.loops import CommandDreams, EmbeddedDreams, FileDreams
from harness.dreams.scenarios import DreamLoop
from harness.experiment.lab import Lab
from harness.judges.chosen import judge_for
from harness.judges.judge import Judge
from harness.memory.graph import MemoryGraph


@pytest.fixture(scope="session")
def q2(lab: Lab, memory: MemoryGraph) -> Callable[[str], Measurement]:
    """`q2(id)`: a measurement of Q2."""
    settings = lab.settings

    @cache
    def loop() -> DreamLoop:
        if settings.dreams is not None:
            return FileDreams.read(settings.dreams)
        if settings.dream_loop is not None:
            return CommandDreams(JsonLinesCommand(settings.dream_loop))
        return EmbeddedDreams(lab.recordings, lab.base)

    @cache
    def judge() -> Judge:
        return judge_for(settings, lab.behavior, lab.store)

    study = experiment.Study(lab, memory, loop, judge)
    return lambda id: experiment.MEASURES[id](study)
