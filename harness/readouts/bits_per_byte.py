"""Bits per byte of plain documents: negative log-likelihood of the tokens but the first, over their UTF-8 bytes.

Unlike nats a token it does not depend on how a tokenizer cuts, so models of different vocabularies can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.arrays import Floats
from harness.data.subject import Subject
from harness.engines.chat import tokenizer_of
from harness.engines.protocol import score_texts
from harness.readouts.recordings import Recordings
from harness.store import digest_of


def bits_per_byte(recordings: Recordings, subject: Subject, texts: Sequence[str]) -> Floats:
    """Bits per byte of every text, [texts]; kept in the store."""
    key = recordings.key(subject, texts=digest_of(list(texts)))

    def compute() -> dict[str, NDArray[Any]]:
        tokenizer = tokenizer_of(subject)
        scored = score_texts(recordings.engine, subject, texts)
        sizes = [len(tokenizer.decode(list(one.tokens), clean_up_tokenization_spaces=False).encode()) for one in scored]
        return {"nats": np.array([-one.log_probabilities.sum() for one in scored]), "bytes": np.array(sizes)}

    arrays = recordings.store.arrays("text-bits", key, compute)
    return np.asarray(arrays["nats"] / math.log(2) / arrays["bytes"])
