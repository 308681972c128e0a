"""Data of one's own: what arrays, tensors, tables and data sets become, and what is said of malformed ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from noisyhw import Data, UsageError

X = np.linspace(-1, 1, 40).reshape(20, 2)
Y = np.arange(20) % 2


class Items(Dataset):
    """A map-style data set of given items."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        if isinstance(self.items[row], Exception):
            raise self.items[row]
        return self.items[row]


class Endless(IterableDataset):
    """A stream, which has no length."""

    def __iter__(self) -> Any:
        return iter([(torch.zeros(2), 0)])


def at(values: np.ndarray, place: tuple[int, ...], value: Any) -> np.ndarray:
    """A copy with one entry changed."""
    changed = np.array(values, dtype=np.result_type(values, type(value)))
    changed[place] = value
    return changed


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"age": X[:, 0], "dose": X[:, 1]} | columns)


MALFORMED: dict[str, tuple[Callable[[], Data], str]] = {
    "a list of rows of different lengths": (
        lambda: Data.from_arrays([[1.0, 2.0], [3.0]], [0, 1]),
        r"x, row 1: is ragged: 1 values, and row 0 has 2 values; rows must have one length",
    ),
    "an object array of arrays": (
        lambda: Data.from_arrays(np.array([np.zeros(2), np.zeros(3)], dtype=object), [0, 1]),
        r"x, row 1: is ragged: 3 values, and row 0 has 2 values",
    ),
    "a text among numbers": (
        lambda: Data.from_arrays(np.array([[1.0, 2.0], [3.0, "high"]], dtype=object), [0, 1]),
        r"x, row 1, column 1: 'high' is a str in an object array; give an array of one numeric type",
    ),
    "None among numbers": (
        lambda: Data.from_arrays(np.array([[1.0, None], [3.0, 2.0]], dtype=object), [0, 1]),
        r"x, row 0, column 1: is missing; drop such rows, or fill them in",
    ),
    "text as inputs": (
        lambda: Data.from_arrays(np.array([["a", "b"], ["c", "d"]]), [0, 1]),
        r"x, row 0, column 0: 'a' is text; give numbers",
    ),
    "complex inputs": (
        lambda: Data.from_arrays(X + 0j, Y),
        r"x: is complex \(complex128\); give real and imaginary parts as columns",
    ),
    "dates": (
        lambda: Data.from_arrays(X.astype("datetime64[s]"), Y),
        r"x: holds dates or times \(datetime64\[s\]\); give them as numbers",
    ),
    "a structured array": (
        lambda: Data.from_arrays(np.zeros(20, dtype=[("a", "f4"), ("b", "f4")]), Y),
        r"x: is a structured array; give its fields as columns",
    ),
    "NaN": (
        lambda: Data.from_arrays(at(X, (3, 1), np.nan), Y),
        r"x, row 3, column 1: is missing \(NaN\); drop such rows, or fill them in$",
    ),
    "NaN in many places": (
        lambda: Data.from_arrays(X * np.nan, Y),
        r"x, row 0, column 0: is missing \(NaN\).* \(39 more like it\)",
    ),
    "infinity": (
        lambda: Data.from_arrays(at(X, (0, 1), -np.inf), Y),
        r"x, row 0, column 1: is infinite \(-inf\)",
    ),
    "a double that is too large for single precision": (
        lambda: Data.from_arrays(at(X, (19, 0), 1e39), Y),
        r"x, row 19, column 0: 1e\+39 does not fit into 32 bits \(up to 3.4e38\); scale the column",
    ),
    "NaN in a picture": (
        lambda: Data.from_arrays(at(np.zeros((20, 1, 2, 2)), (4, 0, 1, 1), np.nan), Y),
        r"x, image 4, pixel \[0, 1, 1\]: is missing",
    ),
    "NaN in the test inputs": (
        lambda: Data.from_arrays(X, Y, test=(at(X, (5, 0), np.nan), Y)),
        r"test x, row 5, column 0: is missing \(NaN\)",
    ),
    "inputs without a second dimension": (
        lambda: Data.from_arrays(X[:, 0], Y),
        r"x: has 1 dimension, and \[samples, columns\] is needed; a single column is x.reshape\(-1, 1\)",
    ),
    "inputs with five dimensions": (
        lambda: Data.from_arrays(np.zeros((20, 1, 1, 2, 2)), Y),
        r"x: has shape \(20, 1, 1, 2, 2\); give \[samples, columns\], or images",
    ),
    "pictures with the channels last": (
        lambda: Data.from_arrays(np.zeros((20, 8, 8, 3)), Y),
        r"x: has shape \(20, 8, 8, 3\), with channels last; .* numpy.moveaxis\(x, -1, 1\)",
    ),
    "no samples": (lambda: Data.from_arrays(X[:0], Y[:0]), r"x: is empty \(shape \(0, 2\)\)"),
    "no columns": (lambda: Data.from_arrays(X[:, :0], Y), r"x: has no columns \(shape \(20, 0\)\)"),
    "no test samples": (lambda: Data.from_arrays(X, Y, test=(X[:0], Y[:0])), r"test x: is empty"),
    "lengths that differ": (
        lambda: Data.from_arrays(X, Y[:19]),
        r"x has 20 samples, and y 19; give one target a sample",
    ),
    "test lengths that differ": (
        lambda: Data.from_arrays(X, Y, test=(X[:5], Y[:4])),
        r"test x has 5 samples, and test y 4",
    ),
    "test columns that differ": (
        lambda: Data.from_arrays(X, Y, test=(X[:, :1], Y)),
        r"test x: has 1 columns, and x 2 columns; give both alike",
    ),
    "test pictures of another size": (
        lambda: Data.from_arrays(np.zeros((20, 1, 2, 8)), Y, test=(np.zeros((20, 1, 4, 4)), Y)),
        r"test x: has images of \(1, 4, 4\), and x images of \(1, 2, 8\)",
    ),
    "test values with more columns": (
        lambda: Data.from_arrays(X, X, test=(X, X[:, :1])),
        r"test y: has 1 columns, and y 2; give both alike",
    ),
    "a class that only the test set has": (
        lambda: Data.from_arrays(X, Y, test=(X, at(Y, (7,), 5))),
        r"test y, row 7: class 5 is not among those of y \(0, 1\); train on it too, or leave it out",
    ),
    "a one-hot class that only the test set has": (
        lambda: Data.from_arrays(X, np.eye(3)[Y], test=(X, np.eye(3)[at(Y, (7,), 2)])),
        r"test y, row 7: class 2 is not among those of y \(0, 1\)",
    ),
    "test classes of another type": (
        lambda: Data.from_arrays(X, Y, test=(X, Y.astype(str))),
        r"test y, row 0: class '0' is not among those of y \(0, 1\)",
    ),
    "one class": (
        lambda: Data.from_arrays(X, 0 * Y),
        r"y: all samples are of one class \(0\); at least two classes are needed",
    ),
    "a class that is missing": (
        lambda: Data.from_arrays(X, pd.Series(["a", None, *["b"] * 18])),
        r"y, row 1: is missing; drop such rows, or fill them in",
    ),
    "a target that is NaN": (
        lambda: Data.from_arrays(X, at(X[:, 0], (9,), np.nan)),
        r"y, row 9: is missing \(NaN\)",
    ),
    "half a class": (
        lambda: Data.from_arrays(X, at(Y.astype(float), (2,), 0.5), kind="classification"),
        r"y, row 2: 0.5 is no class; give whole numbers, or kind='regression'",
    ),
    "probabilities as classes": (
        lambda: Data.from_arrays(X, np.full((20, 2), 0.5), kind="classification"),
        r"y, row 0: \[0.5, 0.5\] is not one-hot \(a single 1\)",
    ),
    "several labels a sample": (
        lambda: Data.from_arrays(X, np.array([[1, 1, 0]] * 20)),
        r"y, row 0: \[1, 1, 0\] is not one-hot .*kind='regression' for 3 values",
    ),
    "text for a regression": (
        lambda: Data.from_arrays(X, Y.astype(str), kind="regression"),
        r"y, row 0: '0' is text, and a regression needs numbers",
    ),
    "prices in whole numbers": (
        lambda: Data.from_arrays(np.zeros((50, 1)), np.arange(50) * 1000),
        r"y: 50 different whole numbers in 50 samples are values rather than classes; give kind='regression'",
    ),
    "targets of three dimensions": (
        lambda: Data.from_arrays(X, np.zeros((20, 2, 2))),
        r"y: has shape \(20, 2, 2\); give \[samples\]",
    ),
    "no targets": (lambda: Data.from_arrays(X), r"y: is None; give an array of one entry a sample"),
    "an unknown kind": (
        lambda: Data.from_arrays(X, Y, kind="classes"),
        r"kind: must be 'classification', 'regression' or None, got 'classes'",
    ),
    "a share of all": (
        lambda: Data.from_arrays(X, Y, test=1.0),
        r"test: must be \(x, y\), a data set, or a share above 0 and below 1, got 1.0",
    ),
    "a number of samples as a share": (lambda: Data.from_arrays(X, Y, test=200), r"test: .*, got 200"),
    "test inputs without targets": (lambda: Data.from_arrays(X, Y, test=X), r"test: .*, got a ndarray"),
    "one sample": (lambda: Data.from_arrays(X[:1], X[:1]), r"x: has 1 sample, and one to train on and one"),
    "a table with a column of text": (
        lambda: Data.from_arrays(frame(colour="red"), Y),
        r"x, row 0, column 'colour': 'red' is text; give numbers, e.g. by pandas.get_dummies",
    ),
    "a table with a missing value": (
        lambda: Data.from_arrays(frame(iron=[1.0, *[np.nan] * 19]), Y),
        r"x, row 1, column 'iron': is missing \(18 more in this column\)",
    ),
    "a table with a missing whole number": (
        lambda: Data.from_arrays(frame(iron=pd.array([1, None, *[2] * 18], dtype="Int64")), Y),
        r"x, row 1, column 'iron': is missing;",
    ),
    "a table with an infinity": (
        lambda: Data.from_arrays(frame(iron=[*[1.0] * 19, np.inf]), Y),
        r"x, row 19, column 'iron': is infinite",
    ),
    "a table with dates": (
        lambda: Data.from_arrays(frame(day=pd.date_range("2024-01-01", periods=20)), Y),
        r"x, column 'day': holds dates or times",
    ),
    "tables in different orders": (
        lambda: Data.from_arrays(frame(), pd.Series(Y).iloc[::-1]),
        r"y, row 0: its label in the table is 19, and x's is 0; put the rows in one order",
    ),
    "test columns in another order": (
        lambda: Data.from_arrays(frame(), Y, test=(frame()[["dose", "age"]], Y)),
        r"test x, column 0: is 'dose', and x has 'age' there; give the columns in one order",
    ),
    "a series as inputs": (lambda: Data.from_arrays(pd.Series(X[:, 0]), Y), r"x: has 1 dimension"),
    "masked entries": (
        lambda: Data.from_arrays(np.ma.masked_greater(X, 0.99), Y),
        r"x, row 19, column 1: is masked; drop such rows",
    ),
    "a sparse matrix": (
        lambda: Data.from_arrays(scipy.sparse.csr_matrix(X), Y),
        r"x: is a sparse matrix; give x.toarray\(\)",
    ),
    "a sparse tensor": (
        lambda: Data.from_arrays(torch.from_numpy(X).to_sparse(), Y),
        r"x: is a sparse or nested tensor; give one with .to_dense\(\)",
    ),
    "a complex tensor": (lambda: Data.from_arrays(torch.zeros(20, 2) + 0j, Y), r"x: is complex"),
    "a dictionary": (lambda: Data.from_arrays({"a": X}, Y), r"x: is a dict; give an array"),
    "a path": (
        lambda: Data.from_arrays("data.csv", Y),
        r"x: is text \('data.csv'\); .* name a file as the task",
    ),
    "a loader": (
        lambda: Data.from_arrays(DataLoader(TensorDataset(torch.zeros(4, 2), torch.zeros(4)))),
        r"x: is a DataLoader, .*; give its .dataset",
    ),
    "a stream of samples": (
        lambda: Data.from_arrays(Endless()),
        r"x: is a data set without a length; give a map-style one",
    ),
    "a data set without samples": (lambda: Data.from_arrays(Items()), r"x: the data set is empty"),
    "a data set without targets": (
        lambda: Data.from_arrays(TensorDataset(torch.zeros(4, 2))),
        r"x, row 0: the item is of 1 parts, and a pair \(x, y\) is needed",
    ),
    "a data set and targets": (
        lambda: Data.from_arrays(Items((torch.zeros(2), 0)), Y),
        r"y: x is a data set, which has its own targets; leave it out",
    ),
    "a data set with pictures of different sizes": (
        lambda: Data.from_arrays(Items((torch.zeros(1, 2, 2), 0), (torch.zeros(1, 2, 3), 1))),
        r"x, row 1: is ragged: shape \(1, 2, 3\), and row 0 has shape \(1, 2, 2\)",
    ),
    "a data set that raises": (
        lambda: Data.from_arrays(Items((torch.zeros(2), 0), KeyError("gone"))),
        r"x, row 1: the data set raises KeyError \('gone'\)",
    ),
    "a test data set with NaN": (
        lambda: Data.from_arrays(X, Y, test=Items((torch.tensor([0.0, torch.nan]), 0))),
        r"test x, row 0, column 1: is missing",
    ),
}


