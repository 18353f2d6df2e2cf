"""Gathers Q4's data once a behavior, a check at a time: the gate alone trains and asks nothing that it does not need."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from evals.q4 import experiment
from harness.agents.agent import AgentError, SurfaceObserve, TrainingSignal
from harness.agents.command import CommandSignal, CommandSurface
from harness.agents.embedded import EmbeddedSignal, EmbeddedSurface, StoredSurface
from harness.agents.json_lines import JsonLinesCommand
from harness.data.errors import InputError
from harness.data.measurement import Measurement
from harness.experiment.lab import Lab
from harness.judges.chosen import judge_for
from harness.judges.judge import Judge
from harness.memory.graph import MemoryGraph
from harness.memory.similarity import Hybrid


@pytest.fixture(scope="session")
def q4(lab: Lab, memory: MemoryGraph) -> Callable[[str], Measurement]:
    """`q4(id)`: a measurement of Q4."""
    settings = lab.settings

    @cache
    def surface() -> SurfaceObserve:
        if settings.surface_observe is not None:
            return CommandSurface(JsonLinesCommand(settings.surface_observe))
        try:
            return StoredSurface(EmbeddedSurface(Hybrid()), lab.store)
        except InputError as error:
            raise AgentError(f"surface-observe: {error}") from None

    @cache
    def judge() -> Judge:
        return judge_for(settings, lab.behavior, lab.store)

    @cache
    def signal() -> TrainingSignal:
        if settings.training_signal is not None:
            return CommandSignal(JsonLinesCommand(settings.training_signal))
        return EmbeddedSignal(judge(), lab.behavior.memory_node)

    study = experiment.Study(lab, memory, surface, signal, judge)
    return lambda id: experiment.MEASURES[id](study)
