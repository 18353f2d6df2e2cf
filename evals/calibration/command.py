"""`python -m harness calibrate`: measure (or take what is recorded), judge, write calibration.json and the table of docs/error-rates.md."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
from harness.data.behavior import Behavior
from harness.data.errors import InputError
from harness.data.settings import PROJECT, Settings
from harness.experiment.seed_spread import SCHEMA, read_calibration
from harness.gate.reports.environment import commit, versions
from harness.gate.reports.files import write_text
from harness.gate.verdict.thresholds import Thresholds, load_thresholds
from harness.store import Store
from harness.subjects.files import base_subject, check_base
from harness.subjects.named import REGISTRY, base_folder, model_layer_kinds, resolve_model

if TYPE_CHECKING:
    from evals.calibration.book import Book
    from harness.experiment.lab import Lab

BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"
PAGE = PROJECT / "docs" / "error-rates.md"
"""Shows what calibration.json in the repository says."""


@dataclass(frozen=True)
class Asked:
    """What was typed."""

    settings: Settings
    """Model, store, thresholds and the place of calibration.json."""
    behavior: str
    """Shipped name or folder."""
    adapters: int
    """Good adapters to record."""
    minutes: float | None
    """None: until everything is recorded."""
    replies: bool
    """Whether replies are sampled."""
    runs_only: bool
    """Judge what is recorded, without a model."""
    page: Path | None = None
    """Where the tables go; None: to PAGE, or nowhere if calibration.json is not the repository's."""


def calibrate(asked: Asked, say: Callable[[str], None]) -> str:
    """The table; everything a person can get wrong is an InputError before a model loads."""
    settings = asked.settings
    behavior = load_behavior(resolve_behavior(asked.behavior))
    thresholds = load_thresholds(settings.thresholds)
    read_calibration(settings.calibration)
    resolve_model(settings.model)
    from evals.calibration.book import book_path, load
    from evals.calibration.measuring import FEWEST, check_enough
    from evals.calibration.runs import Gate
    from evals.calibration.table import Sizes, markdown, summary

    if asked.adapters < FEWEST:
        raise InputError(f"--adapters {asked.adapters}: too few; allowed: {FEWEST} or more")
    path = book_path(settings.model, behavior.name)
    book = load(path) if asked.runs_only else _measured(asked, behavior, thresholds, path, say)
    check_enough(book)
    say(f"calibrate {book.model} {book.behavior}: judging the runs of {len(book.subjects)} subjects")
    entry = summary(book, Gate(book, thresholds), Sizes())
    made = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions(), "git": commit(PROJECT)}
    name = f"{book.model}/{book.behavior}"
    content = read_calibration(settings.calibration)
    content["subjects"][name] = {**entry, **made}
    write_text(settings.calibration, json.dumps({"schema": SCHEMA, "subjects": content["subjects"]}, indent=1, allow_nan=False) + "\n")
    tables = "\n".join(markdown(each, one) for each, one in content["subjects"].items())
    page = asked.page or (PAGE if settings.calibration.resolve() == Settings.calibration.resolve() else None)
    if page is not None and page.is_file():
        write_table(page, tables)
    return markdown(name, content["subjects"][name])


def write_table(page: Path, tables: str) -> None:
    """Replace what stands between the two marks; a file without them is left alone."""
    text = page.read_text(encoding="utf-8")
    replaced = re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n\n{tables}\n{END}", text, flags=re.DOTALL)
    if replaced != text:
        write_text(page, replaced)


def _measured(asked: Asked, behavior: Behavior, thresholds: Thresholds, path: Path, say: Callable[[str], None]) -> Book:
    from evals.calibration.measuring import Measuring

    folder = base_folder(asked.settings.model, Store(asked.settings.store))
    check_base(folder)
    names = [name for name in shipped_behaviors() if name != behavior.name]
    other = load_behavior(resolve_behavior(names[0]))
    lab, of_other = _labs(asked.settings, folder, (behavior, other), thresholds, say)
    until = float("inf") if asked.minutes is None else time.monotonic() + 60 * asked.minutes
    return Measuring(lab, of_other, asked.adapters, path, say, asked.replies, until).book()


def _labs(
    settings: Settings, folder: Path, behaviors: tuple[Behavior, Behavior], thresholds: Thresholds, say: Callable[[str], None]
) -> tuple[Lab, Lab]:
    import torch
    import transformers

    from fixtures.laboratory import make_lab
    from harness.engines.hf.engine import HFEngine

    quiet: Any = transformers.utils.logging  # untyped
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    device = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    engine, store = HFEngine(device, settings.fast), Store(settings.store)
    name = settings.model if settings.model == REGISTRY else Path(settings.model).name
    base, kinds = base_subject(name, folder), model_layer_kinds(folder)
    first, second = (make_lab(settings, one, base, None, kinds, engine, store, thresholds, say) for one in behaviors)
    return first, second