@pytest.mark.parametrize(("make", "said"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_arrays_are_refused_in_one_message_with_the_place_and_the_fix(
    make: Callable[[], Data], said: str
) -> None:
    with pytest.raises(UsageError, match=f"^{said}") as error:
        make()
    assert "\n" not in str(error.value)


SAME_INPUTS: dict[str, Any] = {
    "float64": X,
    "float32": X.astype(np.float32),
    "longdouble": X.astype(np.longdouble),
    "a list": X.tolist(),
    "a tensor": torch.from_numpy(X),
    "a tensor that learns": torch.from_numpy(X).requires_grad_(),
    "a table": frame(),
    "a table of nullable columns": frame().convert_dtypes(),
    "a list of tensors": list(torch.from_numpy(X)),
    "a strided view": np.repeat(X, 2, axis=1)[:, ::2],
    "Fortran order": np.asfortranarray(X),
    "an object array of numbers": X.astype(object),
}
SAME_CLASSES: dict[str, Any] = {
    "int64": Y,
    "int8": Y.astype(np.int8),
    "uint64": Y.astype(np.uint64),
    "a column": Y[:, None],
    "a list": Y.tolist(),
    "a tensor": torch.from_numpy(Y),
    "a series": pd.Series(Y),
    "a nullable series": pd.Series(Y, dtype="Int64"),
    "a table of one column": pd.DataFrame({"label": Y}),
    "categories": pd.Series(Y).astype("category"),
    "one-hot int": np.eye(2, dtype=int)[Y],
    "one-hot float": np.eye(2)[Y],
    "one-hot bool": np.eye(2, dtype=bool)[Y],
    "one-hot tensor": torch.eye(2)[torch.from_numpy(Y)],
    "a list of one-hot tensors in 16 bits": list(torch.eye(2, dtype=torch.bfloat16)[torch.from_numpy(Y)]),
}


@pytest.mark.parametrize("x", SAME_INPUTS.values(), ids=SAME_INPUTS)
def test_the_same_inputs_of_any_type_are_the_same_data(x: Any) -> None:
    assert Data.from_arrays(x, Y).version == Data.from_arrays(X, Y).version


@pytest.mark.parametrize("y", SAME_CLASSES.values(), ids=SAME_CLASSES)
def test_the_same_classes_of_any_type_are_the_same_data(y: Any) -> None:
    data = Data.from_arrays(X, y)
    assert data.version == Data.from_arrays(X, Y).version
    assert (data.kind, data.outputs, data.classes) == ("classification", 2, ("0", "1"))
    assert data.train_y.dtype == torch.int64


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([3, 7, 9], ("3", "7", "9")),
        ([-1, 1, 5], ("-1", "1", "5")),
        (["cat", "dog", "ant"], ("ant", "cat", "dog")),
        ([2.0, 4.0, 8.0], ("2", "4", "8")),
    ],
    ids=str,
)
def test_classes_are_numbered_from_zero_and_keep_their_names(names: list[Any], told: tuple[str, ...]) -> None:
    y = np.array(names)[np.arange(20) % 3]
    data = Data.from_arrays(X, y, test=(X, y), kind="classification")
    assert data.classes == told
    numbers = [told.index(str(int(one) if isinstance(one, float) else one)) for one in y.tolist()]
    assert data.train_y.tolist() == data.test_y.tolist() == numbers


