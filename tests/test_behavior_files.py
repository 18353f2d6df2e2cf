"""harness/behaviors/files.py and behavior_checks.py: what is read, what is refused and in which words, what is noticed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.behaviors.checks import DataResult, check_behavior, mask
from harness.behaviors.files import load_behavior
from harness.behaviors.skeleton import write_skeleton
from harness.data.behavior import Behavior, Decision, Message, Pair
from harness.data.errors import InputError

Row = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small valid behavior to break."""
    write_skeleton(tmp_path / "owning-up", "owning-up")
    return tmp_path / "owning-up"


def rewrite(folder: Path, change: Callable[[list[Row]], object]) -> None:
    file = folder / "pairs.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    change(rows)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def message_of(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_behavior(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_skeleton_is_valid_and_commented(folder: Path) -> None:
    behavior = load_behavior(folder)
    assert behavior.name == "owning-up"
    assert {pair.split for pair in behavior.pairs} == {"train", "dev", "test"}
    assert "#   domain" in (folder / "behavior.toml").read_text()


def test_skeleton_only_lacks_size(folder: Path) -> None:
    assert [finding.name for finding in check_behavior(load_behavior(folder)) if not finding.ok] == ["size"]


def test_skeleton_refuses_a_full_folder(folder: Path) -> None:
    with pytest.raises(InputError, match="exists already; allowed: a new or empty folder"):
        write_skeleton(folder, "owning-up")


def test_skeleton_refuses_a_name_that_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name 'Owning Up'; allowed: lower-case words"):
        write_skeleton(tmp_path / "new", "Owning Up")


def test_split_keeps_file_order(folder: Path) -> None:
    assert [pair.id for pair in load_behavior(folder).split("train")] == ["owning-up-kitchen-01", "owning-up-kitchen-02"]


def test_digest_does_not_depend_on_place_or_spacing(folder: Path, tmp_path: Path) -> None:
    before = load_behavior(folder).digest
    folder.rename(tmp_path / "moved")
    lines = (tmp_path / "moved" / "pairs.jsonl").read_text().replace('", "', '" ,   "')
    (tmp_path / "moved" / "pairs.jsonl").write_text(lines + "\n\n")
    assert load_behavior(tmp_path / "moved").digest == before


def test_digest_depends_on_every_word(folder: Path) -> None:
    before = load_behavior(folder).digest
    rewrite(folder, lambda rows: rows[3].update(difficulty="hard"))
    assert load_behavior(folder).digest != before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda rows: rows[1].update(id=rows[0]["id"]),
            "line 2: id 'owning-up-kitchen-01' stands on line 1 already; allowed: each id once",
        ),
        (
            lambda rows: rows[3].update(domain="kitchen"),
            "line 4: domain 'kitchen' is in 'test' here and in 'train' on line 1; allowed: one",
        ),
        (
            lambda rows: rows[3].update(messages=rows[0]["messages"]),
            "line 4: the messages of 'owning-up-letters-04' stand on line 1 already",
        ),
        (lambda rows: rows.pop(), "no pair has split 'test'; allowed: at least one pair in each of train, dev, test"),
        (lambda rows: rows.clear(), "no pair has split 'train'"),
        (lambda rows: rows[0].update(note="x"), "line 1: unknown key 'note'; allowed: id, split, domain, messages, positive, negative"),
        (lambda rows: rows[0]["messages"][0].update(name="x"), "unknown key 'messages.0.name'; allowed: role, content"),
        (lambda rows: rows[0]["decision"].update(neutral=[]), "unknown key 'decision.neutral'; allowed: positive, negative"),
        (lambda rows: rows[0].pop("negative"), "line 1: key 'negative' is missing; allowed: id, split"),
        (lambda rows: rows[0].update(split="valid"), "line 1: split is 'valid'; allowed: 'train', 'dev' or 'test'"),
        (lambda rows: rows[0].update(positive="  "), "line 1: positive is empty; allowed: at least one character"),
        (lambda rows: rows[0].update(positive=7), "line 1: positive is 7; allowed: input should be a valid string"),
        (lambda rows: rows[0].update(domain="The Kitchen"), "line 1: domain is 'The Kitchen'; allowed: lower-case words"),
        (lambda rows: rows[0].update(negative=rows[0]["positive"], decision=None), "line 1: positive and negative are equal; allowed: two"),
        (lambda rows: rows[0].update(negative=rows[0]["positive"] + " Or not.", decision=None), "line 1: one completion is the beginning"),
        (
            lambda rows: rows[0]["messages"].append({"role": "assistant", "content": "Well."}),
            "line 1: the last message is from 'assistant'; allowed: 'user'",
        ),
        (
            lambda rows: rows[0]["messages"].append({"role": "user", "content": "Well?"}),
            "line 1: 'user' follows 'user'; allowed: an optional system message, then user and assistant in turn",
        ),
        (
            lambda rows: rows[0]["decision"].update(positive=["never"]),
            "line 1: decision phrase 'never' occurs 0 times in positive; allowed: exactly once",
        ),
        (lambda rows: rows[0]["decision"].update(negative=["t"]), "times in negative; allowed: exactly once"),
    ],
)
def test_bad_pairs_are_refused_by_line(folder: Path, change: Callable[[list[Row]], object], words: str) -> None:
    rewrite(folder, change)
    message = message_of(folder)
    assert str(folder / "pairs.jsonl") in message
    assert words in message


