"""Conversations as tokens: a subject's tokenizer, the prompt of a completion, and where in it each span of the conversation lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.subjects.files import read_json


@dataclass(frozen=True)
class Prompt:
    """Token ids up to and including the generation prompt; `spans` are half-open token ranges.

    content: the last user turn's text. earlier: texts of the turns before it. Every other token was added by the chat template.
    """

    tokens: tuple[int, ...]
    content: tuple[int, int]
    earlier: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Reply:
    """A reply as tokens."""

    tokens: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    """Half-open range of characters that each token stands for."""


def tokenizer_of(subject: Subject) -> Any:
    """The base's tokenizer, with a padding token; loaded once a process for the same content."""
    return _tokenizer(subject.base, subject.base_digest, subject.trust_remote_code)


@lru_cache(maxsize=8)
def _tokenizer(folder: Path, digest: str, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer  # here: it loads torch

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def end_tokens(subject: Subject) -> tuple[int, ...]:
    """Tokens that end a reply, in order: the tokenizer's, and those that the model's own settings name."""
    return tuple(sorted({tokenizer_of(subject).eos_token_id, *named_ends(subject)}))


def named_ends(subject: Subject) -> tuple[int, ...]:
    """Tokens that end a reply by the model's own settings, in order; `Subject.digest` does not cover generation_config.json."""
    file = subject.base / "generation_config.json"
    config = read_json(file if file.is_file() else subject.base / "config.json")
    own = config.get("eos_token_id", config.get("text_config", {}).get("eos_token_id"))
    return tuple(sorted(own)) if isinstance(own, list) else () if own is None else (own,)


def prompt_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """The rendered conversation, ready for the assistant's reply."""
    turns = [{"role": m.role, "content": m.content} for m in messages]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def encode_prompt(tokenizer: Any, messages: Sequence[Message]) -> Prompt:
    """Tokenize a conversation and find its turns. Raises ValueError if the template alters a turn's text."""
    text = prompt_text(tokenizer, messages)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans, cursor = [], 0
    for message, before in zip(messages, _before_turns(tokenizer, messages), strict=True):
        content = message.content.strip()
        start = cursor + len(before) if text.startswith(before + content, cursor) else text.find(content, cursor)
        if start < 0:
            raise ValueError(f"the chat template does not keep this turn as written: {message.content[:60]!r}")
        cursor = start + len(content)
        inside = [i for i, (low, high) in enumerate(encoded["offset_mapping"]) if high > start and low < cursor and high > low]
        spans.append((inside[0], inside[-1] + 1))
    return Prompt(tuple(encoded["input_ids"]), spans[-1], tuple(spans[:-1]))


def _before_turns(tokenizer: Any, messages: Sequence[Message]) -> list[str]:
    """What the template writes before each turn: a short turn ("user") may stand in the template's own words as well."""
    marks = [f"\ue000{i}\ue000" for i in range(len(messages))]
    rest = prompt_text(tokenizer, [Message(message.role, mark) for message, mark in zip(messages, marks, strict=True)])
    parts = []
    for mark in marks:
        before, found, after = rest.partition(mark)
        parts.append(before if found else "")
        rest = after if found else rest
    return parts


def encode_reply(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Tokens of a reply, without its end mark."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_with_offsets(tokenizer: Any, text: str) -> Reply:
    """A reply's tokens and where they stand in it, without its end mark."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return Reply(tuple(encoded["input_ids"]), tuple((int(start), int(end)) for start, end in encoded["offset_mapping"]))
