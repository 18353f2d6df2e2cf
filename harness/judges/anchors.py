"""Is the judge of this cycle the one of an earlier cycle? Fixed replies, the anchors, are labeled anew in every cycle and kept with it.

A judge behind an address can change while its name stays. Two judges that differ on a share d of replies agree on all but one of n anchors
with probability (1 − d)^n + n d (1 − d)^(n − 1): .04 for d = .04 and n = 128. One label may differ: a language model at temperature 0 is
not always the same to the last bit. What differs less than that is not seen, and neither is a change on replies unlike the anchors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from harness.data.behavior import Behavior, Message
from harness.judges.contrasts import KINDS, contrasts
from harness.judges.judge import Judge, Label

ANCHORS = 128
"""Most anchors of a behavior."""
UNSTEADY = 1
"""Anchors of which one judge may change the label from one cycle to the next."""
LETTERS: Mapping[Label, str] = {"positive": "p", "negative": "n", "neither": "-"}
NAME, DIGEST, LABELS = "judge", "judge digest", "judge anchors"
"""Names in a measurement's provenance: the judge's name, its digest, and the labels of the anchors, a letter each."""


@cache
def anchors(behavior: Behavior) -> tuple[tuple[Sequence[Message], str], ...]:
    """Conversations, each with a reply to it, at most ANCHORS: completions and contrasts of test pairs, spread evenly over their kinds."""
    pairs = behavior.split("test")
    kinds = [[(pair, pair.positive) for pair in pairs], [(pair, pair.negative) for pair in pairs]]
    made = contrasts(pairs)
    kinds += [[(one.pair, one.reply) for one in made if one.kind == kind] for kind in KINDS]
    each = ANCHORS // len(kinds)
    chosen = [said for kind in kinds for said in kind[:: max(1, len(kind) // each)][:each]]
    return tuple((pair.messages, reply) for pair, reply in chosen)


def identity(judge: Judge, behavior: Behavior) -> dict[str, str]:
    """Who judges, for a measurement's provenance; the anchors are labeled anew. JudgeError where the judge does not answer."""
    asked = anchors(behavior)
    labels = judge.labels_anew([messages for messages, _ in asked], [reply for _, reply in asked])
    return {NAME: judge.name, DIGEST: judge.digest, LABELS: "".join(LETTERS[label] for label in labels)}


def change_of_judge(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """How the judge of an earlier provenance differs from the one of now, in words; None where it is the same."""
    was, name = before.get(NAME, "none whose anchors are known"), now[NAME]
    if before.get(DIGEST) != now[DIGEST]:
        return f"the judge changed: it was {was} ({before.get(DIGEST, '-')}), now {name} ({now[DIGEST]})"
    earlier, labels = before.get(LABELS, ""), now[LABELS]
    differ = sum(a != b for a, b in zip(earlier, labels, strict=False)) + abs(len(earlier) - len(labels))
    if differ > UNSTEADY:
        return f"the judge changed: {name} has the name it had, and labels {differ} of {len(labels)} anchors otherwise"
    return None
