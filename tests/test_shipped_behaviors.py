"""fixtures/behaviors: the shipped pairs are fair instruments, inside the vocabulary, and found by name."""

from __future__ import annotations

from collections import Counter

import pytest

from fixtures.models.language.vocabulary import unknown_words
from harness.behaviors.checks import check_behavior, words
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import expand_behaviors, resolve_behavior, shipped_behaviors
from harness.data.behavior import Behavior
from harness.data.errors import InputError

SIZES = {
    "listening": {"train": (126, 18), "dev": (70, 10), "test": (224, 32)},
    "not-rushing": {"train": (84, 12), "dev": (42, 6), "test": (126, 18)},
}


@pytest.fixture(scope="module", params=sorted(SIZES))
def shipped(request: pytest.FixtureRequest) -> Behavior:
    return load_behavior(resolve_behavior(request.param))


def test_exactly_these_are_shipped() -> None:
    assert list(shipped_behaviors()) == sorted(SIZES)


def test_all_is_every_shipped_one_once() -> None:
    assert expand_behaviors(["not-rushing", "all"]) == ("not-rushing", "listening")


def test_unknown_name_lists_the_allowed_ones() -> None:
    with pytest.raises(InputError, match="--behavior singing: no such behavior; allowed: listening, not-rushing, all, or a folder"):
        resolve_behavior("singing")


def test_a_folder_is_taken_as_it_is(tmp_path: pytest.TempPathFactory) -> None:
    assert resolve_behavior(str(tmp_path)) == tmp_path


def test_pairs_and_domains_per_split(shipped: Behavior) -> None:
    for split, (pairs, domains) in SIZES[shipped.name].items():
        found = shipped.split(split)  # type: ignore[arg-type]
        assert (len(found), len({pair.domain for pair in found})) == (pairs, domains)


def test_first_pairs_of_a_split_cover_its_domains(shipped: Behavior) -> None:
    """Whoever takes the first n examples takes them from as many domains as there are."""
    train = shipped.split("train")
    domains = {pair.domain for pair in train}
    assert {pair.domain for pair in train[: len(domains)]} == domains


def test_every_check_passes(shipped: Behavior) -> None:
    assert [finding.text for finding in check_behavior(shipped) if not finding.ok] == []


def test_every_check_is_measured(shipped: Behavior) -> None:
    assert [finding.text for finding in check_behavior(shipped) if "not measured" in finding.text] == []


def test_every_word_is_in_the_vocabulary(shipped: Behavior) -> None:
    texts = [shipped.description]
    for pair in shipped.pairs:
        texts += [pair.positive, pair.negative, *(message.content for message in pair.messages)]
    assert unknown_words(" ".join(texts)) == []


def test_completions_have_equal_words_and_question_marks(shipped: Behavior) -> None:
    for pair in shipped.pairs:
        assert len(words(pair.positive)) == len(words(pair.negative)), pair.id
        assert pair.positive.count("?") == pair.negative.count("?"), pair.id


def test_about_a_third_has_earlier_turns(shipped: Behavior) -> None:
    for split in ("train", "dev", "test"):
        pairs = shipped.split(split)  # type: ignore[arg-type]
        assert 0.2 <= sum(len(pair.messages) > 1 for pair in pairs) / len(pairs) <= 0.4


def test_no_decision_wording_dominates(shipped: Behavior) -> None:
    for side in ("positive", "negative"):
        counts = Counter(getattr(pair.decision, side) for pair in shipped.pairs)
        assert counts.most_common(1)[0][1] <= 0.06 * len(shipped.pairs)
