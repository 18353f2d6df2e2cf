"""Sequences as every engine runs them: tokens, how many of them are given, and where in them the user's content ends.

An engine that scores builds its rows here, so that the same conversation is the same tokens in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.chat import Prompt, encode_prompt, encode_reply, encode_with_offsets, tokenizer_of
from harness.engines.protocol import Completion


@dataclass(frozen=True)
class Row:
    """One sequence to be run."""

    tokens: tuple[int, ...]
    """The prompt's, then the reply's; of a plain document all of them."""
    given: int
    """How many of the tokens are the prompt's; those after them are scored."""
    offsets: tuple[tuple[int, int], ...] = ()
    """Half-open range of the reply's characters for each scored token; empty for plain documents."""
    content_end: int = 0
    """Index of the last token of the user's content."""


def rows_of(subject: Subject, completions: Sequence[Completion]) -> list[Row]:
    """Every completion as a row. ValueError where the chat template alters a turn's text."""
    tokenizer = tokenizer_of(subject)
    prompts: dict[tuple[Message, ...], Prompt] = {}
    rows = []
    for completion in completions:
        if completion.messages not in prompts:
            prompts[completion.messages] = encode_prompt(tokenizer, completion.messages)
        prompt, reply = prompts[completion.messages], encode_with_offsets(tokenizer, completion.text)
        rows.append(Row(prompt.tokens + reply.tokens, len(prompt.tokens), reply.offsets, prompt.content[1] - 1))
    return rows


def rows_of_texts(subject: Subject, texts: Sequence[str]) -> list[Row]:
    """Every plain document as a row: its first token is given."""
    tokenizer = tokenizer_of(subject)
    return [Row(encode_reply(tokenizer, text), 1) for text in texts]


def refuse_unscored(rows: Sequence[Row]) -> None:
    """ValueError where a row has no token after those that are given."""
    if any(len(row.tokens) <= row.given for row in rows):
        raise ValueError("a completion or text has no token to be scored")
