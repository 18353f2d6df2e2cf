"""Q4's study with the agents of the command line, or the embedded ones; each is made once, when a check first asks for it."""

from __future__ import annotations

from functools import cache

from evals.q4.study import Study
from harness.agents.agent import AgentError, SurfaceObserve, TrainingSignal
from harness.agents.command import CommandSignal, CommandSurface
from harness.agents.embedded import EmbeddedSignal, EmbeddedSurface, StoredSignal, StoredSurface
from harness.agents.json_lines import JsonLinesCommand
from harness.data.errors import InputError
from harness.experiment.lab import Lab
from harness.judges.chosen import judge_for
from harness.judges.judge import Judge, JudgeError
from harness.memory.graph import MemoryGraph
from harness.memory.similarity import Hybrid


def study_of(lab: Lab, memory: MemoryGraph) -> Study:
    """The study of one behavior. An agent or judge that cannot be made raises AgentError or JudgeError when it is asked for."""
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
        try:
            return judge_for(settings, lab.behavior, lab.store)
        except InputError as error:
            raise JudgeError(str(error)) from None

    @cache
    def signal() -> TrainingSignal:
        if settings.training_signal is not None:
            return CommandSignal(JsonLinesCommand(settings.training_signal))
        return StoredSignal(EmbeddedSignal(judge(), lab.behavior.memory_node), lab.store)

    return Study(lab, memory, surface, signal, judge)