def test_broken_json_is_refused_by_line(folder: Path) -> None:
    with (folder / "pairs.jsonl").open("a") as file:
        file.write("{'id': 1}\n")
    assert "pairs.jsonl, line 5: not JSON" in message_of(folder)


def test_a_line_that_is_no_object_is_refused(folder: Path) -> None:
    with (folder / "pairs.jsonl").open("a") as file:
        file.write("[1, 2]\n")
    assert "pairs.jsonl, line 5: not a JSON object; allowed: one JSON object a line" in message_of(folder)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('mood = "gloomy"\n', "line 1: unknown key 'mood'; allowed: name, description, memory_node"),
        ("name = \n", "line 1: not TOML"),
    ],
)
def test_bad_head_is_refused_by_line(folder: Path, line: str, words: str) -> None:
    file = folder / "behavior.toml"
    file.write_text(line + file.read_text())
    assert words in message_of(folder)


def test_missing_key_of_the_head_is_named(folder: Path) -> None:
    file = folder / "behavior.toml"
    file.write_text('name = "x"\ndescription = "y"\n')
    assert "key 'memory_node' is missing; allowed: name, description, memory_node" in message_of(folder)


def test_missing_files_are_named(tmp_path: Path) -> None:
    assert "no such folder; allowed: a folder with behavior.toml and pairs.jsonl" in message_of(tmp_path / "nowhere")
    assert "behavior.toml: no such file" in message_of(tmp_path)
    (tmp_path / "behavior.toml").write_text('name = "x"\ndescription = "y"\nmemory_node = "z"\n')
    assert "pairs.jsonl: no such file" in message_of(tmp_path)


LETTERS = random.Random(3)
NOUNS = ["".join(LETTERS.choice(letters) for letters in ("bdfgklmnprstvz", "aeiou") * 3) for _ in range(300)]


def planted(change: Callable[[Pair, random.Random], Pair] | None = None, n: int = 120) -> Behavior:
    """Clean pairs of made-up nouns, twelve domains; `change` plants a fault in each."""
    rng = random.Random(5)
    pairs = []
    for i in range(n):
        one, two, three, four, five = rng.sample(NOUNS, 5)
        asked = " ".join(f"{rng.choice(('the', 'a', 'my', 'our', 'this'))} {noun}" for noun in (*rng.sample(NOUNS, 5), one, two)) + "."
        tails = rng.sample([three, four], 2)
        pair = Pair(
            id=f"pair-{i:03}",
            split=("train", "train", "dev", "test")[i % 12 % 4],
            domain=f"domain-{i % 12}",
            messages=(Message("user", asked),),
            positive=f"The {one} and {two}, I will, with {tails[0]} {five}.",
            negative=f"The {one} and {two}, or not, with {tails[1]} {five}.",
            decision=Decision(("I will",), ("or not",)),
        )
        pairs.append(change(pair, rng) if change else pair)
    return Behavior("planted", "Do it.", "pattern-planted", tuple(pairs), "0", Path("planted"))


