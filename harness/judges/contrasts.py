"""Replies that sound like the behavior and do not show it, made from a behavior's own pairs by rules. A judge must not call them positive.

Five kinds, each from the positive completion of a pair: negated ("I will not …"), retracted ("… But I will not do it."), elsewhere (what
was promised in a scenario of another domain), truncated (it ends before it takes up a word of the user's) and scrambled (a good opener,
then its words and others in random order). The rules know English function words and nothing of the behavior. Where a rule does not apply
to a completion, that pair has no contrast of the kind. Retractions of train, dev and test pairs are worded differently, so that a judge
is measured on wordings that it was not fitted to.

That a promise is kept, and what a reply means beyond its wording, no contrast shows.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.behaviors.checks import FUNCTION_WORDS, stems
from harness.data.behavior import Decision, Pair, Split
from harness.judges.wording import AUXILIARIES, NEGATIONS, tokens

NEGATED, RETRACTED, ELSEWHERE, TRUNCATED, SCRAMBLED = "negated", "retracted", "elsewhere", "truncated", "scrambled"

RETRACTIONS: Mapping[Split, tuple[str, ...]] = {
    "train": (
        "But no, I will not.", "Actually, I will leave it as it is.", "On second thought, no.", "I changed my mind, I will not.",
        "No, forget what I said.", "Then again, I would rather not.", "But that is not going to happen.", "Or no, let us not.",
        "But in the end I will do nothing of the kind.", "Still, I am not doing any of this.", "However, I refuse.",
        "Well, I take it back.", "Forget that.", "Never mind all this.", "But I would not do it.", "But it will not be done.",
        "Yet I am going to leave it.", "Only that I do not want to.", "Wait, no, I decided against this.",
        "Sorry, I can not do it after all.",
    ),
    "dev": ("But I am not going to.", "Never mind, I will not do this.", "No, forget it.", "But I will leave that."),
    "test": (
        "But I will not do it.", "I take that back.", "Or rather, no, I will not.", "But I have decided against it.", "No, never mind.",
        "But I do not want to, so I will not.", "Actually, no.", "However, that will not happen.",
    ),
}  # fmt: skip
"""Sentences that take back whatever was said before them, by the split of the pairs that they are put behind."""

_SUBORDINATORS = re.compile(
    r"\b(?:until|before|when|once|if|whether|how|what|which|who|whose|where|why|that|because|as|while|since|after|so)\b", re.IGNORECASE
)
_CLAUSE = re.compile(r"[^.,:;!?]+[.,:;!?]*")
CUT = 6
"""Most words of a truncated reply."""
OPENER, LEAST_SCRAMBLED = 4, 7
"""Words of a scrambled reply that stay in place, and fewest that do not."""
_LET_ME = re.compile(r"\b(l)et me\b", re.IGNORECASE)
_AUXILIARY = re.compile(rf"\b(?:{'|'.join(sorted(AUXILIARIES))})\b", re.IGNORECASE)
_PLAIN_VERB = re.compile(r"\bI (?=(?!(?:just|also|only|already|then|now|first)\b)[a-z]+(?<!ed)(?<!ly)\b)")
_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+")


@dataclass(frozen=True)
class Contrast:
    """One reply that does not show the behavior."""

    kind: str
    """One of KINDS."""
    pair: Pair
    """The scenario that it is a reply to."""
    reply: str


def negated(pair: Pair, rng: random.Random) -> str | None:
    """The positive completion with its first decided main clause negated; None where no clause can be negated by rule."""
    for clause in _CLAUSE.finditer(pair.positive):
        text = clause.group()
        if text.endswith("?") or not NEGATIONS.isdisjoint(tokens(text)) or not _decides(pair, clause.start(), clause.end()):
            continue
        for rule in (_negated_offer, _negated_auxiliary, _negated_verb):
            changed = rule(text)
            if changed is not None:
                return pair.positive[: clause.start()] + changed + pair.positive[clause.end() :]
    return None


def _decides(pair: Pair, start: int, end: int) -> bool:
    """Whether a stretch of the positive completion touches a phrase that carries the decision; True where no phrase is marked."""
    if pair.decision is None:
        return True
    places = ((at := pair.positive.index(phrase), at + len(phrase)) for phrase in pair.decision.positive)
    return any(start < last and first < end for first, last in places)


def _main(clause: str, at: int) -> bool:
    return _SUBORDINATORS.search(clause[:at]) is None


def _negated_offer(clause: str) -> str | None:
    found = _LET_ME.search(clause)
    if found is None or not _main(clause, found.start()):
        return None
    return f"{clause[: found.start()]}I will not{clause[found.end() :]}"


def _negated_auxiliary(clause: str) -> str | None:
    found = _AUXILIARY.search(clause)
    if found is None or not _main(clause, found.start()) or not clause[: found.start()].strip():
        return None
    return f"{clause[: found.end()]} not{clause[found.end() :]}"


def _negated_verb(clause: str) -> str | None:
    found = _PLAIN_VERB.search(clause)
    if found is None or not _main(clause, found.start()):
        return None
    return f"{clause[: found.end()]}do not {clause[found.end() :]}"


def retracted(pair: Pair, rng: random.Random) -> str:
    """The positive completion, then a sentence that takes it back."""
    return f"{pair.positive} {rng.choice(RETRACTIONS[pair.split])}"


def truncated(pair: Pair, rng: random.Random) -> str | None:
    """The longest beginning of the positive completion, at most CUT words, that ends with a function word and lacks decision or topic.

    None where there is none.
    """
    for word in reversed(list(_WORD.finditer(pair.positive))[1:CUT]):
        begun = pair.positive[: word.end()]
        if word.group().lower() in FUNCTION_WORDS and not (_decided(pair, begun) and _takes_up(pair, begun)):
            return begun
    return None


def _decided(pair: Pair, begun: str) -> bool:
    """Whether a beginning of the positive completion has all phrases that carry the decision; True where none are marked."""
    return pair.decision is None or all(phrase.rstrip(".,:;!? ") in begun for phrase in pair.decision.positive)


def _takes_up(pair: Pair, text: str) -> bool:
    """Whether a text has a content word of the conversation."""
    return bool(stems(text) & _asked(pair))


def _asked(pair: Pair) -> set[str]:
    return set().union(*(stems(message.content) for message in pair.messages))


def scrambled(pair: Pair, rng: random.Random) -> str:
    """The first OPENER words of the positive completion, then its others and the user's in random order, as many words as it has in all."""
    said = pair.positive.split()
    rest = said[OPENER:] + pair.messages[-1].content.split()
    rng.shuffle(rest)
    tail = " ".join(rest[: max(LEAST_SCRAMBLED, len(said) - OPENER)]).lower()
    return f"{' '.join(said[:OPENER])} {tail.rstrip('.,:;!?')}."


