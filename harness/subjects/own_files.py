"""What stands between words and weights: a model folder's tokenizer, its chat template, and its settings of generation.

A checkpoint brings its own of all three. Two subjects are compared only where they have the same, whatever wrote the files: JSON is
compared by content, and entries that only say how the files were written are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.data.subject import Subject
from harness.store import digest_of, digest_of_file
from harness.subjects.files import read_json

NONE = "none"
"""In place of a digest where a folder has no such file."""
VOCABULARY = ("tokenizer.model", "vocab.json", "merges.txt")
"""Files of a tokenizer without tokenizer.json."""
MARKS = ("bos_token", "eos_token", "pad_token", "unk_token", "add_bos_token", "add_eos_token")
"""Entries of tokenizer_config.json that decide which tokens a text becomes, and where a reply ends."""
NO_PART = ("padding", "truncation")
"""Entries of tokenizer.json that the suite sets itself."""
WRITTEN_BY = ("transformers_version", "_from_model_config")
"""Entries of generation_config.json that decide nothing."""


def own_files(subject: Subject) -> Mapping[str, str]:
    """Digests by name: "tokenizer", "chat template", "generation config"; NONE for what the folder does not have."""
    return _digests(subject.base, subject.base_digest)


@lru_cache(maxsize=8)
def _digests(folder: Path, digest: str) -> Mapping[str, str]:
    settings, written = _json(folder / "tokenizer_config.json"), folder / "chat_template.jinja"
    template = written.read_text(encoding="utf-8") if written.is_file() else settings.get("chat_template")
    whole = {name: value for name, value in _json(folder / "tokenizer.json").items() if name not in NO_PART}
    pieces = {name: digest_of_file(folder / name) for name in VOCABULARY if not whole and (folder / name).is_file()}
    generation = {name: value for name, value in _json(folder / "generation_config.json").items() if name not in WRITTEN_BY}
    return {
        "tokenizer": _digest({**whole, **pieces}, {name: settings[name] for name in MARKS if name in settings}),
        "chat template": _digest(template),
        "generation config": _digest(generation),
    }


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _digest(*parts: Any) -> str:
    return digest_of(list(parts)) if any(parts) else NONE
