"""Files of data as tasks: every format, cards and sweeps, identity, resuming, and what is said of malformed files."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import noisyhw
from noisyhw import DataError, NoisyhwError, RunError, UsageError
from noisyhw.cards import load_experiment
from noisyhw.cards.experiment import Experiment
from noisyhw.sweeps import plan
from noisyhw.tasks import Data, data_of, load_data, task_of
from noisyhw.training.resolve import resolve

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(60, 3)).round(3)
Y = np.where(X[:, 0] > 0, "on", "off")
TABLE = pd.DataFrame(X, columns=["dose", "age of donor", "mass"]).assign(state=Y)
SMALL = ["network.hidden=[4]", "epochs=2", "batch=20"]


@pytest.fixture(autouse=True)
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisyhw.training.run.draw_curve", lambda *given: None)


def experiment(task: Any, *sets: str, card: Path | None = None) -> Experiment:
    options = {"task": task} if isinstance(task, dict) else {"task.name": None if task is None else str(task)}
    device = {} if card is not None else {"device": "ideal", "rule.name": "bp"}
    return resolve(load_experiment(card, device | options, [*SMALL, *sets]))


def data_in(task: Any, *sets: str) -> Data:
    return load_data(data_of(experiment(task, *sets)))


def identity(one: Experiment) -> str:
    return one.identity(load_data(data_of(one)).version, "code")


def write_npz(folder: Path) -> dict[str, Any]:
    np.savez(folder / "data.npz", x=X, y=Y)
    return {"file": "data.npz"}


def write_npz_spelled(folder: Path) -> dict[str, Any]:
    given = Data.from_arrays(X, Y)
    parts = {
        "X_train": given.train_x,
        "Y_train": given.train_y,
        "x_test": given.test_x,
        "y_test": given.test_y,
    }
    named = {key: value.numpy() for key, value in parts.items()}
    for key in ("Y_train", "y_test"):
        named[key] = np.array(given.classes)[named[key]]
    np.savez_compressed(folder / "data.npz", **named)
    return {"file": "data.npz"}


def write_npy(folder: Path) -> dict[str, Any]:
    np.save(folder / "x.npy", np.asfortranarray(X))
    np.save(folder / "y.npy", Y)
    return {"file": "x.npy", "targets": "./y.npy"}


def write_csv(folder: Path) -> dict[str, Any]:
    TABLE.to_csv(folder / "data.csv", index=False)
    return {"file": "data.csv", "target": "state"}


def write_csv_with_index(folder: Path) -> dict[str, Any]:
    TABLE.to_csv(folder / "data.csv.gz")
    return {"file": "data.csv.gz", "target": "state"}


def write_tsv(folder: Path) -> dict[str, Any]:
    TABLE.to_csv(folder / "data.tsv", index=False, sep="\t")
    return {"file": "data.tsv", "target": "state"}


def write_german(folder: Path) -> dict[str, Any]:
    TABLE.to_csv(folder / "data.csv", index=False, sep=";", decimal=",", encoding="utf-8-sig", quoting=2)
    return {"file": "data.csv", "target": "state"}


def write_parquet(folder: Path) -> dict[str, Any]:
    pytest.importorskip("pyarrow")
    TABLE.to_parquet(folder / "data.parquet")
    return {"file": "data.parquet", "target": "state"}


def write_two_tables(folder: Path) -> dict[str, Any]:
    aside = np.zeros(60, dtype=bool)
    aside[[int(np.flatnonzero((X == row).all(1))[0]) for row in rows_aside()]] = True
    TABLE[~aside].to_csv(folder / "train.csv", index=False)
    TABLE[aside][["state", "mass", "dose", "age of donor"]].to_csv(folder / "test.csv", index=False)
    return {"file": "train.csv", "target": "state", "test": "./test.csv"}


def rows_aside() -> np.ndarray:
    return X[[int(np.abs(X - row).sum(1).argmin()) for row in Data.from_arrays(X, Y).test_x.numpy()]]


FORMATS = {
    name.removeprefix("write_"): value for name, value in list(globals().items()) if name.startswith("write_")
}


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_a_file_of_any_format_is_the_same_run_as_its_arrays_in_memory(
    write: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    task = write(tmp_path)
    card = tmp_path / "card.yaml"
    lines = "".join(f"  {key}: {value}\n" for key, value in task.items())
    card.write_text(f"device: ideal\nrule: bp\ntask:\n{lines}")
    one = experiment(None, card=card)
    given = Data.from_arrays(X, Y)
    read = load_data(data_of(one))
    assert read.classes == ("off", "on")
    assert read.version == given.version
    assert (read.train_x == given.train_x).all()
    assert identity(one) == identity(experiment(noisyhw.tasks.card_of(given)))
    assert task_of(one.task).found(None) == tmp_path / task["file"]
