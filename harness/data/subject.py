"""A subject is what is measured: base weights, optionally with an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Subject:
    """Weights on disk. `digest` covers the content of every weight, configuration and tokenizer file, not the paths."""

    name: str
    base: Path
    """Folder with config.json, safetensors weights and the tokenizer."""
    base_digest: str
    adapter: Path | None = None
    """Folder of a PEFT adapter on that base, if any."""
    adapter_digest: str | None = None
    trust_remote_code: bool = False

    @property
    def digest(self) -> str:
        """One text that names the content: equal digests are the same function."""
        return self.base_digest if self.adapter_digest is None else f"{self.base_digest}+{self.adapter_digest}"
