"""A judge behind an OpenAI-compatible endpoint, such as a vLLM server: `--judge http://localhost:8000/v1`.

The model is shown the behavior's description and four labeled replies of the train pairs, then the reply at hand, and answers with one
letter, greedily. It is believed no more than the embedded judge: preflight.judge shows its held-out accuracy first. An endpoint that
cannot be reached, fails, or knows no model is a JudgeError of one line; what is no letter is "neither".
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.data.behavior import Behavior, Message, Pair
from harness.data.text import one_line
from harness.judges.judge import JudgeError, Label
from harness.store import Store, digest_of

PATIENCE = 60.0
"""Seconds for one answer."""
AT_ONCE = 8
"""Requests in flight."""
LETTERS: dict[str, Label] = {"A": "positive", "B": "negative", "C": "neither"}
KEY = "OPENAI_API_KEY"
"""Environment variable sent as the endpoint's key, if there is one."""


@dataclass(frozen=True)
class EndpointJudge:
    """Labels replies to a behavior's directions by asking the first model that the endpoint serves."""

    url: str
    """Up to and with /v1."""
    behavior: Behavior
    store: Store
    """Where its labels are kept."""

    @property
    def name(self) -> str:
        return f"{self.model} at {self.url}"

    @cached_property
    def model(self) -> str:
        """The first model that the endpoint lists. Raises JudgeError."""
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
        """Two train pairs of different domains, both completions of each, as turns."""
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
        """Asked once in a run. Raises JudgeError where the endpoint does not answer."""
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
        """Kept in the store under model, address, examples and everything that was said."""
        said = [[[(m.role, m.content) for m in messages], reply] for messages, reply in zip(conversations, replies, strict=True)]
        key = {"judge": self.name, "behavior": self.behavior.digest, "said": digest_of(said)}

        def compute() -> list[Label]:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                return list(pool.map(self.label, conversations, replies))

        labels: list[Label] = self.store.json("judged", key, compute)
        self._said.update({(tuple(m), reply): label for m, reply, label in zip(conversations, replies, labels, strict=True)})
        return labels

    def score(self, messages: Sequence[Message], reply: str) -> float:
        """1, 0 or one half: the endpoint gives no probabilities."""
        return {"positive": 1.0, "negative": 0.0, "neither": 0.5}[self.label(messages, reply)]


def _asked(messages: Sequence[Message], reply: str) -> str:
    turns = "\n".join(f"{message.role}: {message.content}" for message in messages)
    return f"{turns}\nassistant: {reply}\n\nLabel of the assistant's reply?"