def test_true_and_false_are_classes() -> None:
    assert Data.from_arrays(X, Y == 1).classes == ("False", "True")
    assert Data.from_arrays(X, torch.from_numpy(Y == 1)).outputs == 2


def test_the_columns_of_a_one_hot_table_name_the_classes() -> None:
    assert Data.from_arrays(X, pd.get_dummies(pd.Series(Y).map({0: "sick", 1: "well"}))).classes == (
        "sick",
        "well",
    )


@pytest.mark.parametrize("kind", ["regression", None])
def test_real_numbers_are_values(kind: Any) -> None:
    one, two = Data.from_arrays(X, X[:, 0], kind=kind), Data.from_arrays(X, X, kind=kind)
    assert (one.kind, one.outputs, two.outputs, one.classes) == ("regression", 1, 2, ())
    assert one.train_y.shape == (16, 1)
    assert Data.from_arrays(X, X[:, :1]).version == one.version


def test_whole_numbers_are_values_where_that_is_said() -> None:
    data = Data.from_arrays(X, Y, kind="regression")
    assert (data.kind, data.train_y.dtype, data.outputs) == ("regression", torch.float32, 1)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5), (4, 5)], ids=str)
def test_images_are_flattened_and_their_shape_is_kept(shape: tuple[int, ...]) -> None:
    x = np.arange(20 * np.prod(shape)).reshape(20, *shape).astype(np.uint8)
    data = Data.from_arrays(x, Y, test=(x, Y))
    assert data.image == (1, *shape)[-3:]
    assert data.train_x.tolist() == x.reshape(20, -1).tolist()


