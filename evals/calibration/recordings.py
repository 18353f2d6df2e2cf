"""What the gate needs to know of a subject, recorded once: a run of the calibration is then arithmetic.

A `Book` holds one base and behavior: the scenarios, documents and tasks, and a `Recording` of every subject. Log-odds and bits per byte are
deterministic; of the code and the answers every sample is kept, so that a run can draw as many of them as the gate would sample. The book
of the shipped model is in the repository (`recordings/`), so that the table can be made again, and the tests run, without a model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evals.preflight.checks import of_candidate
from evals.q4.design import SAMPLES as REPLIES_SAMPLED
from evals.q4.judged_rate import labels, positive
from evals.q6.ability import SAMPLES, share_solved_unless_at_floor, solved
from evals.q6.experiment import Part, margin_of, tasks_of
from fixtures import corpora, tasks
from harness.data.arrays import Flags, Floats, Names
from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.judges.judge import Judge
from harness.readouts.bits_per_byte import bits_per_byte
from harness.readouts.forced_choice import PRIMARY
from harness.store import digest_of

SAMPLED: tuple[Part, ...] = ("code", "reasoning")
FOLDER = Path(__file__).with_name("recordings")
FRESH = 100
"""First seed of the replies recorded: a dose is chosen by others, and would seem to fall as far as it was chosen to."""


@dataclass(frozen=True)
class Recording:
    """One subject."""

    kind: str
    """"good", or the name of a plant."""
    adapter: int
    """Seed of the good adapter it is, or was made from."""
    digest: str
    shift: Floats  # [test pairs], primary log-odds above base's, nats
    prose: Floats  # [documents], bits per byte above base's
    solved: Mapping[str, Flags]  # part to [samples, tasks]
    live: float
    """Largest change of a log-probability against base, nats; NaN where one was not finite."""
    bad: float
    """Values that are not finite."""
    rate: float | None = None
    """Judged rate over at least a thousand replies; None where it was not measured."""
    positive: Flags | None = None  # [samples, test pairs], replies labeled positive
    """Other samples than those of `rate`, by which doses are chosen; None where no replies were sampled."""


@dataclass(frozen=True)
class Book:
    """Everything recorded of one base and behavior."""

    model: str
    behavior: str
    base_digest: str
    behavior_digest: str
    domains: Names  # [test pairs]
    documents: Names  # [documents], the domain of each
    tiers: Mapping[str, Names]  # part to [tasks], the tier of each; parts at floor in every tier are left out
    base_solved: Mapping[str, Flags]  # part to [samples, tasks]
    recordings: tuple[Recording, ...]
    data_digest: str = ""
    """Of the documents and tasks, and how often they are sampled."""
    base_positive: Flags | None = None  # [samples, test pairs]
    replies: bool = True
    """Whether replies were sampled: for code and answers, and for the judged rates that doses are sought by."""

    def of(self, kind: str) -> tuple[Recording, ...]:
        return tuple(one for one in self.recordings if one.kind == kind)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Plants, in order of recording."""
        return tuple(dict.fromkeys(one.kind for one in self.recordings if one.kind != "good"))


def empty_book(lab: Lab, draws: int, judge: Judge | None) -> Book:
    """The book of a lab before any subject is recorded: which tiers are above floor, and what base solves and says.

    `draws`: how many times the samples that the gate takes. Without a judge nothing is sampled.
    """
    replies = judge is not None
    margins = {part: margin_of(lab, part) for part in SAMPLED if replies}
    kept = {
        part: [
            tier
            for tier, group in tasks_of(part).items()
            if not share_solved_unless_at_floor(lab, lab.base, group, margins[part], SAMPLES["quick"])[1]
        ]
        for part in margins
    }
    tiers: dict[str, Names] = {part: np.array([tier for tier in kept[part] for _ in tasks_of(part)[tier]]) for part in kept if kept[part]}
    solved_by_base: dict[str, Flags] = {
        part: _solved(lab, lab.base, part, kept[part], draws * SAMPLES["quick"]) for part in SAMPLED if part in tiers
    }
    documents = np.array([document.domain for document in corpora.prose()])
    return Book(
        lab.base.name,
        lab.behavior.name,
        lab.base.digest,
        lab.behavior.digest,
        domains_of(lab.behavior.split("test")),
        documents,
        tiers,
        solved_by_base,
        (),
        data_digest(),
        _positive(lab, judge, lab.base, draws) if judge else None,
        replies,
    )