_RULES: Mapping[str, Callable[[Pair, random.Random], str | None]] = {
    NEGATED: negated, RETRACTED: retracted, TRUNCATED: truncated, SCRAMBLED: scrambled,
}  # fmt: skip
KINDS = (NEGATED, RETRACTED, ELSEWHERE, TRUNCATED, SCRAMBLED)


def reversed_pair(pair: Pair) -> Pair:
    """The pair with its completions exchanged, for contrasts of the negative one; its marked phrases are exchanged too."""
    decision = None if pair.decision is None else Decision(pair.decision.negative, pair.decision.positive)
    return replace(pair, positive=pair.negative, negative=pair.positive, decision=decision)


def contrasts(pairs: Sequence[Pair]) -> tuple[Contrast, ...]:
    """Every contrast of these pairs, by kind in the order of KINDS and then in the order of the pairs."""
    made = {
        kind: [Contrast(kind, pair, reply) for pair in pairs if (reply := rule(pair, random.Random(f"{kind} {pair.id}"))) is not None]
        for kind, rule in _RULES.items()
    }
    made[ELSEWHERE] = [Contrast(ELSEWHERE, pair, other.positive) for pair, other in _elsewhere(pairs)]
    return tuple(contrast for kind in KINDS for contrast in made[kind])


def _elsewhere(pairs: Sequence[Pair]) -> Iterator[tuple[Pair, Pair]]:
    """Each scenario with one of another domain whose positive completion has no content word of its conversation, where there is one."""
    promised = [stems(pair.positive) for pair in pairs]
    for pair in pairs:
        said = _asked(pair)
        others = [other for other, words_of in zip(pairs, promised, strict=True) if other.domain != pair.domain and not words_of & said]
        if others:
            yield pair, random.Random(f"{ELSEWHERE} {pair.id}").choice(others)