def test_a_torch_data_set_is_what_its_arrays_are() -> None:
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    wanted = Data.from_arrays(X, Y).version
    assert Data.from_arrays(TensorDataset(x, y)).version == wanted
    assert Data.from_arrays(Subset(TensorDataset(x, y), range(20))).version == wanted
    assert (
        Data.from_arrays(Items(*((a.numpy(), int(b)) for a, b in zip(x, y, strict=True)))).version == wanted
    )
    split = Data.from_arrays(X, Y, test=TensorDataset(x[:6], y[:6]))
    assert torch.equal(split.test_x, x[:6].float())


def test_a_share_is_set_aside_once_and_of_each_class_as_much() -> None:
    x, y = np.arange(200.0).reshape(100, 2), np.array([0] * 70 + [1] * 29 + [2])
    data = Data.from_arrays(x, y)
    assert torch.bincount(data.test_y).tolist() == [14, 6]
    assert torch.bincount(data.train_y).tolist() == [56, 23, 1]
    rows = torch.cat([data.train_x, data.test_x])
    assert torch.equal(rows.sort(dim=0).values, torch.from_numpy(x).float())
    torch.manual_seed(5)
    assert torch.equal(Data.from_arrays(x, y).test_x, data.test_x)
    assert len(Data.from_arrays(x, y, test=0.5).test_x) == 49
    assert len(Data.from_arrays(x, x, test=0.01).test_x) == 1


def test_the_version_names_the_content() -> None:
    versions = {
        Data.from_arrays(*arrays).version
        for arrays in (
            (X, Y),
            (at(X, (0, 0), 2.0), Y),
            (X, 1 - Y),
            (X, Y + 1),
            (X.reshape(20, 1, 2), Y),
            (X, X),
        )
    }
    versions.add(Data.from_arrays(X, Y, test=0.5).version)
    assert len(versions) == 7


def test_arrays_that_change_later_do_not_change_the_data() -> None:
    x = X.astype(np.float32)
    data = Data.from_arrays(x, Y, test=(x, Y))
    x[:] = 0
    assert data.train_x.abs().max() == 1


def test_large_inputs_come_with_a_note() -> None:
    assert "inputs are large (rms" in Data.from_arrays(255 * X, Y).notes[0]
    assert Data.from_arrays(X, Y).notes == ()
