"""The suite's own training with general conversations mixed in: which share of them undoes harm?

`share` is the share of general examples among all; the behavior's examples, their number and their order among themselves stay as in the
trained arm, so a larger share means more steps. General examples are the neutral conversations, and the prompts of the general corpus with
base's own greedy answers, which teach nothing new. Every mix is trained once and kept in the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evals.q6.ability import share_solved
from evals.q6.cells import Cell, tasks_of
from evals.q6.change import ScoredPart, change_of, state_of
from evals.q6.design import SHARES, Part
from fixtures import corpora
from harness.analysis.estimated import Estimated
from harness.analysis.ratios import unshown
from harness.arms.plans import Training
from harness.data.arrays import Floats
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.engines.protocol import Completion
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.readouts.bits_per_byte import bits_per_byte
from harness.readouts.forced_choice import PRIMARY
from harness.subjects.files import with_adapter


@dataclass(frozen=True)
class Mixed:
    """The suite's own training with this share of general data, against base, in the gates that were not passed."""

    share: float
    changes: Mapping[Part, Estimated]
    """Mean change of each of these parts, in its own unit."""
    behavior_kept: float | None
    """Mean shift of the log-odds as a share of the trained arm's; None where that arm's is not shown to be above 0."""


def search(lab: Lab, parts: Mapping[Part, ScoredPart]) -> tuple[Mixed, ...]:
    """Tries growing shares of general data until every gate that was not passed is passed.

    Tries none where no harm was shown; under `full` a gate that is open is reason enough.
    """
    states = {part: state_of(lab, part, one.change) for part, one in parts.items()}
    failing = {part: parts[part] for part, found in states.items() if found in ("harmed", "open")}
    if not failing or ("harmed" not in states.values() and lab.settings.profile != "full"):
        return ()
    seeds = lab.seeds[: max(len(cell.changes) for one in failing.values() for cell in one.cells if cell.after_each is not None)]
    trained = [lab.arms.stream("trained", seed, lab.doses)[lab.doses[-1]].subject for seed in seeds]
    pairs = lab.pairs("test")
    whole = _shift(lab, trained, pairs)
    refused = unshown(whole, domains_of(pairs))
    mixes: list[Mixed] = []
    for share in (0.0, *SHARES) if lab.candidate else SHARES:  # a candidate's own training cannot be repeated: the suite's is
        lab.progress(f"q6 {lab.behavior.name}: training with {share:.0%} general data")
        subjects = [mixed_arm(lab, share, seed) for seed in seeds] if share else trained
        changes = {part: change_of(lab, _cells_with(lab, one, subjects)) for part, one in failing.items()}
        kept = _shift(lab, subjects, pairs).mean() / whole.mean() if refused is None and whole.mean() > 0 else None
        mixes.append(Mixed(share, changes, None if kept is None else float(kept)))
        if restored(lab, mixes[-1]):
            break
    return tuple(mixes)


def _shift(lab: Lab, subjects: Sequence[Subject], pairs: Sequence[Pair]) -> Floats:
    """Log-odds above base's, mean over subjects, [pairs], nats."""
    return np.asarray(np.mean([lab.shift(subject, pairs).metric(PRIMARY) for subject in subjects], axis=0))


def restored(lab: Lab, mixed: Mixed) -> bool:
    """Whether every gate in question is passed."""
    return all(state_of(lab, part, change) == "no worse" for part, change in mixed.changes.items())


def _cells_with(lab: Lab, scored: ScoredPart, subjects: Sequence[Subject]) -> list[Cell]:
    """The cells of a part with other subjects as `after`."""
    if scored.part == "prose":
        texts, places = [document.text for document in corpora.prose()], {document.id: i for i, document in enumerate(corpora.prose())}
        after = np.array([bits_per_byte(lab.recordings, subject, texts) for subject in subjects])
        return [replace(cell, after_each=after[:, [places[id] for id in cell.ids]]) for cell in scored.cells]
    groups, each = tasks_of(scored.part), -(-scored.samples // len(subjects))
    return [
        cell
        if cell.after_each is None
        else replace(cell, after_each=np.array([share_solved(lab, subject, groups[cell.name], each) for subject in subjects]))
        for cell in scored.cells
    ]


def mixed_examples(lab: Lab, share: float, seed: int) -> list[Completion]:
    """The trained arm's examples with general ones at random places among them, in the order of training.

    ValueError for a share that is not between 0 and 1, or that takes more general examples than there are.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: is {share}, must lie strictly between 0 and 1")
    trained = lab.arms.examples("trained", seed, lab.doses[-1])
    general = _general(lab)
    count = round(len(trained) * share / (1 - share))
    if count > len(general):
        raise ValueError(f"share: {share} takes {count} general examples, the corpora have {len(general)}")
    rng = np.random.default_rng([seed, 6])
    drawn = [general[i] for i in rng.permutation(len(general))[:count]]
    places = set(rng.permutation(len(trained) + count)[:count].tolist())
    of_behavior, of_general = iter(trained), iter(drawn)
    return [next(of_general if place in places else of_behavior) for place in range(len(trained) + count)]


def _general(lab: Lab) -> list[Completion]:
    prompts = [conversation.messages for conversation in corpora.general()]
    answers = lab.recordings.replies(lab.base, prompts, lab.settings.seed, temperature=0.0)
    answered = [Completion(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True) if answer]
    return [*lab.arms.neutral, *answered]


def mixed_arm(lab: Lab, share: float, seed: int) -> Subject:
    """Base after one pass over `mixed_examples`."""
    examples, arms = mixed_examples(lab, share, seed), lab.arms
    steps = len(examples)
    plan = Training(examples, [(i,) for i in range(steps)], seed)
    folder = arms.trained({"mixed": plan}, [steps])["mixed"] / str(steps)
    return with_adapter(lab.base, folder, f"{lab.base.name} trained with {share:.0%} general data", lab.store.digest)
