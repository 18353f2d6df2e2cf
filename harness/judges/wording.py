"""A reply as its judge reads it: words without contractions, stems, masks, clauses, classes of words. English; nothing is learned here."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from harness.behaviors.checks import FUNCTION_WORDS
from harness.data.behavior import Message, Pair

TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+|[?:;,.!]")
SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
START, END, ECHO, OTHER = "^", "$", "<echo>", "<other>"
STEM = 5
"""Leading letters by which a word is recognized in all its inflections."""

_WHOLE = {"won't": ("will", "not"), "can't": ("can", "not"), "cannot": ("can", "not"), "shan't": ("shall", "not")}
_ENDINGS = {"ll": "will", "m": "am", "re": "are", "ve": "have", "d": "would"}
NEGATIONS = frozenset(("not", "no", "never", "nothing", "nobody", "none", "neither", "nor", "without"))
_CLASSES = {
    "determiner": "a an the that this these those my your his her its our their every each any some no which what",
    "preposition": "of in on at by for from with into under over between through behind beside about after before until without near along "
    "across inside as than like off up down out around since",
    "to": "to",
    "and": "and or but nor",
    "conjunction": "if when while because so whether where how why who once",
    "modal": "will shall can could would should must may might",
    "be": "am is are was were be been being",
    "have": "have has had",
    "do": "do does did",
    "subject": "i he she we they",
    "object": "me him us them",
    "pronoun": "it you there here everyone nobody nothing somebody anyone",
    "not": "not never",
    "adverb": "now then too very only just also again still soon first maybe perhaps rather instead already more most all both",
}
_CLASS_OF: Mapping[str, str] = {word: name for name, listed in _CLASSES.items() for word in listed.split()}
_SUFFIXES = ("ing", "ed", "ly", "s")
AUXILIARIES = frozenset(word for name in ("modal", "be", "have", "do") for word in _CLASSES[name].split()) - {"be", "been", "being"}
CLOSED = FUNCTION_WORDS | NEGATIONS | AUXILIARIES
"""Words that say nothing of the topic."""


@lru_cache(maxsize=8192)
def tokens(text: str) -> tuple[str, ...]:
    """Words, numbers and punctuation marks, lower case, with contractions taken apart ("won't": will, not) and without possessives."""
    out: list[str] = []
    for found in TOKEN.findall(text):
        token = found.lower().removesuffix("'s")
        stem, _, ending = token.partition("'")
        if token in _WHOLE:
            out += _WHOLE[token]
        elif token.endswith("n't") and len(token) > 3:
            out += [token[:-3], "not"]
        else:
            out += [stem, _ENDINGS[ending]] if ending in _ENDINGS else [token]
    return tuple(out)


def is_word(token: str) -> bool:
    """Whether a token is a word or a number, not a punctuation mark."""
    return token[0].isalnum()


def asked(messages: Sequence[Message]) -> set[str]:
    """Stems of the words in the conversation."""
    return {token[:STEM] for message in messages for token in tokens(message.content)}


def takes_up(token: str, said: set[str]) -> bool:
    """Whether a token is a content word that the conversation, with the stems `said`, contains."""
    return is_word(token) and token not in CLOSED and token[:STEM] in said


def clauses(reply: Sequence[str]) -> list[list[str]]:
    """The words of each stretch between punctuation marks; `reply` are its tokens."""
    found: list[list[str]] = [[]]
    for token in reply:
        if is_word(token):
            found[-1].append(token)
        elif found[-1]:
            found.append([])
    return [clause for clause in found if clause]


def shared_stems(pairs: Sequence[Pair], domains: int) -> frozenset[str]:
    """Stems that completions of at least `domains` domains use where the user had not said them."""
    seen: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        said = asked(pair.messages)
        for token in tokens(pair.positive) + tokens(pair.negative):
            if is_word(token) and token[:STEM] not in said:
                seen[token[:STEM]].add(pair.domain)
    return frozenset(stem for stem, where in seen.items() if len(where) >= domains)


def masked(messages: Sequence[Message], reply: str, shared: frozenset[str]) -> list[str]:
    """The reply as wording: shared words (as stems) and punctuation stay, a run of other words becomes one mask."""
    said = asked(messages)
    out = [START]
    for token in tokens(reply):
        stem = token[:STEM]
        shown = token if not is_word(token) else stem if stem in shared else ECHO if stem in said else OTHER
        if shown != out[-1] or shown not in (ECHO, OTHER):
            out.append(shown)
    return [*out, END]


def grams(sequence: Sequence[str], sizes: Sequence[int], prefix: str = "") -> dict[str, float]:
    """1.0 for every n-gram of these sizes that contains a word or a question mark."""
    return {
        prefix + " ".join(gram): 1.0
        for size in sizes
        for gram in (sequence[start : start + size] for start in range(len(sequence) - size + 1))
        if any(is_word(token) or token == "?" for token in gram)
    }


def word_class(token: str) -> str:
    """The class of a function word, the suffix of another word, or the punctuation mark itself (a full stop where it ends a sentence)."""
    if not is_word(token):
        return "." if token in "!." else ":" if token in ":;" else token
    if token in _CLASS_OF:
        return _CLASS_OF[token]
    if token.isdigit():
        return "number"
    return next((f"-{suffix}" for suffix in _SUFFIXES if token.endswith(suffix) and len(token) > len(suffix) + 2), "word")


def word_classes(reply: Sequence[str]) -> list[str]:
    """The class of every token, between START and END."""
    return [START, *(word_class(token) for token in reply), END]


def function_words(reply: Sequence[str]) -> list[str]:
    """Function words and punctuation as they are, other words as their class, between START and END."""
    return [START, *(token if token in CLOSED or not is_word(token) else word_class(token) for token in reply), END]


def pieces(sequence: Sequence[str], longest: int) -> Iterator[Sequence[str]]:
    """The sequence in consecutive parts of nearly equal length, at most `longest` each."""
    count = -(-len(sequence) // longest)
    for part in range(count):
        yield sequence[part * len(sequence) // count : (part + 1) * len(sequence) // count]


def repeats(messages: Sequence[Message], reply: str) -> bool:
    """Whether the reply only says again what the user said."""
    return " ".join(tokens(reply)) in " ".join(tokens(messages[-1].content))


def is_gibberish(reply: str) -> bool:
    """Whether the reply has no words, or says the same few words over and over."""
    words = [token for token in tokens(reply) if is_word(token)]
    if not any(len(word) > 1 for word in words):
        return True
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    return len(words) >= 6 and (len(set(words)) < 0.4 * len(words) or max(triples.values()) >= 3)
