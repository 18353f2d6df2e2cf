"""Writes a report's file whole or not at all, so that CI never reads half of one."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_text(path: Path, text: str) -> Path:
    """Write `text` (UTF-8) under another name, then rename; the folder is made where it is missing. OSError where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
    return path
