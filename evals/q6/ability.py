"""What a subject can do: bits per byte of prose, and whether each sampled reply to a task is right. Everything is kept in the store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fixtures.tasks import CodeTask, Question
from harness.analysis.proportions import exact_interval
from harness.data.arrays import Floats
from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.store import digest_of
from harness.tasks.answers import code_in, is_right
from harness.tasks.sandbox import LIMITS, Sandbox, function_name

Task = CodeTask | Question

SAMPLES = {"quick": 5, "full": 20}
"""Replies sampled a task, at most; `full` begins with those of `quick` and doubles them until a gate is decided."""
TEMPERATURE = 0.5
"""Below 1, where a slip of one token spoils whole programs and only adds noise; above 0, where there is nothing to average."""
FLOOR = 0.1
"""A tier of which base solves a smaller share, of what guessing leaves, cannot show harm. Nor can one with less than the margin to lose:
on the shipped weights base solved .11 of the sums, 9 % of unchanged trainings were inconclusive about them, and none could have failed."""
MOST_TOKENS = {"one-liner": 80, "short": 160, "real": 400, "steps": 200}
"""Longest reply by tier; the others need no more than LONGEST."""
LONGEST = 60
ASKED = {
    "short": "Answer with the Python function alone, and import nothing.",
    "real": "Answer with the Python function alone, and import nothing.",
}
"""Added to the prompt of tiers meant for models that explain themselves."""


def prompt_of(task: Task) -> tuple[Message, ...]:
    added = ASKED.get(task.tier)
    if isinstance(task, Question) and task.tier == "steps" and not task.options:
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
        return [is_right(t, task.answer, task.options) for task, t in zip(tasks, texts, strict=True) if isinstance(task, Question)]

    def compute() -> list[bool]:
        with Sandbox() as sandbox:
            return [sandbox.run(code, task.tests, function_name(task.solution)).passed for task, code in codes]

    key = {"codes": digest_of([[code, task.tests, function_name(task.solution)] for task, code in codes]), "limits": LIMITS}
    passed: list[bool] = lab.recordings.store.json("tests-passed", key, compute)
    return passed


def share_solved(lab: Lab, subject: Subject, tasks: Sequence[Task], samples: int) -> Floats:
    """Share of all samples that are right, [tasks]."""
    return np.asarray(solved(lab, subject, tasks, samples).mean(axis=0))


def share_solved_unless_at_floor(lab: Lab, subject: Subject, tasks: Sequence[Task], margin: float, samples: int) -> tuple[Floats, bool]:
    """`share_solved`, and whether this tier is at floor. One sample is enough where it proves that (one-sided 95 % bound below it)."""
    first, floor = solved(lab, subject, tasks, 1)[0], floor_of(tasks, margin)
    if exact_interval(int(first.sum()), len(first), 0.1).high_alpha < floor:
        return first, True
    shares = share_solved(lab, subject, tasks, samples)
    return shares, bool(shares.mean() < floor)


def floor_of(tasks: Sequence[Task], margin: float) -> float:
    """The share that guessing among the options gives, and what must be there to be lost: FLOOR of the rest, or the gate's margin."""
    guessed = float(np.mean([1 / len(task.options) if isinstance(task, Question) and task.options else 0.0 for task in tasks]))
    return guessed + max(FLOOR * (1 - guessed), margin)
