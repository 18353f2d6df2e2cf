"""Everything expensive, kept under a digest of all that determined it.

An entry is a folder `<store>/<kind>/<digest>/`. Its `entry.json` holds the key in clear and a SHA-256 of every other file. Three rules:
it is built under a temporary name and renamed, so a killed run leaves nothing half done; it is built under a file lock, so two workers
never build the same entry; its files are verified whenever it is read, so a damaged entry is built again instead of believed.

Workers that need the same entries share the work: of independent pieces of work (`in_any_order`) each takes what no other is at.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock, Timeout

from harness.data.errors import InputError

Made = TypeVar("Made")

ENTRY = "entry.json"
"""The file that makes a folder an entry; written last."""
SMALL = 1 << 24
"""Bytes up to which a file is hashed whenever its digest is asked for: that takes a hundredth of a second."""
SETTLED = 2 * 10**9
"""Nanoseconds after which a second change of a file is sure to have another time: file systems round times."""
VALUE = "value.json"
"""The file of an entry that is one JSON value."""


def digest_of(value: Any) -> str:
    """First 24 hexadecimal digits of the SHA-256 of a JSON value, the same whatever the order of keys. TypeError for what is not JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    hasher = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 22):
            hasher.update(block)
    return hasher.hexdigest()


class BeingBuilt(Exception):
    """Another process is building an entry, and this one has other work to do first. Never leaves `Store.in_any_order`."""


class Store:
    """A folder of entries by kind and key. A key is a JSON object that names all that determines the content."""

    def __init__(self, root: Path, verify: bool = False) -> None:
        self.root = root
        """The folder; made when the first entry is."""
        self.verify = verify
        """Whether `digest` reads every byte and compares, where it could go by a file's size and times."""
        self.made: dict[str, int] = {}
        """How many entries this process built, by kind."""
        self._waits = True

    def path_of(self, kind: str, key: Mapping[str, Any]) -> Path:
        """The entry's folder, whether or not it exists."""
        return self.root / kind / digest_of(key)

    def entry(self, kind: str, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The folder of this entry. `build(folder)` fills a new one where there is none, or where a file is no longer what was written."""
        folder = self.path_of(kind, key)
        if not self._intact(folder):
            with self._alone([folder]):
                if not self._intact(folder):
                    self._make(folder, kind, key, build)
        return folder

    def in_any_order(self, makers: Sequence[Callable[[], Made]]) -> list[Made]:
        """What each of these functions returns, in their order. They must not depend on each other, and may ask for any entries.

        A function that comes upon an entry which another process is building is put off, and called again from its start when the others
        are done. So workers that need the same list of things divide it among them, and one worker alone goes through it in order.
        """
        found: dict[int, Made] = {}
        left, waits = list(range(len(makers))), self._waits
        while left:
            put_off = []
            self._waits = False
            try:
                for place in left:
                    try:
                        found[place] = makers[place]()
                    except BeingBuilt:
                        put_off.append(place)
            finally:
                self._waits = waits
            if put_off == left:  # others are at all that is left
                found[left[0]] = makers[left[0]]()
                put_off = left[1:]
            left = put_off
        return [found[place] for place in range(len(makers))]

    def arrays(self, kind: str, key: Mapping[str, Any], compute: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Arrays by name, computed once and then read from the store."""

        def build(folder: Path) -> None:
            np.savez(folder / "arrays.npz", **dict(compute()))  # type: ignore[arg-type]  # its keywords could be allow_pickle

        with np.load(self.entry(kind, key, build) / "arrays.npz") as loaded:
            return {name: loaded[name] for name in loaded.files}

    def json(self, kind: str, key: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """A JSON value, computed once and then read from the store."""
        folder = self.entry(kind, key, lambda folder: _write_json(compute(), folder))
        return json.loads((folder / VALUE).read_text(encoding="utf-8"))

    def json_each(self, kind: str, keys: Sequence[Mapping[str, Any]], compute: Callable[[list[int]], Sequence[Any]]) -> list[Any]:
        """One JSON value for each key, in order. Those that are missing are computed together: `compute` is given their places in `keys`
        and returns a value for each place.
        """
        folders = [self.path_of(kind, key) for key in keys]

        def value(place: int) -> Any:
            return compute([place])[0]  # asked for where an entry was removed or damaged in between

        def missing() -> list[int]:
            return [place for place, folder in enumerate(folders) if not self._intact(folder)]

        if asked := missing():
            with self._alone([folders[place] for place in asked]):
                asked = missing()
                for place, made in zip(asked, compute(asked) if asked else (), strict=True):
                    self._make(folders[place], kind, keys[place], partial(_write_json, made))
        return [self.json(kind, key, partial(value, place)) for place, key in enumerate(keys)]

    def digest(self, path: Path) -> str:
        """`digest_of_file`; of a large file it is kept, and the file is read again only once its size, its times or its inode have changed.

        With `verify` the file is read in any case. Where its bytes changed and all of those did not, the kept digest is removed, and an
        InputError says so.
        """
        stat = path.stat()
        key = {"path": str(path.resolve()), "device": stat.st_dev, "inode": stat.st_ino, "size": stat.st_size}
        key |= {"changed": [stat.st_mtime_ns, stat.st_ctime_ns]}
        if stat.st_size <= SMALL or time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < SETTLED:
            return digest_of_file(path)
        is_kept = self._intact(self.path_of("digests", key))
        kept = str(self.json("digests", key, lambda: digest_of_file(path)))
        if self.verify and is_kept and digest_of_file(path) != kept:
            shutil.rmtree(self.path_of("digests", key))
            raise InputError(
                f"{path}: its bytes changed while its size and times stayed the same. The next run measures them anew; what was measured "
                f"since the change was stored as of the old bytes: remove {self.root} if there was such a run"
            )
        return kept

    @contextlib.contextmanager
    def _alone(self, folders: Sequence[Path]) -> Iterator[None]:
        """While the block lasts no other process builds these entries. BeingBuilt where one does and there is other work to do first."""
        with contextlib.ExitStack() as held:
            for folder in sorted(set(folders)):  # in one order everywhere, so that two processes never wait for each other
                folder.parent.mkdir(parents=True, exist_ok=True)
                try:
                    held.enter_context(FileLock(f"{folder}.lock", blocking=self._waits))
                except Timeout:
                    raise BeingBuilt(folder) from None
            yield

    def _make(self, folder: Path, kind: str, key: Mapping[str, Any], build: Callable[[Path], None]) -> None:
        with self._under_temporary_name(folder) as temporary:
            build(temporary)
            files = {str(p.relative_to(temporary)): digest_of_file(p) for p in sorted(temporary.rglob("*")) if p.is_file()}
            (temporary / ENTRY).write_text(json.dumps({"key": key, "files": files}, indent=1))
        self.made[kind] = self.made.get(kind, 0) + 1

    def _intact(self, folder: Path) -> bool:
        try:
            files = json.loads((folder / ENTRY).read_text())["files"]
            return all(self.digest(folder / name) == digest for name, digest in files.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    @contextlib.contextmanager
    def _under_temporary_name(self, folder: Path) -> Iterator[Path]:
        temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        temporary.mkdir()
        try:
            yield temporary
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _write_json(value: Any, folder: Path) -> None:
    (folder / VALUE).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