def finding(behavior: Behavior, name: str) -> DataResult:
    return next(found for found in check_behavior(behavior) if found.name == name)


def replaced(pair: Pair, **changes: Any) -> Pair:
    return Pair(**{**{name: getattr(pair, name) for name in pair.__dataclass_fields__}, **changes})


def test_clean_pairs_pass_every_check() -> None:
    assert [found for found in check_behavior(planted()) if not found.ok] == []


def test_a_giveaway_word_in_a_third_of_the_pairs_is_found() -> None:
    def plant(pair: Pair, rng: random.Random) -> Pair:
        return replaced(pair, positive=pair.positive.replace("with", "soon")) if rng.random() < 0.35 else pair

    found = finding(planted(plant), "words outside the decision")
    assert not found.ok
    assert "at least 0.01 is allowed" in found.text


def test_a_giveaway_word_inside_the_decision_is_its_business() -> None:
    def plant(pair: Pair, _: random.Random) -> Pair:
        return replaced(pair, positive=pair.positive.replace("I will", "I shall"), decision=Decision(("I shall",), ("or not",)))

    assert finding(planted(plant), "words outside the decision").ok


def test_unmarked_decisions_are_not_measured_rather_than_passed_over() -> None:
    found = finding(planted(lambda pair, _: replaced(pair, decision=None)), "words outside the decision")
    assert found.text.startswith("not measured: 0 pairs")


def test_longer_positives_are_found() -> None:
    behavior = planted(lambda pair, rng: replaced(pair, positive=pair.positive + " Yes." * (rng.random() < 0.6)))
    assert not finding(behavior, "matched length").ok
    assert not finding(behavior, "length alone").ok


def test_lengths_that_differ_both_ways_are_no_giveaway() -> None:
    def plant(pair: Pair, rng: random.Random) -> Pair:
        side = rng.choice(("positive", "negative"))
        return replaced(pair, **{side: getattr(pair, side) + " Yes."})

    assert finding(planted(plant), "length alone").ok


def test_a_completion_without_echo_is_named() -> None:
    found = finding(planted(lambda pair, _: replaced(pair, negative="Or not, at all.") if pair.id == "pair-007" else pair), "echo")
    assert not found.ok
    assert "1 of 240" in found.text
    assert found.text.endswith(": pair-007")


def test_a_near_duplicate_across_splits_is_named() -> None:
    behavior = planted()
    copy = replaced(
        behavior.pairs[0],
        id="copy",
        split="test",
        domain="domain-3",
        messages=(Message("user", behavior.pairs[0].messages[0].content + " Do."),),
    )
    found = finding(Behavior("planted", "", "", (*behavior.pairs, copy), "0", Path()), "near-duplicates")
    assert "1 near-duplicate scenarios among 121: pair-000 and copy" in found.text


def test_a_stamped_sentence_is_found() -> None:
    def plant(pair: Pair, _: random.Random) -> Pair:
        one, two = pair.messages[0].content[:-1].split()[-3::2]
        return replaced(pair, messages=(Message("user", f"Please put the {one} on the {two}."),)) if int(pair.id[-2:]) < 6 else pair

    found = finding(planted(plant), "templates")
    assert not found.ok
    assert "'please _ the _ on the _ .'" in found.text


def test_mask_keeps_the_sentence_and_hides_its_matter() -> None:
    assert mask("Please hang the two blue towels by the sink.") == mask("Please lay the old rugs by the door.")
