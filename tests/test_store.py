"""harness/store.py: built once, whole or not at all, made again when damaged."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import harness.store
from harness.data.errors import InputError
from harness.data.settings import PROJECT
from harness.store import ENTRY, Store, digest_of, digest_of_file

KEY = {"base": "b1", "seed": 3}


def write_text(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "text").write_text("made")


def test_digest_ignores_the_order_of_keys_and_nothing_else() -> None:
    assert digest_of({"a": 1, "b": [2, 3]}) == digest_of({"b": [2, 3], "a": 1})
    assert len({digest_of(value) for value in ({"a": 1}, {"a": "1"}, {"a": [1]}, {"b": 1}, {"a": 1.5}, {"a": None})}) == 6


def test_digest_refuses_what_json_cannot_say() -> None:
    with pytest.raises(TypeError, match="ndarray is not JSON serializable"):
        digest_of({"vector": np.zeros(3)})


def test_digest_of_a_file_is_of_its_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"same")
    assert digest_of_file(tmp_path / "one") == digest_of_file(tmp_path / "two") != digest_of_file(Path(__file__))


def test_a_second_call_builds_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.entry("texts", KEY, write_text)
    assert store.entry("texts", dict(reversed(KEY.items())), write_text) == first
    assert (first / "deep" / "text").read_text() == "made"
    assert store.made == {"texts": 1}


def test_another_key_or_kind_is_another_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folders = {
        store.entry("texts", KEY, write_text),
        store.entry("texts", KEY | {"seed": 4}, write_text),
        store.entry("t", KEY, write_text),
    }
    assert len(folders) == 3


def test_a_build_that_raises_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def half(folder: Path) -> None:
        write_text(folder)
        raise RuntimeError("killed in the middle")

    with pytest.raises(RuntimeError, match="killed"):
        store.entry("texts", KEY, half)
    assert [path.name for path in (tmp_path / "texts").iterdir() if path.suffix != ".lock"] == []
    assert store.made == {}
    assert store.entry("texts", KEY, write_text).is_dir()


@pytest.mark.parametrize("damage", ["changed", "missing", "no entry", "entry is not JSON", "entry says nothing"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    folder = store.entry("texts", KEY, write_text)
    text, entry = folder / "deep" / "text", folder / ENTRY
    match damage:
        case "changed":
            text.write_text("mad?")
        case "missing":
            text.unlink()
        case "no entry":
            entry.unlink()
        case "entry is not JSON":
            entry.write_text('{"key"')
        case _:
            entry.write_text("[]")
    assert store.entry("texts", KEY, write_text) == folder
    assert text.read_text() == "made"
    assert store.made == {"texts": 2}


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = {"0/heads/1": np.arange(6, dtype=np.float32).reshape(2, 3), "norm": np.array(0.1), "none": np.zeros((0, 4))}
    store.arrays("a", KEY, lambda: made)
    back = store.arrays("a", KEY, lambda: pytest.fail("computed twice"))
    assert back.keys() == made.keys()
    for name, array in made.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"replies": ["Grün.", "", "two\nlines"], "n": 3}
    assert Store(tmp_path).json("j", KEY, lambda: value) == value
    assert Store(tmp_path).json("j", KEY, lambda: pytest.fail("computed twice")) == value


BUILDER = """
import sys, time
from pathlib import Path
from harness.store import Store

def build(folder):
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    time.sleep(0.5)
    (folder / "text").write_text("made")

