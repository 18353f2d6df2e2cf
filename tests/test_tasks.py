"""fixtures/tasks: schema, sizes, references that pass, wrong ones that fail, vocabulary, nothing twice, nothing from pretraining."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

import pytest

from fixtures import tasks
from fixtures.models.language.exercises import CODE, CODE_ASKS, sum_exercise
from fixtures.models.language.grammar import frames
from fixtures.models.language.vocabulary import unknown_words
from harness.behaviors.checks import words
from harness.data.errors import InputError
from harness.tasks.answers import is_right
from harness.tasks.sandbox import Sandbox, function_name


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as one:
        yield one


def one_liners() -> list[tasks.CodeTask]:
    return [task for task in tasks.code() if task.tier == "one-liner"]


def easy_questions() -> list[tasks.ReasoningTask]:
    """Those in the words of the shipped model's language."""
    return [question for question in tasks.reasoning() if question.tier != "steps"]


def test_sizes() -> None:
    assert Counter(task.tier for task in tasks.code()) == {"one-liner": 100, "short": 35, "real": 36}
    assert Counter(question.tier for question in tasks.reasoning()) == {"sums": 28, "comparison": 28, "reading": 28, "steps": 30}


def test_ids_begin_with_their_tier_and_are_unique() -> None:
    items = [*tasks.code(), *tasks.reasoning()]
    assert all(item.id.startswith(f"{item.tier}-") for item in items)
    assert len({item.id for item in items}) == len(items)


@pytest.mark.parametrize("task", tasks.code(), ids=lambda task: task.id)
def test_the_reference_passes_and_the_prompt_names_it(task: tasks.CodeTask, sandbox: Sandbox) -> None:
    name = function_name(task.solution)
    assert sandbox.run(task.solution, task.tests, name).reason is None
    assert re.search(rf"\b{name}\b", task.prompt)


@pytest.mark.parametrize("result", ["None", "a[0]", "True", "0", "[]", "''"])
def test_no_task_is_solved_without_work(result: str, sandbox: Sandbox) -> None:
    passed = [task.id for task in tasks.code() if sandbox.run(f"def f(*a): return {result}", task.tests, "f").passed]
    assert passed == []


def test_no_reference_solves_another_task(sandbox: Sandbox) -> None:
    """Distinct tasks: of the one-liners, where two could easily be one, and of their neighbors."""
    crossed = [
        (one.id, other.id)
        for one, other in product(one_liners(), repeat=2)
        if one is not other and sandbox.run(one.solution, other.tests, function_name(one.solution)).passed
    ]
    assert crossed == []


def test_prompts_for_the_small_model_stay_in_its_vocabulary() -> None:
    taught = set(words(" ".join(what for _, what, _ in CODE) + " " + " ".join(CODE_ASKS)))
    for task in one_liners():
        prompt = re.sub(rf"\b{function_name(task.solution)}\b", "", task.prompt, count=1)
        assert [word for word in unknown_words(prompt) if word not in taught] == [], task.id
    assert {question.id: found for question in easy_questions() if (found := unknown_words(question.prompt))} == {}


def test_no_one_liner_is_an_exercise_of_pretraining() -> None:
    """Over all kinds, names and numbers that the exercises draw."""
    texts = set()
    for kind, what, _ in CODE:
        for n in range(2, 10):
            names = (kind.replace("_n", f"_{n}"), "f", "g", "run", "solve", "task", "step")
            texts |= {ask.format(f=name, w=what.format(n=n)) for ask in CODE_ASKS for name in names}
    assert [task.id for task in one_liners() if task.prompt in texts] == []


def test_no_sum_or_comparison_is_an_exercise_of_pretraining() -> None:
    """Drawn often enough to see all number questions; stories are recognized by their form."""
    rng = random.Random(0)
    seen = {sum_exercise(rng)[0]["content"] for _ in range(40_000)}
    adjectives = "tall|old|fast|strong|quiet|kind"
    story = re.compile(
        rf"(\w+) is (?P<how>{adjectives})er than (\w+)\. \3 is (?P=how)er than (\w+)\. "
        r"(Who is the (?P=how)est\?|Is \4 (?P=how)er than \1\?)"
    )
    known = [q.id for q in easy_questions() if q.prompt in seen or story.fullmatch(q.prompt)]
    numbers = {"What is 3 plus 4?", "Which is bigger, 12 or 0?", "Take 2 away from 9."}
    assert numbers <= seen
    assert story.fullmatch("Anna is taller than Ben. Ben is taller than Leo. Is Leo taller than Anna?")
    assert known == []


