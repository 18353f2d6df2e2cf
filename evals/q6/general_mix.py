"""The suite's own training with general conversations mixed in: does rehearsal undo harm?

`share` is the share of general examples among all; the behavior's examples, their number and their order among themselves stay as in the
trained arm, so a larger share means more steps. General examples are the neutral conversations, and the general ones answered by base
itself (greedily), which teaches nothing new. Made once and kept in the store.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fixtures import corpora
from harness.arms.training import Training, train_adapters
from harness.data.subject import Subject
from harness.engines.protocol import Completion
from harness.experiment.lab import Lab
from harness.readouts.recordings import conversation_key
from harness.store import digest_of
from harness.subjects.files import with_adapter

SHARES = (0.1, 0.25, 0.5)


def mixed_examples(lab: Lab, share: float) -> list[Completion]:
    """The trained arm's examples with general ones at random places among them, in the order of training."""
    if not 0 < share < 1:
        raise ValueError(f"share: is {share}, must lie strictly between 0 and 1")
    seed = lab.settings.seed
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


def mixed_arm(lab: Lab, share: float) -> Subject:
    """Base after one pass over `mixed_examples`."""
    examples, arms = mixed_examples(lab, share), lab.arms
    steps = len(examples)
    key = {
        "base": lab.base.digest,
        "examples": digest_of([[conversation_key(one.messages), one.text] for one in examples]),
        "seed": lab.settings.seed,
        "settings": arms.settings.as_key(),
        "fast": arms.engine.fast,
        "device": arms.engine.device,
    }

    def build(folder: Path) -> None:
        plan = Training(examples, [(i,) for i in range(steps)], lab.settings.seed, {steps: folder / "adapter"})
        train_adapters(arms.engine, lab.base, [plan], arms.settings)

    folder = lab.recordings.store.entry("arms", key, build)
    return with_adapter(lab.base, folder / "adapter", f"{lab.base.name} trained with {share:.0%} general data")