print(Store(Path(sys.argv[1])).entry("texts", {"a": 1}, build).joinpath("text").read_text())
"""


def test_two_processes_build_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", BUILDER, str(tmp_path / "store"), str(log)]
    running = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in running] == ["made\n", "made\n"]
    assert log.read_text() == "built\n"


def test_of_many_values_those_that_are_missing_are_computed_together(tmp_path: Path) -> None:
    store, asked = Store(tmp_path), list[list[int]]()
    keys = [{"seed": seed} for seed in range(4)]

    def compute(places: list[int]) -> list[str]:
        asked.append(places)
        return [f"reply {place}" for place in places]

    assert store.json("replies", keys[1], lambda: "known") == "known"
    expected = ["reply 0", "known", "reply 2", "reply 3"]
    assert store.json_each("replies", keys, compute) == expected and asked == [[0, 2, 3]]
    assert store.json_each("replies", keys, compute) == expected and len(asked) == 1
    (store.path_of("replies", keys[2]) / "value.json").write_text('"damaged"')
    assert store.json_each("replies", keys, compute) == expected and asked[1:] == [[2]]


HUGE = 54 * 10**9
"""Bytes of a large base model. The files below are as long and hold nothing, which costs no disk."""


def sparse(path: Path) -> Path:
    """A file of HUGE bytes, all of them zero."""
    with path.open("wb") as handle:
        handle.truncate(HUGE)
    return path


def write_weights(folder: Path) -> None:
    sparse(folder / "weights")


@pytest.fixture
def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time of a file can be set back whole: its ctime is when it was set. So the clock is set forward."""
    now = harness.store.time.time_ns()
    monkeypatch.setattr(harness.store.time, "time_ns", lambda: now + 3600 * 10**9)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were read to be hashed, the large ones among them without being read: their digest here is of their first bytes."""
    asked: list[Path] = []

    def hashed(path: Path) -> str:
        asked.append(path)
        with path.open("rb") as handle:
            return hashlib.sha256(handle.read(1 << 20)).hexdigest()

    monkeypatch.setattr(harness.store, "digest_of_file", hashed)
    return asked


@pytest.mark.usefixtures("an_hour_later")
def test_an_unchanged_large_file_costs_a_stat(tmp_path: Path, read: list[Path]) -> None:
    weights = sparse(tmp_path / "weights")
    first = Store(tmp_path / "store").digest(weights)
    assert read.count(weights) == 1
    began = time.process_time()
    assert Store(tmp_path / "store").digest(weights) == first
    assert read.count(weights) == 1
    assert time.process_time() - began < 0.1  # hashing 54 GB takes half a minute or more


@pytest.mark.usefixtures("an_hour_later")
@pytest.mark.parametrize("change", ["bytes", "length", "another file of the same name", "another name"])
def test_a_large_file_that_changed_is_read_again(tmp_path: Path, read: list[Path], change: str) -> None:
    weights, store = sparse(tmp_path / "weights"), Store(tmp_path / "store")
    times = weights.stat()
    store.digest(weights)
    if change == "bytes":
        with weights.open("r+b") as handle:
            handle.write(b"1")
    elif change == "length":
        os.truncate(weights, HUGE + 1)
    elif change == "another name":
        weights = weights.rename(tmp_path / "other")
    else:
        sparse(tmp_path / "other").replace(weights)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # as an archiver sets it; the ctime cannot be set
    read.clear()
    store.digest(weights)
    assert weights in read


def test_a_large_file_that_was_just_written_is_not_yet_known_by_its_times(tmp_path: Path, read: list[Path]) -> None:
    weights, store = sparse(tmp_path / "weights"), Store(tmp_path / "store")
    store.digest(weights)
    store.digest(weights)
    assert read.count(weights) == 2


def test_a_small_file_is_always_read(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one")
    store = Store(tmp_path / "store")
    first = store.digest(tmp_path / "text")
    (tmp_path / "text").write_text("two")
    assert store.digest(tmp_path / "text") != first
    assert not (tmp_path / "store").exists()


def as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change a byte of a file whose size and times stay as they were: as where a disk fails, or somebody sets the clock."""
    before = path.stat()
    with path.open("r+b") as handle:
        handle.write(b"!")
    real = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **rest: before if self == path else real(self, **rest))