def test_no_story_is_one_of_pretraining() -> None:
    """Those are made of frames: a story with a sentence that no frame makes is none of them."""
    pasts = [re.sub(r"\\{(\w+)\\}", ".+", re.escape(frame.past)) for frame in frames()]
    made = re.compile(rf"\w+ (?:{'|'.join(pasts)})\.")
    readings = [question for question in easy_questions() if question.tier == "reading"]
    story_of = {q.id: [s for s in re.findall(r"[^.?]+[.?]", q.prompt) if s.endswith(".")] for q in readings}
    assert made.fullmatch("Anna painted the hall blue.")
    assert [id for id, story in story_of.items() if all(made.fullmatch(sentence.strip()) for sentence in story)] == []


def test_answers_are_read_as_right_and_other_options_as_wrong() -> None:
    for question in tasks.reasoning():
        assert is_right(f"It is {question.answer}.", question.answer, question.options), question.id
        for option in question.options:
            assert is_right(option, question.answer, question.options) == (option == question.answer), question.id


def test_options_are_balanced_enough_that_the_first_is_no_strategy() -> None:
    with_options = [question for question in tasks.reasoning() if question.options]
    first = sum(question.options[0] == question.answer for question in with_options) / len(with_options)
    assert 0.2 < first < 0.55


def test_no_near_duplicates() -> None:
    """Beyond one-liners, which are alike on purpose and are told apart by their tests."""
    bags = {task.id: set(words(task.prompt)) for task in tasks.code() if task.tier != "one-liner"}
    bags |= {question.id: set(words(question.prompt)) for question in tasks.reasoning() if question.tier in ("reading", "steps")}
    assert [(a, b) for a, b in combinations(bags, 2) if len(bags[a] & bags[b]) >= 0.6 * len(bags[a] | bags[b])] == []
    prompts = [item.prompt for item in (*tasks.code(), *tasks.reasoning())]
    assert len(set(prompts)) == len(prompts)


GOOD_TASK = '{"id": "a", "tier": "short", "prompt": "p", "tests": ["f(1)", "f(2)", "f(3)", "f(4)"], "solution": "s"}'
GOOD_QUESTION = '{"id": "a", "tier": "sums", "prompt": "p", "answer": "3"}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (GOOD_TASK, r"line 2: id 'a' stands on an earlier line too; allowed: an id of its own"),
        (GOOD_TASK.replace('"a"', '"b"').replace('"f(4)"', '"4"'), r"line 2: the test '4' never calls f; allowed: expressions about f"),
        (GOOD_TASK.replace("short", "long"), r"line 2: tier is 'long'; allowed: 'one-liner', 'short' or 'real'"),
        (GOOD_TASK.replace('"f(1)", ', ""), r"line 2: tests is empty|line 2: tests"),
        (GOOD_TASK.replace('"solution": "s"', '"answer": "s"'), r"line 2: key 'solution' is missing|line 2: unknown key 'answer'"),
        ("nonsense", r"line 2: not JSON"),
    ],
)
def test_a_bad_code_task_is_refused_by_line(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "code.jsonl"
    file.write_text(f"{GOOD_TASK}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=said) as refusal:
        tasks.read_code(file)
    assert str(refusal.value).startswith(str(file))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (GOOD_QUESTION, r"line 2: id 'a' stands on an earlier line too"),
        (
            GOOD_QUESTION.replace('"a"', '"b"').replace('"3"', '"three"'),
            r"line 2: answer is 'three' and there are no options; allowed: a number",
        ),
        (
            GOOD_QUESTION.replace('"a"', '"b"').replace('"3"}', '"x", "options": ["y", "z"]}'),
            r"line 2: answer is 'x'; allowed: one of the options, y, z",
        ),
        (GOOD_QUESTION.replace("sums", "riddles"), r"line 2: tier is 'riddles'; allowed: 'sums'"),
    ],
)
def test_a_bad_question_is_refused_by_line(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "reasoning.jsonl"
    file.write_text(f"{GOOD_QUESTION}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        tasks.read_questions(file)