def data_digest() -> str:
    """Of what subjects are measured on beside the behavior, and of how often the gate samples it."""
    prose = [[document.id, document.text] for document in corpora.prose()]
    asked = [asdict(task) for task in tasks.code()] + [asdict(question) for question in tasks.reasoning()]
    return digest_of([prose, asked, SAMPLES["quick"], REPLIES_SAMPLED])


def record(
    lab: Lab, book: Book, judge: Judge | None, kind: str, adapter: int, subject: Subject, draws: int, rate: float | None = None
) -> Recording:
    """Everything the gate needs to know of a subject; what it did before is read from the store. Without a judge nothing is sampled."""
    live, finite = of_candidate(replace(lab, candidate=subject))
    changed = math.nan if live.estimate is None else live.estimate.value
    same = lab.base if changed == 0 else subject  # to the last bit the same log-probabilities: base's recordings are its own
    pairs, texts = lab.behavior.split("test"), [document.text for document in corpora.prose()]
    tiers = {part: list(dict.fromkeys(book.tiers[part].tolist())) for part in book.tiers}
    assert finite.estimate is not None
    return Recording(
        kind,
        adapter,
        subject.digest,
        lab.shift(same, pairs).metric(PRIMARY),
        bits_per_byte(lab.recordings, same, texts) - bits_per_byte(lab.recordings, lab.base, texts),
        {part: _solved(lab, same, part, tiers[part], draws * SAMPLES["quick"]) for part in SAMPLED if part in tiers},
        changed,
        finite.estimate.value,
        rate,
        _positive(lab, judge, same, draws) if judge else None,
    )


def _positive(lab: Lab, judge: Judge, subject: Subject, draws: int) -> Flags:
    """[samples, test pairs]."""
    seeds = range(FRESH, FRESH + draws * REPLIES_SAMPLED)
    return positive(labels(lab, judge, subject, lab.behavior.split("test"), seeds))


def _solved(lab: Lab, subject: Subject, part: Part, tiers: Sequence[str], samples: int) -> Flags:
    """[samples, tasks]."""
    groups = [tasks_of(part)[tier] for tier in tiers]
    return np.concatenate([solved(lab, subject, group, samples) for group in groups], axis=1).astype(bool)


def book_path(model: str, behavior: str) -> Path:
    return FOLDER / f"{Path(model).name}-{behavior}.npz"


def save(book: Book, path: Path) -> None:
    """Write the book under another name first; numbers as float32, which is far below any interval's width."""
    arrays: dict[str, Any] = {"domains": book.domains, "documents": book.documents}
    heads = []
    for part in book.tiers:
        arrays |= {f"tiers/{part}": book.tiers[part], f"base/{part}": book.base_solved[part]}
    for i, one in enumerate(book.recordings):
        arrays |= {f"{i}/shift": one.shift.astype(np.float32), f"{i}/prose": one.prose.astype(np.float32)}
        arrays |= {f"{i}/{part}": rows for part, rows in one.solved.items()}
        arrays |= {} if one.positive is None else {f"{i}/positive": one.positive}
        heads.append([one.kind, one.adapter, one.digest, one.live if math.isfinite(one.live) else None, one.bad, one.rate])
    arrays |= {} if book.base_positive is None else {"base-positive": book.base_positive}
    head = {name: getattr(book, name) for name in ("model", "behavior", "base_digest", "behavior_digest", "data_digest", "replies")}
    arrays["head"] = np.array(json.dumps({**head, "recordings": heads}))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    with draft.open("wb") as handle:
        np.savez_compressed(handle, **arrays)
    draft.rename(path)


def load(path: Path) -> Book:
    """Read a book; InputError with one line where there is none."""
    try:
        with np.load(path) as arrays:
            head = json.loads(str(arrays["head"]))
            tiers = {name.split("/")[1]: arrays[name] for name in arrays.files if name.startswith("tiers/")}
            recordings = tuple(
                Recording(
                    kind,
                    adapter,
                    digest,
                    arrays[f"{i}/shift"].astype(np.float64),
                    arrays[f"{i}/prose"].astype(np.float64),
                    {part: arrays[f"{i}/{part}"] for part in tiers},
                    math.nan if live is None else live,
                    bad,
                    rate,
                    arrays.get(f"{i}/positive"),
                )
                for i, (kind, adapter, digest, live, bad, rate) in enumerate(head.pop("recordings"))
            )
            solved_by_base = {part: arrays[f"base/{part}"] for part in tiers}
            return Book(
                **head,
                domains=arrays["domains"],
                documents=arrays["documents"],
                tiers=tiers,
                base_solved=solved_by_base,
                recordings=recordings,
                base_positive=arrays.get("base-positive"),
            )
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: no recordings of a calibration ({type(error).__name__}); make them with python -m harness calibrate"
        ) from None
