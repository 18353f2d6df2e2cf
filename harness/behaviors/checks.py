"""Is a behavior's data a fair instrument? Length, words outside the decision and repetition must not give away the positive completion.

Length and words are tested as a model would learn a shortcut: a classifier is fitted to all domains but one fold of them, and chooses in
each pair of that fold which completion is the positive one. It must not beat a coin (exact one-sided binomial test at LEVEL; ten folds of
whole domains). All choices in a fold come from one classifier, so the test rejects a little too often where folds are large. It cannot
show that there is no shortcut, only that words and length are none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import get_args

import numpy as np

from harness.data.arrays import Floats
from harness.data.behavior import Behavior, Pair, Split

LEVEL = 0.01
"""Probability that one of the two tests flags data without a shortcut."""
FEWEST_IN_SPLIT = 20
"""Pairs that every split must have: a steering vector is extracted from 20 and chosen on 20."""
FEWEST = 40
"""Pairs that a test needs: with fewer, a classifier that is right in 70 % of the pairs would usually not be noticed."""
MEAN_LENGTH_GAP = 0.25
"""Words by which positive and negative completions may differ in length on average."""
SAME_WORDS = 0.7
"""Jaccard index of content words at which two texts count as the same."""
SAME_TEXT = 0.85
"""Ratio of matching characters at which two texts count as the same."""
SAME_TEMPLATE = 4
"""Times that one sentence pattern (all but function words masked) may occur among the users' last turns, in up to 200 pairs.

In more pairs a fiftieth of them.
"""

TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+|[^\sA-Za-z\d]")
_FUNCTION_WORDS = (
    "a an the this that these those it its to of in on at by for from with and or but so if than as i you he she we they me him her us "
    "them my your his our their is are was were be been am do does did have has had will would can could should may might must not no "
    "please what which who how when where why there here before after until then now first all every each any some more most very too "
    "just only also again about into out up down over under off let's i'm don't"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


@dataclass(frozen=True)
class DataResult:
    """The result of one test of the data."""

    name: str
    """What was tested, in a few words."""
    ok: bool
    """False where the data fail; True also where there were too few pairs to test."""
    text: str
    """One line with the figure and what is allowed."""


def tokens(text: str) -> list[str]:
    """Words, numbers and punctuation marks, lower case."""
    return [match.lower() for match in TOKEN.findall(text)]


def words(text: str) -> list[str]:
    """Words and numbers, lower case."""
    return [token for token in tokens(text) if token[0].isalnum()]


def stems(text: str) -> set[str]:
    """First five letters of every content word, without the ending of possessives, so that "planted" matches "plant"."""
    return {word.removesuffix("'s")[:5] for word in words(text) if word not in FUNCTION_WORDS}


def outside_decision(pair: Pair) -> tuple[str, str]:
    """Both completions (positive, negative) without their decision phrases."""
    positive, negative = pair.positive, pair.negative
    if pair.decision is not None:
        for phrase in pair.decision.positive:
            positive = positive.replace(phrase, " ")
        for phrase in pair.decision.negative:
            negative = negative.replace(phrase, " ")
    return positive, negative


def _fit_choice(gaps: Floats, ridge: float = 1.0) -> Floats:
    """Weights w [features] of P(positive is chosen) = sigmoid(gap · w) with an L2 penalty; `gaps` [pairs, features]."""
    from scipy.optimize import minimize

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = gaps @ weights
        missed = 1 / (1 + np.exp(margin))
        return float(np.logaddexp(0, -margin).sum() + ridge / 2 * weights @ weights), ridge * weights - gaps.T @ missed

    fitted: Floats = minimize(loss, np.zeros(gaps.shape[1]), jac=True, method="L-BFGS-B").x
    return fitted


def _choices(gaps: Floats, groups: Sequence[str], folds: int = 10) -> tuple[float, int]:
    """Number of right choices (a tie counts half) and of all choices, each made by a classifier that saw no pair of its group."""
    names = sorted(set(groups))
    fold = np.array([names.index(group) % min(folds, len(names)) for group in groups])
    right = 0.0
    for left_out in sorted(set(fold.tolist())):
        here = fold == left_out
        margin = gaps[here] @ _fit_choice(gaps[~here])
        right += float((margin > 1e-9).sum()) + 0.5 * float((np.abs(margin) <= 1e-9).sum())
    return right, len(groups)


def _giveaway(name: str, what: str, pairs: Sequence[Pair], measure: Callable[[Pair], Counter[str]]) -> DataResult:
    """Whether a classifier on `measure` (counts of features, positive minus negative) beats a coin on domains that it has not seen."""
    from scipy.stats import binomtest

    if len(pairs) < FEWEST or len({pair.domain for pair in pairs}) < 3:
        return DataResult(name, True, f"not measured: {len(pairs)} pairs it could be measured on, {FEWEST} over 3 domains are needed")
    gaps = [measure(pair) for pair in pairs]
    occurs = Counter(feature for gap in gaps for feature, count in gap.items() if count)
    features = sorted(feature for feature, count in occurs.items() if count >= 2)
    if not features:
        return DataResult(name, True, f"{what} is the same on both sides in all {len(pairs)} pairs")
    table = np.array([[float(gap[feature]) for feature in features] for gap in gaps])
    right, n = _choices(table, [pair.domain for pair in pairs])
    p = float(binomtest(round(right), n, 0.5, alternative="greater").pvalue)
    text = f"{what} chooses the positive in {right:g} of {n} pairs ({right / n:.3f}, p = {p:.3f}; at least {LEVEL:g} is allowed)"
    return DataResult(name, p >= LEVEL, text)


def _word_gap(pair: Pair) -> Counter[str]:
    positive, negative = outside_decision(pair)
    gap = Counter(tokens(positive))
    gap.subtract(tokens(negative))
    return gap


def _length_gap(pair: Pair) -> Counter[str]:
    return Counter(words=len(words(pair.positive)) - len(words(pair.negative)))


def _size(behavior: Behavior) -> DataResult:
    sizes = {split: len(behavior.split(split)) for split in get_args(Split)}
    text = ", ".join(f"{count} {split}" for split, count in sizes.items()) + f" pairs (at least {FEWEST_IN_SPLIT} in each are needed)"
    return DataResult("size", min(sizes.values()) >= FEWEST_IN_SPLIT, text)


def _matched_length(behavior: Behavior) -> DataResult:
    gaps = np.array([len(words(pair.positive)) - len(words(pair.negative)) for pair in behavior.pairs])
    mean = float(gaps.mean())
    unequal = int((gaps != 0).sum())
    text = f"positives are {mean:+.2f} words longer on average ({unequal} of {len(gaps)} pairs differ; within {MEAN_LENGTH_GAP} is allowed)"
    return DataResult("matched length", abs(mean) <= MEAN_LENGTH_GAP, text)


def _echo(behavior: Behavior) -> DataResult:
    """Whether both completions take up the user's words; otherwise staying on the topic would tell them apart."""
    missing = []
    for pair in behavior.pairs:
        asked = set().union(*(stems(message.content) for message in pair.messages))
        wanted = min(2, len(asked))
        missing += [pair.id for text in (pair.positive, pair.negative) if len(stems(text) & asked) < wanted]
    text = f"{len(missing)} of {2 * len(behavior.pairs)} completions take up fewer than two content words of the conversation"
    return DataResult("echo", not missing, text + (f": {', '.join(missing[:5])}" if missing else ""))


