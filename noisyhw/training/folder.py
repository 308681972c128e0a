"""A run folder: resolved config, environment, metrics, checkpoint, picture, and how the run stands."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from ..cards.experiment import Resolved
from ..errors import RunError
from .files import load_checkpoint, save_checkpoint, sync, write_text
from .trainer import Row

COLUMNS = [field.name for field in fields(Row)]
HEADER = ",".join(COLUMNS) + "\n"
BEGUN = ("lock", "run.json.part")
"""What a kill can leave of a run whose record is not written yet."""


class FolderBusy(RunError):
    """Another process is training in the folder."""


class RunFolder:
    """The files of one run.

    ``config.yaml`` and ``environment.json`` are written once; ``metrics.csv`` gets a line at the end of each epoch;
    ``checkpoint.pt`` and ``run.json`` are replaced as a whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.csv"
        self.checkpoint = path / "checkpoint.pt"
        self.record = path / "run.json"
        self.curve = path / "curve.png"
        self.last_epoch: int | None = None

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.record.is_file()

    def check_free(self) -> None:
        """Refuse a folder that holds something else, before anything is written to it.

        Raises:
            RunError: it does, or cannot be read.
        """
        try:
            found = sorted(entry.name for entry in self.path.iterdir() if entry.name not in BEGUN)
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunError(f"{self.path}: cannot be read ({error.strerror}); choose another --out") from None
        if found and not self.exists:
            raise RunError(f"{self.path}: holds '{found[0]}' and is no run folder; choose another --out")

    def create(self, experiment: Resolved, record: dict[str, Any], environment: dict[str, Any]) -> None:
        """Start a run: an empty table, and everything that says what it is."""
        self.write_record(record)
        self.checkpoint.unlink(missing_ok=True)
        self.curve.unlink(missing_ok=True)
        write_text(self.config, yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False))
        write_text(self.environment, json.dumps(environment, indent=2) + "\n")
        write_text(self.metrics, HEADER)

    def write_record(self, record: dict[str, Any]) -> None:
        """Say how the run stands."""
        write_text(self.record, json.dumps(record, indent=2) + "\n")

    def read_record(self) -> dict[str, Any]:
        """How the run stands.

        Raises:
            RunError: there is no run here, or its record is damaged.
        """
        try:
            record = json.loads(self.record.read_text())
        except FileNotFoundError:
            raise RunError(f"{self.path}: no run was started here (there is no run.json)") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{self.record}: cannot be read ({error})") from None
        if not isinstance(record, dict) or not {"identity", "status"} <= record.keys():
            raise RunError(f"{self.record}: not the record of a noisyhw run")
        return record

    def append(self, row: Row) -> None:
        """Add a finished epoch to the table, unless it is there already (a resumed run computes some epochs again)."""
        if self.last_epoch is None:
            self.last_epoch = max((known.epoch for known in self.rows()), default=0)
        if row.epoch <= self.last_epoch:
            return
        self.last_epoch = row.epoch
        try:
            with self.metrics.open("a") as file:
                file.write(_line(row))
        except OSError as error:
            raise RunError(
                f"{self.metrics}: cannot be written ({error.strerror}); free some space and --resume"
            ) from None

    def rows(self) -> list[Row]:
        """Finished epochs, in order; a line that a kill cut off does not count."""
        text = self._table()
        whole = text[: text.rfind("\n") + 1]
        try:
            return [_row(entry) for entry in csv.DictReader(io.StringIO(whole))]
        except (KeyError, ValueError, TypeError) as error:
            raise RunError(
                f"{self.metrics}: not a table of noisyhw ({error}); start again with --fresh"
            ) from None

    def _table(self) -> str:
        try:
            return self.metrics.read_text()
        except (OSError, ValueError) as error:
            raise RunError(f"{self.metrics}: cannot be read ({error}); start again with --fresh") from None

    def mend(self) -> None:
        """Cut off a half-written last line, and add columns that an earlier version did not have."""
        text = self._table()
        if not text.startswith(HEADER):
            write_text(self.metrics, HEADER + "".join(_line(row) for row in self.rows()))
        elif not text.endswith("\n"):
            write_text(self.metrics, text[: text.rfind("\n") + 1])

    def save(self, identity: str, state: dict[str, Any]) -> None:
        """Write the checkpoint, after the rows of the epochs that it has behind it."""
        sync(self.metrics)
        save_checkpoint(self.checkpoint, {"identity": identity, "trainer": state})

    def load(self, identity: str) -> dict[str, Any]:
        """Read the checkpoint of the run with that identity.

        Raises:
            RunError: it is damaged, or of another config.
        """
        saved = load_checkpoint(self.checkpoint)
        if saved.get("identity") != identity:
            raise RunError(
                f"{self.checkpoint}: belongs to another config (identity {str(saved.get('identity'))[:8]}, "
                f"this run's is {identity[:8]}); put back the folder's own "
                "config.yaml and checkpoint.pt, or start again with --fresh"
            )
        state = saved.get("trainer")
        if not isinstance(state, dict):
            raise RunError(f"{self.checkpoint}: holds no state of a run; start again with --fresh")
        return state

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, so that no second process trains in it.

        Raises:
            RunError: another process does.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / "lock").open("w")
        except OSError as error:
            raise RunError(
                f"{self.path}: cannot be written ({error.strerror}); choose another --out"
            ) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise FolderBusy(f"{self.path}: another process is training in this folder") from None
            yield


def _line(row: Row) -> str:
    return ",".join(_text(value) for value in asdict(row).values()) + "\n"


def _text(value: float | int | None) -> str:
    return "" if value is None else repr(value)


def _row(entry: dict[str, str]) -> Row:
    def maybe(text: str) -> float | None:
        return float(text) if text else None

    return Row(
        epoch=int(entry["epoch"]),
        step=int(entry["step"]),
        train_loss=float(entry["train_loss"]),
        train_accuracy=maybe(entry["train_accuracy"]),
        test_loss=float(entry["test_loss"]),
        test_accuracy=maybe(entry["test_accuracy"]),
        pulses_per_weight=maybe(entry.get("pulses_per_weight", "")),
        seconds=float(entry["seconds"]),
    )
