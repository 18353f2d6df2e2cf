"""fixtures/corpora: schema, sizes, vocabulary, lengths that match the behaviors, no text twice."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from fixtures import corpora
from fixtures.models.language.vocabulary import unknown_words
from harness.behaviors.checks import check_behavior, stems, words
from harness.behaviors.files import load_behavior
from harness.behaviors.rows import read_rows
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Message
from harness.data.errors import InputError


def said(messages: tuple[Message, ...]) -> str:
    return " ".join(message.content for message in messages)


def everything() -> dict[str, str]:
    """Id to all text of it, over every corpus."""
    texts = {item.id: f"{said(item.messages)} {item.completion}" for item in corpora.neutral()}
    texts |= {item.id: said(item.messages) for item in (*corpora.general(), *corpora.reports())}
    texts |= {item.id: item.text for item in corpora.prose()}
    pairs = (*corpora.directions_not_to_take(), *corpora.sentiment().pairs)
    return texts | {pair.id: f"{said(pair.messages)} {pair.positive} {pair.negative}" for pair in pairs}


def test_sizes() -> None:
    assert len(corpora.neutral()) == 130
    assert (len(corpora.general()), len(corpora.reports())) == (60, 128)
    assert Counter(pair.difficulty for pair in corpora.directions_not_to_take()) == {"wrong": 24, "harmful": 24}
    assert set(Counter(document.domain for document in corpora.prose()).values()) == {14}
    assert len({document.domain for document in corpora.prose()}) == 12


def test_ids_are_unique_over_all_corpora() -> None:
    assert len(everything()) == 130 + 60 + 128 + 48 + 60 + 168


def test_every_word_is_in_the_vocabulary() -> None:
    assert unknown_words(" ".join(everything().values())) == []


def test_conversations_end_with_the_user() -> None:
    items = (*corpora.neutral(), *corpora.general(), *corpora.reports(), *corpora.directions_not_to_take())
    assert {item.messages[-1].role for item in items} == {"user"}


def test_sentiment_is_split_by_domain_with_twenty_each() -> None:
    behavior = corpora.sentiment()
    assert [len(behavior.split(split)) for split in ("train", "dev", "test")] == [20, 20, 20]


def test_sentiment_passes_the_checks_that_apply_to_it() -> None:
    """Not the echo: a cheerful remark about the snow need not say snow twice."""
    assert [finding.text for finding in check_behavior(corpora.sentiment()) if not finding.ok and finding.name != "echo"] == []


def test_directions_not_to_take_match_in_length() -> None:
    assert all(len(words(pair.positive)) == len(words(pair.negative)) for pair in corpora.directions_not_to_take())


@pytest.mark.parametrize("name", ["listening", "not-rushing"])
def test_fifty_neutral_completions_match_fifty_train_pairs_in_length(name: str) -> None:
    """Longest first, none used twice: on average within a word and a half."""
    wanted = sorted((len(words(pair.positive)) for pair in load_behavior(resolve_behavior(name)).split("train")[:50]), reverse=True)
    free = sorted((len(words(item.completion)) for item in corpora.neutral()), reverse=True)
    gaps = []
    for length in wanted:
        nearest = min(free, key=lambda other: abs(other - length))
        free.remove(nearest)
        gaps.append(length - nearest)
    assert abs(sum(gaps) / len(gaps)) <= 1.5


def test_no_near_duplicates_within_or_across_corpora_and_behaviors() -> None:
    texts = dict(everything())
    for name in ("listening", "not-rushing"):
        texts |= {pair.id: f"{said(pair.messages)} {pair.positive} {pair.negative}" for pair in load_behavior(resolve_behavior(name)).pairs}
    bags = {name: stems(text) for name, text in texts.items()}
    near = [(a, b) for a, b in combinations(bags, 2) if len(bags[a] & bags[b]) >= 0.6 * len(bags[a] | bags[b])]
    about = {report.id: report.about for report in corpora.reports()}
    assert [pair for pair in near if about.get(pair[0]) != pair[1]] == []  # a report is meant to be near the pair it is about


def test_reports_share_words_turns_and_length_with_what_they_are_about() -> None:
    pairs = {pair.id: pair for name in ("listening", "not-rushing") for pair in load_behavior(resolve_behavior(name)).split("test")}
    shares = []
    for report in corpora.reports():
        asked = pairs[report.about or ""].messages
        assert [message.role for message in report.messages] == [message.role for message in asked]
        assert abs(len(words(report.messages[-1].content)) - len(words(asked[-1].content))) <= 4, report.id
        assert "?" not in report.messages[-1].content and "please" not in report.messages[-1].content.lower(), report.id
        direction = stems(asked[-1].content)
        shares.append(len(direction & stems(report.messages[-1].content)) / len(direction))
    assert sum(shares) / len(shares) >= 0.6


def test_a_bad_line_is_refused_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "prose.jsonl").write_text('{"id": "a", "domain": "b", "text": "c"}\n{"id": "a", "text": "c"}\n')
    with pytest.raises(InputError, match=r"prose.jsonl, line 2: key 'domain' is missing; allowed: id, domain, text"):
        read_rows(tmp_path / "prose.jsonl", corpora._DocumentRow)
