"""Both agents as programs of the user's. docs/agents.md says what such a program reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from harness.agents.agent import AgentError, Conversation, Flag
from harness.agents.json_lines import AnswerRow, CommandFailure, JsonLinesCommand
from harness.data.arrays import Floats
from harness.memory.graph import MemoryGraph


class _Surfaced(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    node: str
    score: float = Field(ge=0)


class _SurfacedRow(BaseModel):
    model_config = ConfigDict(extra="forbid")
    nodes: list[_Surfaced]


class _FlagRow(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    flagged: bool
    pattern: str | None = None
    span: str | None = None
    confidence: float = Field(ge=0, le=1)


def _request(conversation: Conversation) -> dict[str, Any]:
    return {"messages": [asdict(message) for message in conversation.messages], "reply": conversation.reply}


def _ask(agent: str, command: JsonLinesCommand, requests: Sequence[Mapping[str, Any]], row: type[AnswerRow]) -> list[AnswerRow]:
    try:
        return command.ask(requests, row)
    except CommandFailure as failure:
        raise AgentError(f"{agent}: {failure}") from None


@dataclass(frozen=True)
class CommandSurface:
    """surface-observe as a program. Its first request holds the graph's nodes and links, each further one a conversation."""

    command: JsonLinesCommand

    @property
    def name(self) -> str:
        return f"command {self.command.command}"

    def surface(self, graph: MemoryGraph, conversations: Sequence[Conversation]) -> Floats:
        """Activation [conversations, nodes]; nodes that the program does not name have 0. AgentError also for a node not in the graph."""
        memory = {"nodes": [asdict(node) for node in graph.nodes], "links": [asdict(link) for link in graph.links]}
        rows = _ask("surface-observe", self.command, [{"memory": memory}, *map(_request, conversations)], _SurfacedRow)[1:]
        scores = np.zeros((len(conversations), len(graph.nodes)))
        for i, row in enumerate(rows):
            for surfaced in row.nodes:
                if surfaced.node not in graph.index:
                    raise AgentError(f"surface-observe: {self.command.command} surfaced {surfaced.node}, which is no node of the graph")
                scores[i, graph.index[surfaced.node]] = surfaced.score
        return scores


@dataclass(frozen=True)
class CommandSignal:
    """training-signal as a program; each request is a conversation."""

    command: JsonLinesCommand

    @property
    def name(self) -> str:
        return f"command {self.command.command}"

    def flag(self, conversations: Sequence[Conversation]) -> list[Flag]:
        """One flag for each conversation, in the same order. AgentError also for a span that the reply does not contain."""
        rows = _ask("training-signal", self.command, [_request(conversation) for conversation in conversations], _FlagRow)
        for conversation, row in zip(conversations, rows, strict=True):
            if row.span is not None and row.span not in conversation.reply:
                raise AgentError(f"training-signal: {self.command.command} names a span that the reply does not hold: {row.span[:60]!r}")
        return [Flag(row.flagged, row.pattern, row.span, row.confidence) for row in rows]