def _last_turn(pair: Pair) -> str:
    return pair.messages[-1].content


def mask(text: str) -> str:
    """The sentence pattern of a text: function words and punctuation, with one placeholder for each run of content words."""
    kept = ["_" if token[0].isalnum() and token not in FUNCTION_WORDS else token for token in tokens(text)]
    return " ".join(token for i, token in enumerate(kept) if token != "_" or i == 0 or kept[i - 1] != "_")


def _overlap(texts: Sequence[str]) -> Floats:
    """Jaccard index of content words of every two texts, [texts, texts]; 0 where they share fewer than two words."""
    bags = [stems(text) for text in texts]
    column = {stem: i for i, stem in enumerate(sorted(set().union(*bags)))}
    table = np.zeros((len(bags), len(column)))
    for row, bag in enumerate(bags):
        table[row, [column[stem] for stem in bag]] = 1
    shared = table @ table.T
    union = table.sum(1)[:, None] + table.sum(1)[None, :] - shared
    return np.where(shared >= 2, shared / np.maximum(union, 1), 0.0)


def _near_duplicates(behavior: Behavior) -> DataResult:
    """Two scenarios, of one split or of two, with nearly the same content words or nearly the same characters."""
    pairs = behavior.pairs
    found = set()
    for texts in (
        [" ".join(message.content for message in pair.messages) for pair in pairs],
        [_last_turn(pair) for pair in pairs],
        [pair.positive for pair in pairs],
        [pair.negative for pair in pairs],
    ):
        overlap = np.tril(_overlap(texts), -1)
        for i, j in np.argwhere(overlap >= SAME_WORDS / 2).tolist():
            if overlap[i, j] >= SAME_WORDS or _same_text(texts[i].lower(), texts[j].lower()):
                found.add(f"{pairs[j].id} and {pairs[i].id}")
    text = f"{len(found)} near-duplicate scenarios among {len(pairs)}" + (f": {'; '.join(sorted(found)[:3])}" if found else "")
    return DataResult("near-duplicates", not found, text)


def _same_text(a: str, b: str) -> bool:
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    return matcher.real_quick_ratio() >= SAME_TEXT and matcher.quick_ratio() >= SAME_TEXT and matcher.ratio() >= SAME_TEXT


def _templates(behavior: Behavior) -> DataResult:
    """Whether one sentence pattern recurs in the users' last turns, as in a template with other nouns."""
    patterns = Counter(mask(_last_turn(pair)) for pair in behavior.pairs)
    allowed = max(SAME_TEMPLATE, len(behavior.pairs) // 50)
    worst, count = patterns.most_common(1)[0]
    text = f"the commonest sentence pattern of a user's turn occurs {count} times ({worst!r}; at most {allowed} are allowed)"
    return DataResult("templates", count <= allowed, text)


def check_behavior(behavior: Behavior) -> tuple[DataResult, ...]:
    """All tests of a behavior's data; every one must be ok for the pairs to measure the behavior and nothing else."""
    marked = [pair for pair in behavior.pairs if pair.decision is not None]
    return (
        _size(behavior),
        _matched_length(behavior),
        _giveaway("length alone", "length alone", behavior.pairs, _length_gap),
        _giveaway("words outside the decision", "a bag of words outside the decision phrases", marked, _word_gap),
        _echo(behavior),
        _near_duplicates(behavior),
        _templates(behavior),
    )
