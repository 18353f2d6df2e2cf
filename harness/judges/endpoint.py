"""A judge behind an OpenAI-compatible endpoint, such as a vLLM server: `--judge http://localhost:8000/v1`.

The model is shown the behavior's description, four labeled replies from train pairs and the reply to be labeled; it answers with one
letter, decoded greedily. Like the embedded judge it is used only after preflight.judge has measured it on test pairs and their contrasts.
An endpoint that cannot be reached, fails, or lists no model is a JudgeError of one line; an answer that is none of the letters counts as
"neither".
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.data.behavior import Behavior, Message, Pair
from harness.data.text import one_line
from harness.judges.judge import JudgeError, Label
from harness.store import Store, digest_of

PATIENCE = 60.0
"""Seconds in which the endpoint must answer one request."""
AT_ONCE = 8
"""Requests that are sent at the same time."""
LETTERS: dict[str, Label] = {"A": "positive", "B": "negative", "C": "neither"}
"""The answers that the prompt asks for."""
KEY = "OPENAI_API_KEY"
"""Environment variable that holds the endpoint's key, where it needs one."""


@dataclass(frozen=True)
class EndpointJudge:
    """Labels replies by asking the first model that the endpoint serves."""

    url: str
    """Address of the endpoint, ending with /v1."""
    behavior: Behavior
    store: Store
    """Keeps the labels."""

    @property
    def name(self) -> str:
        return f"{self.model} at {self.url}"

    @property
    def digest(self) -> str:
        """Of the model's id and of what it is asked. The address is left out: anchors tell whether the same id is still the same judge."""
        return digest_of(["endpoint", self.model, self._prompt((), "")])

    @cached_property
    def model(self) -> str:
        """Id of the first model that the endpoint lists. JudgeError where it lists none or cannot be reached."""
        request = urllib.request.Request(self.url.rstrip("/") + "/models", headers={"Authorization": f"Bearer {os.environ.get(KEY, '-')}"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                models = json.loads(answer.read())["data"]
            return str(models[0]["id"])
        except urllib.error.HTTPError as error:
            raise JudgeError(f"judge {self.url}: answered /models with status {error.code}") from None
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise JudgeError(f"judge {self.url}: could not be reached ({getattr(error, 'reason', error)})") from None
        except (KeyError, IndexError, TypeError):
            raise JudgeError(f"judge {self.url}: lists no model under /models") from None

    @cached_property
    def _client(self) -> Any:
        from huggingface_hub import InferenceClient

        return InferenceClient(base_url=self.url, api_key=os.environ.get(KEY, "-"), timeout=PATIENCE)

    @cached_property
    def _examples(self) -> list[dict[str, str]]:
        """Both completions of two train pairs from different domains with their letters, as turns of the conversation."""
        by_domain = {pair.domain: pair for pair in reversed(self.behavior.split("train"))}
        chosen: list[Pair] = list(by_domain.values())[-2:]
        shown = [(pair, "A", pair.positive) for pair in chosen[:1]] + [(pair, "B", pair.negative) for pair in chosen]
        shown += [(pair, "A", pair.positive) for pair in chosen[1:]]
        turns: list[dict[str, str]] = []
        for pair, letter, reply in shown:
            turns += [{"role": "user", "content": _asked(pair.messages, reply)}, {"role": "assistant", "content": letter}]
        return turns

    def _prompt(self, messages: Sequence[Message], reply: str) -> list[dict[str, str]]:
        task = (
            f"You label an assistant's replies. The behavior: {self.behavior.description}\n"
            "Answer with one letter. A: the reply shows the behavior. B: it shows the opposite. C: it is neither, or makes no sense."
        )
        return [{"role": "system", "content": task}, *self._examples, {"role": "user", "content": _asked(messages, reply)}]

    @cached_property
    def _said(self) -> dict[tuple[tuple[Message, ...], str], Label]:
        return {}

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        """The label of one reply; the same reply is asked about once in a run. JudgeError where the endpoint does not answer."""
        asked = (tuple(messages), reply)
        if asked not in self._said:
            self._said[asked] = self._ask(messages, reply)
        return self._said[asked]

    def _ask(self, messages: Sequence[Message], reply: str) -> Label:
        if not reply.strip():
            return "neither"
        try:
            answer = self._client.chat_completion(self._prompt(messages, reply), model=self.model, max_tokens=4, temperature=0.0)
            said = answer.choices[0].message.content or ""
        except JudgeError:
            raise
        except Exception as error:
            # What the client raises for a lost connection, a status or an answer of another form has no common base of its own.
            raise JudgeError(f"judge {self.url}: {type(error).__name__}: {one_line(str(error))}") from None
        return LETTERS.get(said.strip().lstrip("(\"'*")[:1].upper(), "neither")

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """The label of each reply, in order; kept in the store under model, address, behavior, conversations and replies."""
        said = [[[(m.role, m.content) for m in messages], reply] for messages, reply in zip(conversations, replies, strict=True)]
        key = {"judge": self.name, "behavior": self.behavior.digest, "said": digest_of(said)}

        def compute() -> list[Label]:
            return self._all(self.label, conversations, replies)

        labels: list[Label] = self.store.json("judged", key, compute)
        self._said.update({(tuple(m), reply): label for m, reply, label in zip(conversations, replies, labels, strict=True)})
        return labels

    def labels_anew(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """The label of each reply, in order, all of them asked now. JudgeError where the endpoint does not answer."""
        return self._all(self._ask, conversations, replies)

    def _all(
        self, ask: Callable[[Sequence[Message], str], Label], conversations: Sequence[Sequence[Message]], replies: Sequence[str]
    ) -> list[Label]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(ask, conversations, replies))

    def score(self, messages: Sequence[Message], reply: str) -> float:
        """1 for positive, 0 for negative, one half for neither: an endpoint gives no probabilities."""
        return {"positive": 1.0, "negative": 0.0, "neither": 0.5}[self.label(messages, reply)]


def _asked(messages: Sequence[Message], reply: str) -> str:
    turns = "\n".join(f"{message.role}: {message.content}" for message in messages)
    return f"{turns}\nassistant: {reply}\n\nLabel of the assistant's reply?"
