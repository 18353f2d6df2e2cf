"""Recording the subjects of a calibration: in order, each once, on from where a killed run was. Nothing is trained here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evals.calibrated import MeasuredSubject, Sampling
from evals.calibration import measuring
from evals.calibration.book import Book, load, save
from evals.calibration.doses import Dosed
from evals.calibration.measuring import ACCIDENTS, FALLS, FEWEST, ORDERS, POOL, SHARES, Measuring, check_enough
from evals.calibration.plants import AMOUNTS
from evals.calibration.recording import data_digest
from evals.calibration.runs import CONTINUATION, UNDONE, WEAK
from harness.data.errors import InputError

ADAPTERS = 3
BROKEN = (*AMOUNTS, "wrong adapter")


def book(base: str = "base") -> Book:
    return Book("tiny", "listening", base, "behavior", np.array(["a", "b"]), {}, data_digest=data_digest())


class Records:
    """Stands in for everything that needs a model; counts what was recorded, and is killed at a chosen point."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fall: float = 0.2, off: float = 0.0) -> None:
        self.made: list[tuple[str, int]] = []
        self.killed_after = 10_000
        subject = SimpleNamespace(digest="d", adapter=Path())
        monkeypatch.setattr(measuring, "EmbeddedJudge", SimpleNamespace(fit=lambda behavior: "judge"))
        monkeypatch.setattr(measuring, "healthy", lambda arms, seed: (subject, Path()))
        monkeypatch.setattr(measuring, "gone_on", lambda arms, seed, start, kind, orders: [subject] * len(orders))
        monkeypatch.setattr(measuring, "share_lost", lambda lab, good, seed, share: (subject, share + off))
        monkeypatch.setattr(measuring, "dose", lambda lab, judge, good, seed, k: Dosed(subject, 5, fall if k == FALLS[0] else k))  # type: ignore[arg-type]  # a subject
        monkeypatch.setattr(measuring, "planted", lambda arms, good, seed: {kind: lambda: subject for kind in AMOUNTS})
        monkeypatch.setattr(measuring, "empty_book", lambda sampling: replace(book(), replies=sampling.judge is not None))
        monkeypatch.setattr(measuring, "record", self.record)

    def record(self, sampling: Sampling, book: Book, kind: str, adapter: int, subject: Any, lost: float | None = None) -> MeasuredSubject:
        if len(self.made) >= self.killed_after:
            raise KeyboardInterrupt
        assert sampling.draws == (POOL if kind == "good" else 1)
        self.made.append((kind, adapter))
        return MeasuredSubject(kind, adapter, f"{kind}-{adapter}", {"live": np.array(1.0), "bad": np.array(0.0)}, lost)


class Arms:
    """Trains nothing."""

    def stream(self, kind: str, seed: int, ns: Any, kinds: Any) -> Any:
        return {n: SimpleNamespace(subject=SimpleNamespace(digest="weak", adapter=Path())) for n in ns}


def task(folder: Path, said: list[str] | None = None, **more: Any) -> Measuring:
    lab: Any = SimpleNamespace(
        behavior=SimpleNamespace(name="listening", digest="behavior"), base=SimpleNamespace(name="tiny", digest="base"), arms=Arms()
    )
    return Measuring(lab, lab, ADAPTERS, folder / "book.npz", (said if said is not None else []).append, **more)


EACH = [*SHARES, "20-point loss", "10-point loss", WEAK, UNDONE, *BROKEN]


def test_good_adapters_come_first_then_continuations_then_every_kind_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(monkeypatch)
    made = task(tmp_path).book()
    assert ADAPTERS < ACCIDENTS and records.made[:ADAPTERS] == [("good", seed) for seed in range(ADAPTERS)]
    continued, others = ADAPTERS * len(ORDERS), ADAPTERS * (1 + len(ORDERS))
    assert records.made[ADAPTERS:others] == [(CONTINUATION, seed) for seed in range(ADAPTERS) for _ in ORDERS]
    assert records.made[others : others + len(EACH)] == [(kind, 0) for kind in EACH]
    assert sorted(made.kinds) == sorted((CONTINUATION, *EACH)) and len(made.of(CONTINUATION)) == continued
    assert all(len(made.of(kind)) == ADAPTERS for kind in EACH)
    assert [one.lost for one in made.of("20-point loss")] == pytest.approx([0.2] * ADAPTERS)
    assert [one.lost for one in made.of("half of the effect lost")] == [0.5] * ADAPTERS


def test_accidents_happen_to_the_first_adapters_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Records(monkeypatch)
    made = replace(task(tmp_path), adapters=ACCIDENTS + 2).book()
    assert len(made.of("noise")) == ACCIDENTS and len(made.of(UNDONE)) == ACCIDENTS + 2


def test_a_killed_run_goes_on_and_records_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(monkeypatch)
    records.killed_after = 4  # between the two continuations of the first adapter
    with pytest.raises(KeyboardInterrupt):
        task(tmp_path).book()
    assert len(load(tmp_path / "book.npz").subjects) == 4
    records.killed_after = 10_000
    whole = task(tmp_path).book()
    assert len(records.made) == len(whole.subjects) == ADAPTERS * (1 + len(ORDERS) + len(EACH))


def test_when_the_time_is_up_what_is_there_is_kept_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records, said = Records(monkeypatch), list[str]()
    assert task(tmp_path, said, until=0.0).book().subjects == () and records.made == []
    assert said[1:] == ["time is up: 0 of 45 steps are recorded; the same command goes on from here"]


def test_a_fall_that_is_too_far_off_is_no_20_point_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Records(monkeypatch, fall=0.29, off=0.1)
    made = task(tmp_path).book()
    assert made.of("20-point loss") == () and len(made.of("near a 20-point loss")) == ADAPTERS
    assert made.of("half of the effect lost") == () and len(made.of("near a half of the effect lost")) == ADAPTERS


def test_without_replies_nothing_is_sampled_and_no_dose_is_sought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(monkeypatch)
    made = task(tmp_path, replies=False).book()
    assert {kind for kind, _ in records.made} == {"good", CONTINUATION, *EACH} - {"20-point loss", "10-point loss"}
    assert {one.kind for one in made.subjects if one.lost is not None} == set(SHARES)
    assert not load(tmp_path / "book.npz").replies
    said: list[str] = []
    assert task(tmp_path, said, replies=True, until=0.0).book().subjects == () and "recorded without replies: begun anew" in said[0]


def test_a_book_of_other_weights_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records, said = Records(monkeypatch), list[str]()
    old = records.record(Sampling(task(tmp_path).lab, None, POOL), book(), "good", 0, None)
    for other in (book("other"), replace(book(), data_digest="tasks of last year")):
        save(replace(other, subjects=(old,)), tmp_path / "book.npz")
        records.made.clear()
        task(tmp_path, said).book()
        assert ("good", 0) in records.made and said[0].startswith("book.npz is of other weights, another behavior or other tasks")
        said.clear()


def test_too_few_good_adapters_are_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=f"0 good adapters are recorded; a calibration needs at least {FEWEST}"):
        check_enough(book())
