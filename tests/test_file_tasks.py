"""Files of data as tasks: every format, cards and sweeps, identity, resuming, and what is said of malformed files."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from decimal import Decimal
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
    aside[[int(np.flatnonzero((row == X).all(1))[0]) for row in rows_aside()]] = True
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


@pytest.fixture
def table(tmp_path: Path) -> Path:
    write_csv(tmp_path)
    return tmp_path / "data.csv"


def trained(out: Path, task: Path, *sets: str, **options: Any) -> noisyhw.Run:
    sets = ("task.target=state", *SMALL, *sets)
    return noisyhw.train(task=task, device="ideal", rule="bp", sets=sets, out=out, **options)


# Identity.


def test_where_a_file_lies_and_what_it_is_called_are_not_in_its_run_s_identity(
    table: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "renamed.csv"
    other.parent.mkdir()
    shutil.copy(table, other)
    one = trained(tmp_path / "run", table)
    two = trained(tmp_path / "other", other)
    assert one.identity == two.identity
    assert load_experiment(two.path / "config.yaml").task.file == str(other)


def test_how_a_file_is_read_is_in_the_identity_by_what_is_read(table: Path) -> None:
    plain = identity(experiment(table, "task.target=state"))
    assert identity(experiment(table, "task.target=state", "task.header=true")) == plain
    changes = ("task.test=0.4", "task.leave_out=mass", "task.held_out=0.1")
    assert plain not in {identity(experiment(table, "task.target=state", one)) for one in changes}


def test_an_edited_file_is_a_new_run(table: Path, tmp_path: Path) -> None:
    one = trained(tmp_path / "run", table)
    table.write_text(table.read_text().replace(",on", ",of", 1))
    with pytest.raises(RunError, match="holds a run of another config, data or version"):
        trained(tmp_path / "run", table)
    assert trained(tmp_path / "other", table).identity != one.identity


CARD = {"experiment": {"device": "ideal", "rule": "bp", "epochs": 1, "network": {"hidden": [4]}, "batch": 20}}


@pytest.mark.parametrize("engine", ["serial", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_sweep_over_files_computes_anew_what_was_edited_and_nothing_else(
    tmp_path: Path, engine: str
) -> None:
    for name in ("one.csv", "two.csv"):
        TABLE.to_csv(tmp_path / name, index=name == "two.csv")
    card = tmp_path / "card.yaml"
    card.write_text(
        "experiment: {device: ideal, rule: bp, epochs: 1, batch: 20, network: {hidden: [4]}, "
        "task: {target: state}}\n"
        "tasks: [./one.csv, {file: two.csv, leave_out: mass}]\n"
        "seeds: 2\n"
    )
    first = noisyhw.sweep(card, out=tmp_path / "sweep", engine=engine).table
    assert list(first["status"]) == ["done"] * 4
    assert sorted(first["task"]) == ["one", "one", "two", "two"]
    text = (tmp_path / "two.csv").read_text()
    (tmp_path / "two.csv").write_text(text.replace("0.", "1."))
    again = noisyhw.sweep(card, out=tmp_path / "sweep", engine=engine).table
    same = first.set_index("identity")["finished"].to_dict()
    kept = again[again["identity"].isin(same)]
    assert (kept["finished"] == kept["identity"].map(same)).all()
    assert len(again) - len(kept) == 2


@pytest.mark.slow
def test_ray_s_workers_read_the_file_themselves(table: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    card = CARD | {"seeds": 3, "grid": {"task.test": [0.2, 0.3]}}
    sets = [f"task={table}", "task.target=state"]
    serial = noisyhw.sweep(card, sets=sets, out=tmp_path / "serial", engine="serial").table
    ray = noisyhw.sweep(card, sets=sets, out=tmp_path / "ray", engine="ray", workers=2).table
    assert list(ray["status"]) == ["done"] * 6
    assert sorted(ray["test_loss"]) == sorted(serial["test_loss"])


def test_two_files_of_one_name_are_told_apart_in_a_sweep(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (TABLE if folder == "a" else TABLE[::-1]).to_csv(tmp_path / folder / "data.csv", index=False)
    tasks = [{"file": str(tmp_path / folder / "data.csv"), "target": "state"} for folder in ("a", "b")]
    with pytest.raises(UsageError, match=r"task\.name: 'data' stands for .*a/data.csv and .*b/data.csv"):
        plan(CARD | {"tasks": tasks})
    named = [task | {"name": name} for task, name in zip(tasks, ("left", "right"), strict=True)]
    assert [point.settings["task"] for point in plan(CARD | {"tasks": named}).points] == ["left", "right"]


# Cards.


def test_a_path_is_relative_to_its_card_and_on_the_command_line_to_where_one_is(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "cards" / "card.yaml"
    card.parent.mkdir()
    card.write_text("device: ideal\nrule: bp\ntask: {file: ../data.csv, target: state, test: ./test.csv}\n")
    shutil.copy(table, card.parent / "test.csv")
    assert experiment(None, card=card).task.options["test"] == str(card.parent / "test.csv")
    monkeypatch.chdir(tmp_path)
    for task in ("data.csv", "./data.csv", {"file": "data.csv"}):
        assert experiment(task, "task.target=state").task.file == str(table)
    assert experiment(None, "task.test=./data.csv", card=card).task.options["test"] == str(table)
    shutil.copy(table, "other.csv")
    swept = CARD | {"experiment": str(card), "grid": {"task.test": [0.3, 0.4]}}
    [one, two] = plan(swept, ["task.file=other.csv"]).points
    assert one.experiment.task.file == str(tmp_path / "other.csv")
    assert (one.settings["task"], two.settings["task.test"]) == ("other", 0.4)


def test_a_file_replaces_a_named_task_and_a_name_a_file_as_a_whole(table: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("device: ideal\nrule: bp\ntask: {name: sarcos, split: blocks}\n")
    assert experiment(table, "task.target=state", card=card).task.options == {"target": "state"}
    card.write_text("device: ideal\nrule: bp\ntask: {file: data.csv, target: state, kind: classification}\n")
    assert experiment("digits", card=card).task == experiment("digits").task
    kept = experiment(None, "task.kind=null", "task.test=0.5", card=card).task
    assert (kept.options, kept.name) == ({"target": "state", "test": 0.5}, "data")
    sets = ("task.kind=regression", "task.target=[mass, dose]", "task.leave_out=state")
    other = experiment(None, *sets, card=card).task.options
    assert other == {"target": ["mass", "dose"], "kind": "regression", "leave_out": "state"}


# Resuming.


def test_a_run_on_a_file_goes_on_where_it_paused_bit_for_bit(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = trained(tmp_path / "straight", table)
    paused = trained(tmp_path / "paused", table, pause_after=1)
    monkeypatch.chdir("/")
    done = noisyhw.resume(paused.path)
    assert list(done.metrics.test_loss) == list(straight.metrics.test_loss)


def test_a_run_whose_file_is_gone_or_was_edited_is_not_gone_on_with(table: Path, tmp_path: Path) -> None:
    paused = trained(tmp_path / "paused", table, pause_after=1)
    text = table.read_text()
    table.write_text(text.replace(",on", ",off", 1))
    with pytest.raises(
        RunError, match=r"the data in .*data\.csv have changed since .* put the file back as it was"
    ):
        noisyhw.resume(paused.path)
    table.unlink()
    with pytest.raises(DataError, match=r"data\.csv: No such file .* so put it there"):
        noisyhw.resume(paused.path)
    table.write_text(text)
    assert noisyhw.resume(paused.path).status == "done"


# Tables as people write them.

WRITTEN: dict[str, tuple[str, list[str], str]] = {
    "an index column that counts from 1": (",a,b,c\n1,.5,2,u\n2,1.5,3,v\n3,2,1,u\n4,1,7,v\n", [], "a b"),
    "spaces after commas and in names": ("a , b,c\n 0.5, 2, u\n 1.5, 3, v\n 2, 1, u\n 1, 2, v\n", [], "a b"),
    "an empty last column": ("a,b,c,\n1,2,u,\n3,4,v,\n5,6,u,\n7,8,v,\n", [], "a b"),
    "a byte order mark and quotes": ('\ufeff"a";"b";"c"\n1,5;2;u\n2,5;3;v\n1;2;u\n2;3;v\n', [], "a b"),
    "names that are counted": ("0,1,2\n5.1,3,1\n4.9,3,0\n4,2,1\n5,4,0\n", ["task.target=2"], "0 1"),
    "no names": ("5.1,3,u\n4.9,3,v\n4,2,u\n5,4,v\n", ["task.target=2", "task.header=false"], "0 1"),
    "names that are wavelengths": (
        "350,351.5,c\n1,2,u\n3,4,v\n5,6,u\n7,8,v\n",
        ["task.header=true"],
        "350 351.5",
    ),
    "blank lines and Windows' line ends": (
        "a,b,c\r\n\r\n1,2,u\r\n3,4,v\r\n5,6,u\r\n7,8,v\r\n\r\n",
        [],
        "a b",
    ),
    "true and false": ("a,b,c\nTrue,2,u\nFalse,4,v\nTrue,6,u\nTrue,8,v\n", [], "a b"),
    "a number of thirty digits": ("a,b,c\n1e2,2,u\n" + "1" * 30 + ",4,v\n5,6,u\n7,8,v\n", [], "a b"),
    "bars": ("a|b|c\n1.5|2|u\n3|4|v\n5|6|u\n7|8|v\n", [], "a b"),
    "commas in quoted names": ('"a, m","b;",c\n1,2,u\n3,4,v\n5,6,u\n7,8,v\n', [], "a, m|b;"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_table_is_read_as_a_person_means_it(name: str, tmp_path: Path) -> None:
    text, sets, columns = WRITTEN[name]
    file = tmp_path / "data.csv"
    file.write_bytes(text.encode())
    target = [] if any("task.target" in one for one in sets) else ["task.target=c"]
    data = data_in(file, *target, *sets, "task.test=0.5")
    assert data.inputs == len(columns.split("|" if "|" in columns else " "))
    assert (data.outputs, len(data.train_x) + len(data.test_x)) == (2, 4)
    values = pd.concat([pd.DataFrame(one.numpy()) for one in (data.train_x, data.test_x)])
    assert values[0].nunique() > 1


def test_numbers_that_parquet_keeps_as_text_or_decimals_are_numbers(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    kept = TABLE.assign(dose=TABLE["dose"].astype(str), mass=[Decimal(str(one)) for one in TABLE["mass"]])
    kept.to_parquet(tmp_path / "data.parquet")
    assert data_in(tmp_path / "data.parquet", "task.target=state").version == Data.from_arrays(X, Y).version


def test_columns_may_be_left_out_and_several_learnt(table: Path) -> None:
    data = data_in(table, "task.target=[dose, mass]", "task.leave_out=state")
    assert (data.kind, data.inputs, data.outputs) == ("regression", 1, 2)
    counted = data_in(table, "task.target=dose", "task.leave_out=[state]", "task.kind=regression")
    assert (counted.inputs, counted.outputs) == (2, 1)


def test_a_column_that_counts_the_rows_is_left_out_with_a_note(tmp_path: Path) -> None:
    write_csv_with_index(tmp_path)
    data = data_in(tmp_path / "data.csv.gz", "task.target=state")
    assert data.notes == ("data.csv.gz: the first column has no name and counts the rows; it is left out",)


GOOD = "a,b,c\n1,2,u\n3,4,v\n5,6,u\n7,8,v\n"
MALFORMED: dict[str, tuple[str | bytes, list[str], str]] = {
    "an empty file": ("", [], r"data\.csv: is empty; a line with the columns' names"),
    "names alone": ("a,b,c\n", [], r"data\.csv: has no rows; at least one sample"),
    "a missing cell": (
        GOOD.replace("4", ""),
        [],
        r"data\.csv: row 1, column 'b': is missing; drop such rows",
    ),
    "a missing target": (GOOD.replace("v\n5", "\n5"), [], r"data\.csv: column 'c', row 1: is missing"),
    "a word among numbers": (
        GOOD.replace("6", "6?"),
        [],
        r"row 2, column 'b': '6\?' is no number; mend it, or leave the column out",
    ),
    "a column of text": (
        "a,b,c\nx,2,u\ny,4,v\n",
        [],
        r"row 0, column 'a': 'x' is no number; all of the column is text",
    ),
    "one class": (GOOD.replace("v", "u"), [], r"data\.csv: column 'c': all samples are of one class \('u'\)"),
    "a word among the targets": (
        "a,c\n1,.5\n2,?\n3,.7\n",
        [],
        r"row 1, column 'c': '\?' is no number, and most of the column is; mend it, or say task\.kind=classification",
    ),
    "points among decimal commas": (
        "a;b;c\n1.5;1,5;u\n2.5;2,5;v\n",
        [],
        r"column 'a': '1\.5' has a point, and numbers of other columns a comma; write all one way",
    ),
    "a title above": (
        "Results\n\na,c\n1,u\n",
        [],
        r"line 1 has 1 cells, and line 2 2; line 1 must name every column",
    ),
    "a thousand with a comma": (
        'a,b,c\n"1,234",2,u\n3,4,v\n',
        [],
        r"row 0, column 'a': '1,234' is no number",
    ),
    "first line a sample": ("5.1,3,u\n4.9,3,v\n", [], r"line 1 holds a number \(5\.1\).*task\.header=false"),
    "a name that is there twice": ("a,a,c\n1,2,u\n", [], r"line 1: column 'a' is there twice"),
    "a row that is too long": (GOOD + "1,2,u,4\n", [], r"data\.csv: cannot be read \(.*line 6, saw 4\)"),
    "row names without a name": (
        "a,c\nr1,2,u\nr2,4,v\n",
        [],
        r"line 1 has 2 cells, and line 2 3; line 1 must name every column",
    ),
    "another encoding": ("größe,c\n1,u\n".encode("latin-1"), [], r"is not UTF-8 text \(byte 2\); save it as"),
    "another encoding far down": (
        (GOOD * 20).encode() + "1,2,ö\n".encode("latin-1"),
        ["task.header=true"],
        r"is not UTF-8 text",
    ),
    "no such column": (
        GOOD,
        ["task.target=cc"],
        r"task\.target: .*no column 'cc'\. Did you mean 'c'\? There are 'a'",
    ),
    "no column left": (GOOD, ["task.leave_out=[a, b]"], r"no column is left for the inputs"),
    "values as classes": (
        "a,c\n1,.5\n2,1.5\n",
        ["task.kind=classification"],
        r"column 'c', row 0: 0\.5 is no class; give whole numbers, or task\.kind='regression'",
    ),
    "a test file that is not there": (GOOD, ["task.test=./gone.csv"], r"gone\.csv: No such file"),
    "a test file of another kind": (GOOD, ["task.test=./gone.txt"], r"gone\.txt: No such file"),
    "targets of a table": (
        GOOD,
        ["task.targets=./y.npy"],
        r"task\.targets: is of an \.npy, and data\.csv is none",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_table_that_cannot_be_read_is_refused_with_file_place_and_fix(name: str, tmp_path: Path) -> None:
    text, sets, told = MALFORMED[name]
    file = tmp_path / "data.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(NoisyhwError, match=told) as refused:
        data_in(file, "task.target=c", *sets)
    assert "\n" not in str(refused.value)


def test_a_test_table_is_checked_against_the_one_that_is_trained_on(table: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    for changed, told in (
        (TABLE.drop(columns="mass"), r"test\.csv: lacks column 'mass' of the table that is trained on"),
        (TABLE.assign(more=1), r"test\.csv: has column 'more', which is not in"),
        (TABLE.assign(state="between"), r"test\.csv: column 'state', row 0: class 'between' is not among"),
        (TABLE.assign(mass=np.nan), r"test\.csv: row 0, column 'mass': is missing"),
    ):
        changed.to_csv(test, index=False)
        with pytest.raises(DataError, match=told):
            data_in(table, "task.target=state", f"task.test={test}")


# Arrays as people keep them.


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X.astype("float16"), Y == "on"),
        (np.asfortranarray(X), np.eye(2)[(Y == "on").astype(int)]),
        (X.astype(">f8"), (Y == "on").astype(">i2")),
        (np.abs(X * 100).astype("uint8"), (Y == "on")[:, None].astype("int8")),
        (X.reshape(60, 1, 3, 1), (Y == "on").astype(np.uint64)),
    ],
    ids=["float16", "fortran and one-hot", "big-endian", "bytes", "images"],
)
def test_arrays_of_any_type_and_order_are_read(x: np.ndarray, y: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=x, y=y)
    data = data_in(tmp_path / "data.npz")
    assert (data.kind, data.inputs, data.outputs) == ("classification", 3, 2)
    assert data.train_x.is_contiguous()


def npz(**arrays: Any) -> Callable[[Path], None]:
    return lambda file: np.savez(file, **arrays)


ARRAYS: dict[str, tuple[str, Callable[[Path], object], list[str], str]] = {
    "no targets": ("d.npz", npz(x=X), [], r"has no array y, it holds x; name the arrays x and y"),
    "other names": ("d.npz", npz(images=X, labels=Y), [], r"has no array x, it holds images, labels"),
    "half a test set": ("d.npz", npz(x=X, y=Y, test_x=X), [], r"has no array test_y"),
    "two of one meaning": ("d.npz", npz(x=X, X=X, y=Y), [], r"x and X both stand for x"),
    "objects": (
        "d.npz",
        npz(x=X, y=np.array(Y, dtype=object)),
        [],
        r"array y holds Python objects.*y\.astype\(str\)",
    ),
    "a number that is none": (
        "d.npz",
        npz(x_train=np.where(X > 2, np.nan, X) * np.nan, y_train=Y),
        [],
        r"d\.npz: x_train, row 0, column 0: is missing \(NaN\)",
    ),
    "of different lengths": ("d.npz", npz(x=X, y=Y[:-1]), [], r"d\.npz: x has 60 samples, and y 59"),
    "an own test set and a share": (
        "d.npz",
        npz(x=X, y=Y, test_x=X, test_y=Y),
        ["task.test=0.5"],
        r"has a test set of its own \(test_x\)",
    ),
    "a target column": (
        "d.npz",
        npz(x=X, y=Y),
        ["task.target=y"],
        r"task\.target: is of a table, and d\.npz is none",
    ),
    "a cut archive": (
        "d.npz",
        lambda file: file.write_bytes(b"PK\x03\x04 and no more"),
        [],
        "is no readable .npz",
    ),
    "an empty archive": (
        "d.npz",
        lambda file: file.write_bytes(b""),
        [],
        r"is no readable \.npz \(it is empty\)",
    ),
    "text in an archive's place": ("d.npz", lambda file: file.write_text("x,y"), [], r"no such file at all"),
    "inputs alone": (
        "d.npy",
        lambda file: np.save(file, X),
        [],
        r"task\.targets: .*name the file with the targets",
    ),
    "targets that are not there": (
        "d.npy",
        lambda file: np.save(file, X),
        ["task.targets=./gone.npy"],
        r"gone\.npy: No such file",
    ),
    "a spreadsheet": (
        "d.xlsx",
        lambda file: file.write_bytes(b"PK"),
        [],
        r"such a file is not read; give \.npz",
    ),
    "a folder": ("d.csv", lambda file: file.mkdir(), [], r"is a folder; name a file of data"),
    "nothing": ("d.parquet", lambda file: None, [], r"d\.parquet: No such file"),
    "no parquet": ("d.parquet", lambda file: file.write_bytes(b"PAR1"), [], r"is no readable \.parquet"),
    "no gzip": ("d.csv.gz", lambda file: file.write_text(GOOD), [], r"d\.csv\.gz: cannot be read"),
    "a cut gzip": (
        "d.csv.gz",
        lambda file: file.write_bytes(gzip.compress(GOOD.encode())[:-9]),
        [],
        r"d\.csv\.gz: cannot be read",
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_file_of_arrays_that_cannot_be_read_is_refused_with_its_name_and_the_fix(
    name: str, tmp_path: Path
) -> None:
    file, write, sets, told = ARRAYS[name]
    write(tmp_path / file)
    with pytest.raises(NoisyhwError, match=told) as refused:
        data_in(tmp_path / file, *sets)
    assert "\n" not in str(refused.value)


def test_arrays_that_are_not_used_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X, y=Y, names=Y)
    assert data_in(tmp_path / "data.npz").notes == ("data.npz: arrays that are not used: names",)


def test_parquet_without_its_package_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(
        UsageError, match=r"needs pyarrow, which is not installed: pip install 'noisyhw\[parquet\]'"
    ):
        data_in(tmp_path / "data.parquet", "task.target=c")


def test_an_option_that_a_file_does_not_have_is_refused_with_its_line(table: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("device: ideal\ntask:\n  file: data.csv\n  targt: state\n")
    with pytest.raises(
        UsageError, match=r"card\.yaml:4: task\.targt: task 'data' has no .* did you mean 'target'\?"
    ):
        load_experiment(card)