@pytest.mark.usefixtures("an_hour_later")
def test_verify_finds_a_byte_that_changed_under_the_same_size_and_times(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = sparse(tmp_path / "weights")
    first = Store(tmp_path / "store").digest(weights)
    assert Store(tmp_path / "store", verify=True).digest(weights) == first
    as_it_was(weights, monkeypatch)
    assert Store(tmp_path / "store").digest(weights) == first
    with pytest.raises(
        InputError, match=r"weights: its bytes changed while its size and times stayed the same\. The next run measures"
    ) as said:
        Store(tmp_path / "store", verify=True).digest(weights)
    assert "\n" not in str(said.value)
    assert Store(tmp_path / "store").digest(weights) != first


@pytest.mark.usefixtures("an_hour_later")
def test_a_damaged_large_file_of_an_entry_is_found_by_verify_and_built_again(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    entry = store.entry("models", KEY, write_weights)
    store.entry("models", KEY, write_text)
    as_it_was(entry / "weights", monkeypatch)
    assert store.entry("models", KEY, write_text) == entry
    assert store.made["models"] == 1
    careful = Store(tmp_path / "store", verify=True)
    careful.entry("models", KEY, write_text)
    assert careful.made["models"] == 1
    assert (entry / "deep" / "text").read_text() == "made"


@pytest.mark.usefixtures("an_hour_later")
def test_processes_that_ask_at_once_agree(tmp_path: Path) -> None:
    with (tmp_path / "weights").open("wb") as handle:
        handle.truncate((1 << 24) + 1)
    ask = (
        "import sys, time; from pathlib import Path; import harness.store as s; now = time.time_ns(); "
        "s.time.time_ns = lambda: now + 10**13; print(s.Store(Path(sys.argv[1])).digest(Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", ask, str(tmp_path / "store"), str(tmp_path / "weights")]
    asked = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {each.communicate(timeout=60)[0].strip() for each in asked} == {digest_of_file(tmp_path / "weights")}
    assert len([folder for folder in (tmp_path / "store" / "digests").iterdir() if folder.is_dir()]) == 1


def texts(store: Store, order: list[int]) -> list[Callable[[], Path]]:
    """Three functions, each of which asks for an entry of its own and notes that it built it."""

    def build(place: int, folder: Path) -> None:
        order.append(place)
        write_text(folder)

    return [partial(store.entry, "texts", {"a": place}, partial(build, place)) for place in range(3)]


def held(store: Store, place: int) -> FileLock:
    """The lock that another process has while it builds one of these entries."""
    folder = store.path_of("texts", {"a": place})
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{folder}.lock")


def test_one_process_alone_goes_through_independent_work_in_order(tmp_path: Path) -> None:
    store, order = Store(tmp_path), list[int]()
    assert store.in_any_order(texts(store, order)) == [store.path_of("texts", {"a": place}) for place in range(3)]
    assert order == [0, 1, 2]
    assert store.in_any_order(list[Callable[[], Path]]()) == []


def test_what_another_process_is_at_is_put_off_until_the_rest_is_done(tmp_path: Path) -> None:
    store, order = Store(tmp_path), list[int]()
    first, second, third = texts(store, order)
    with held(store, 0) as lock:

        def then_the_other_ends() -> Path:
            made = third()
            lock.release()
            return made

        assert store.in_any_order([first, second, then_the_other_ends]) == [store.path_of("texts", {"a": place}) for place in range(3)]
    assert order == [1, 2, 0]


HOLDER = """
import sys
from filelock import FileLock

with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def builder(store: Store, place: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that is building one of these entries until its input is closed."""
    command = [sys.executable, "-c", HOLDER, str(held(store, place).lock_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        try:
            yield other
        finally:
            other.kill()


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("ends", ["done", "killed"])
def test_where_others_are_at_all_that_is_left_it_waits_and_takes_over_what_they_left(tmp_path: Path, nested: bool, ends: str) -> None:
    store, order = Store(tmp_path), list[int]()
    with builder(store, 1) as other:
        assert other.stdin is not None
        first, second, third = texts(store, order)

        def before_the_other_ends() -> Path:
            threading.Timer(0.2, other.stdin.close if other.stdin and ends == "done" else other.kill).start()
            return third()

        work = [first, second, before_the_other_ends]
        store.in_any_order([lambda: store.in_any_order(work)] if nested else work)
    assert order == [0, 2, 1]


def test_after_an_error_in_one_piece_of_work_a_single_entry_is_waited_for_as_before(tmp_path: Path) -> None:
    store, order = Store(tmp_path), list[int]()
    with pytest.raises(ZeroDivisionError):
        store.in_any_order([lambda: 1 // 0])
    with builder(store, 0) as other:
        threading.Timer(0.2, other.kill).start()
        assert texts(store, order)[0]() == store.path_of("texts", {"a": 0})


MANY = """
import sys, time
from pathlib import Path
from harness.store import Store

first = int(sys.argv[3])

def compute(places):
    with open(sys.argv[2], "a") as log:
        log.write("".join(f"{first + place}\\n" for place in places))
    time.sleep(0.3)
    return [f"reply {first + place}" for place in places]

print(Store(Path(sys.argv[1])).json_each("replies", [{"seed": first + place} for place in range(4)], compute))
"""


def test_two_processes_compute_none_of_many_values_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = [[sys.executable, "-c", MANY, str(tmp_path / "store"), str(log), first] for first in ("0", "2")]
    running = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate(timeout=60)[0] for process in running]
    assert said == [f"{[f'reply {seed}' for seed in range(first, first + 4)]}\n" for first in (0, 2)]
    assert sorted(log.read_text().split()) == list("012345")
