"""`q4("q4.flagging")` measures one of Q4's checks, and trains and asks nothing that this check does not need."""

from __future__ import annotations

from functools import cache

import pytest

from evals.q4.checks import MEASURES, known
from evals.q4.study import Study
from evals.question import Question
from harness.agents.agent import AgentError, SurfaceObserve, TrainingSignal
from harness.agents.command import CommandSignal, CommandSurface
from harness.agents.embedded import EmbeddedSignal, EmbeddedSurface, StoredSurface
from harness.agents.json_lines import JsonLinesCommand
from harness.data.errors import InputError
from harness.experiment.lab import Lab
from harness.judges.chosen import judge_for
from harness.judges.judge import Judge, JudgeError
from harness.memory.graph import MemoryGraph
from harness.memory.similarity import Hybrid


@pytest.fixture(scope="session")
def q4(lab: Lab, memory: MemoryGraph) -> Question[Study]:
    """The agents are those of the command line, or the embedded ones; each is made once, when a check first asks for it."""
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
        return EmbeddedSignal(judge(), lab.behavior.memory_node)

    return Question(lab, lambda lab: Study(lab, memory, surface, signal, judge), MEASURES, known=known)
