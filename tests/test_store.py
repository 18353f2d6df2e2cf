"""harness/store.py: built once, whole or not at all, made again when damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
