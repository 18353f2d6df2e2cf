"""A subject is what is measured: base weights, optionally with an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Subject:
    """Weights on disk, known by their content: digests cover every weight, configuration and tokenizer file, and no path."""

    name: str
    """What reports call it; says nothing about the content."""
    base: Path
    """Folder with config.json, safetensors weights and the tokenizer."""
    base_digest: str
    """Digest of the base's files."""
    adapter: Path | None = None
    """Folder of a PEFT adapter on that base; None: the base alone."""
    adapter_digest: str | None = None
    """Digest of the adapter's weights and of the settings that shape its function; None without an adapter."""
    trust_remote_code: bool = False
    """Whether Python code that comes with the base may be run while it is loaded."""

    @property
    def digest(self) -> str:
        """One text that names the content: subjects with equal digests are the same function."""
        return self.base_digest if self.adapter_digest is None else f"{self.base_digest}+{self.adapter_digest}"
