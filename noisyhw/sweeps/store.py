"""A sweep folder: which runs are asked for, and those that are finished; safe with many processes at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..training.environment import environment
from ..training.files import write_text
from ..training.folder import COLUMNS
from .lines import Lines
from .points import Point
from .record import Outcome, Record

FORMAT = 1
MARK = "sweep.json"
OWN_FILES = ("lock", "claims")


class Store:
    """The files of one sweep folder.

    - ``sweep.json``: says that this is one, and its format;
    - ``points.jsonl``: a line for each run that was asked for: identity, settings (of equal ones the last counts), and
      what a search has chosen for it;
    - ``records.jsonl``: a line for each finished run, appended once and never changed;
    - ``forgotten.jsonl``: a line for each run that is to be computed anew, and how many lines of records and curves
      were there: those of them that are the run's do not count any more;
    - ``curves.jsonl``: its table of epochs, written before its record;
    - ``environments.jsonl``: with what it was computed;
    - ``runs/``: run folders, for sweeps that keep them;
    - ``search/``: the sweep's folder of a search that comes before the runs;
    - ``lock``, ``claims``: held while lines are added, and while a run is computed;
    - ``results.csv``: the table for people, made anew from the other files.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, Record] = {}
        self.points: list[dict[str, Any]] = []
        self._records = Lines(path / "records.jsonl")
        self._points = Lines(path / "points.jsonl")
        self._forgotten = Lines(path / "forgotten.jsonl")
        self._counts_from: dict[str, int] = {}
        self._curves_from: dict[str, int] = {}
        self._claims: int | None = None

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Look at a sweep folder.

        Raises:
            RunError: it is none, or of a format that this version does not know.
        """
        store = cls(Path(path).expanduser())
        if not store.exists:
            raise RunError(f"{path}: no sweep was started here (there is no {MARK})")
        store._check_format()
        store.refresh()
        return store

    @classmethod
    def create(cls, path: str | Path) -> Store:
        """Make a sweep folder, or open the one that is there.

        Raises:
            RunError: the folder holds something else, or cannot be written.
        """
        store = cls(Path(path).expanduser())
        try:
            store.path.mkdir(parents=True, exist_ok=True)
            with store.locked():
                if not store.exists:
                    store._check_free()
                    write_text(store.path / MARK, json.dumps({"format": FORMAT}) + "\n")
        except OSError as error:
            raise RunError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None
        return cls.open(store.path)

    @property
    def exists(self) -> bool:
        """Whether a sweep was started here."""
        return (self.path / MARK).is_file()

    def _check_free(self) -> None:
        others = sorted(
            entry.name
            for entry in self.path.iterdir()
            if entry.name not in OWN_FILES and not entry.name.endswith(".part")
        )
        if others:
            raise RunError(f"{self.path}: holds '{others[0]}' and is no sweep folder; choose another --out")

    def _check_format(self) -> None:
        try:
            known = json.loads((self.path / MARK).read_text())["format"]
        except (OSError, ValueError, LookupError, TypeError):
            known = None
        if known != FORMAT:
            raise RunError(f"{self.path / MARK}: format {known}, this version knows {FORMAT}")

    def refresh(self) -> list[str]:
        """Read what was added, by this process or another, since the last time; return the runs that finished.

        Raises:
            RunError: a line is damaged.
        """
        self.points += self._points.news()
        for entry in self._forgotten.news():
            self._forget(entry)
        finished = []
        first = self._records.number + 1
        for number, entry in enumerate(self._records.news(), first):
            if number <= self._counts_from.get(str(entry.get("identity")), 0):
                continue
            try:
                record = Record.read(entry)
            except TypeError:
                raise RunError(f"{self._records.path}:{number}: not a record of this version") from None
            self.records[record.identity] = record
            finished.append(record.identity)
        return finished

    def _forget(self, entry: dict[str, Any]) -> None:
        identity, lines, curves = (entry.get(key) for key in ("identity", "records", "curves"))
        if not (isinstance(identity, str) and isinstance(lines, int) and isinstance(curves, int)):
            raise RunError(f"{self._forgotten.path}:{self._forgotten.number}: not a line of this version")
        self._counts_from[identity], self._curves_from[identity] = lines, curves
        if lines <= self._records.number:  # else a later record of it has been read already
            self.records.pop(identity, None)

    def forget(self, identities: Iterable[str]) -> None:
        """Let what is kept of these runs count no more; what another process computes at present stays.

        Raises:
            RunError: the folder cannot be written, or a run's own folder is in use.
        """
        with self.locked():
            self.refresh()
            mine = [identity for identity in identities if self.claim(identity)]
            for identity in mine:
                _removed(self.run_folder(identity))
            curves = Lines(self.path / "curves.jsonl")
            curves.news()
            there = {"records": self._records.number, "curves": curves.number}
            self._forgotten.append({"identity": one, **there} for one in mine if one in self.records)
            self.refresh()
            for identity in mine:
                self.release(identity)

    @property
    def current(self) -> list[dict[str, Any]]:
        """The points that count: of those with equal settings, the one that was asked for last.

        Two such points are different runs where the card's common settings, the data or the arithmetic differ.
        """
        return list({json.dumps(point["settings"], sort_keys=True): point for point in self.points}.values())

    def ask(self, points: Iterable[Point]) -> None:
        """Note which runs are asked for, unless they are noted already and count."""
        with self.locked():
            self.refresh()
            known = {json.dumps(point, sort_keys=True) for point in self.current}
            asked = map(_line, points)
            new = {json.dumps(point, sort_keys=True): point for point in asked}
            self._points.append(point for text, point in new.items() if text not in known)
            self.refresh()

    def add(self, outcome: Outcome) -> None:
        """Keep a finished run.

        Raises:
            RunError: the disk is full, or the folder cannot be written.
        """
        columns = {key: [getattr(row, key) for row in outcome.rows] for key in COLUMNS}
        with self.locked():
            Lines(self.path / "curves.jsonl").append(
                [{"identity": outcome.record.identity, **columns}] if outcome.rows else []
            )
            self._records.append([asdict(outcome.record)])
        self.records[outcome.record.identity] = outcome.record

    def curves(self) -> dict[str, dict[str, list[Any]]]:
        """Return the tables of epochs of all finished runs, identity -> column -> values."""
        found = {}
        for number, entry in enumerate(Lines(self.path / "curves.jsonl").news(), 1):
            identity = entry.pop("identity")
            if number > self._curves_from.get(identity, 0):
                found[identity] = entry
        return found

    def note_environment(self) -> None:
        """Note with what runs are computed, if that is new."""
        here = environment()
        with self.locked():
            lines = Lines(self.path / "environments.jsonl")
            if here not in lines.news():
                lines.append([here])

    def run_folder(self, identity: str) -> Path:
        """Return where a run has its own folder, in sweeps that keep them."""
        return self.path / "runs" / identity[:16]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's files while lines are added."""
        try:
            file = (self.path / "lock").open("w")
        except OSError as error:
            raise RunError(
                f"{self.path}: cannot be written ({error.strerror}); choose another --out"
            ) from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def claim(self, identity: str) -> bool:
        """Take a run for this process, until it is released or the process ends; False: another has it."""
        if self._claims is None:
            self._claims = os.open(self.path / "claims", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte(identity))
        except OSError:
            return False
        return True

    def release(self, identity: str) -> None:
        """Give a claimed run back."""
        if self._claims is not None:
            fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, _byte(identity))

    def close(self) -> None:
        """Give all claims back."""
        if self._claims is not None:
            os.close(self._claims)
            self._claims = None


def _removed(folder: Path) -> None:
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise RunError(f"{folder}: cannot be removed ({error.strerror})") from None


def _line(point: Point) -> dict[str, Any]:
    """A point as it is noted."""
    line = {"identity": point.identity, "settings": dict(point.settings)}
    return line | ({"tuned": dict(point.tuned)} if point.tuned else {})


def _byte(identity: str) -> int:
    """The byte of the claims file that stands for a run; the file itself stays empty."""
    return int(identity[:15], 16)
