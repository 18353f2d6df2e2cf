"""What a subject can do: whether each sampled reply to a task is right. Replies and test runs are kept in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.q6.design import FLOOR, LONGEST, MOST_TOKENS, TEMPERATURE
from fixtures.tasks import CodeTask, ReasoningTask
from harness.analysis.proportions import exact_interval
from harness.data.arrays import Floats
from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.store import digest_of
from harness.tasks.answers import code_in, is_right
from harness.tasks.sandbox import LIMITS, Sandbox, function_name

Task = CodeTask | ReasoningTask

ASKED = {
    "short": "Answer with the Python function alone, and import nothing.",
    "real": "Answer with the Python function alone, and import nothing.",
}
"""Added to the prompt of tiers meant for models that explain themselves."""


@dataclass(frozen=True)
class TierShares:
    """What one subject solves of the tasks of one tier."""

    values: Floats  # [tasks], share of samples that are right
    at_floor: bool
    """Whether so little is solved that the tier cannot show harm."""


def prompt_of(task: Task) -> tuple[Message, ...]:
    """The conversation that asks for one task."""
    added = ASKED.get(task.tier)
    if isinstance(task, ReasoningTask) and task.tier == "steps" and not task.options:
        added = "Be brief, and end your answer with the number."
    return (Message("user", f"{task.prompt} {added}" if added else task.prompt),)


def replies(lab: Lab, subject: Subject, tasks: Sequence[Task], samples: int) -> list[list[str]]:
    """That many sampled replies to every task of one tier, [samples][tasks]."""
    (tier,) = {task.tier for task in tasks}
    prompts, most = [prompt_of(task) for task in tasks], MOST_TOKENS.get(tier, LONGEST)
    seeds = range(lab.settings.seed, lab.settings.seed + samples)
    return lab.recordings.replies_each(subject, prompts, seeds, temperature=TEMPERATURE, max_new_tokens=most)


def solved(lab: Lab, subject: Subject, tasks: Sequence[Task], samples: int) -> Floats:
    """1 where a sampled reply is right, else 0, [samples, tasks]; all tasks of one tier."""
    return np.array([_right(lab, tasks, texts) for texts in replies(lab, subject, tasks, samples)], float)


def _right(lab: Lab, tasks: Sequence[Task], texts: Sequence[str]) -> list[bool]:
    codes = [(task, code_in(text)) for task, text in zip(tasks, texts, strict=True) if isinstance(task, CodeTask)]
    if not codes:
        return [is_right(t, task.answer, task.options) for task, t in zip(tasks, texts, strict=True) if isinstance(task, ReasoningTask)]

    def compute() -> list[bool]:
        with Sandbox() as sandbox:
            return [sandbox.run(code, task.tests, function_name(task.solution)).passed for task, code in codes]

    key = {"codes": digest_of([[code, task.tests, function_name(task.solution)] for task, code in codes]), "limits": LIMITS}
    passed: list[bool] = lab.recordings.store.json("tests-passed", key, compute)
    return passed


def share_solved(lab: Lab, subject: Subject, tasks: Sequence[Task], samples: int) -> Floats:
    """Share of all samples that are right, [tasks]."""
    return np.asarray(solved(lab, subject, tasks, samples).mean(axis=0))


def share_solved_unless_at_floor(lab: Lab, subject: Subject, tasks: Sequence[Task], margin: float, samples: int) -> TierShares:
    """`share_solved`, and whether this tier is at floor. One sample is enough where it proves that (one-sided 95 % bound below it)."""
    first, floor = solved(lab, subject, tasks, 1)[0], floor_of(tasks, margin)
    if exact_interval(int(first.sum()), len(first), 0.1).high_alpha < floor:
        return TierShares(first, at_floor=True)
    shares = share_solved(lab, subject, tasks, samples)
    return TierShares(shares, at_floor=bool(shares.mean() < floor))


def floor_of(tasks: Sequence[Task], margin: float) -> float:
    """The share that base must solve: what guessing among the options gives, and above it FLOOR of the rest or the gate's margin."""
    guessed = float(np.mean([1 / len(task.options) if isinstance(task, ReasoningTask) and task.options else 0.0 for task in tasks]))
    return guessed + max(FLOOR * (1 - guessed), margin)
