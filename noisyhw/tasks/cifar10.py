"""CIFAR-10: 32x32 colour photographs of ten classes, read from the original Python files.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from ..cards.experiment import TaskCard
from ..errors import DataError
from ..fingerprint import fingerprint
from .base import Data, Recipe, Task, learning_rates
from .files import Source, locate, search
from .remote import Remote
from .unpickle import unpickle_arrays

ARCHIVE: Final = "cifar-10-python.tar.gz"
FOLDER: Final = "cifar-10-batches-py"
URL: Final = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
FIX: Final = f"Delete it and fetch {URL} again"
TRAIN: Final = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST: Final = "test_batch"
ROWS = 10_000
PIXELS: Final = 3 * 32 * 32
CLASSES: Final = 10
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


def _find(folder: Path) -> Path | None:
    """The batch folder (``folder`` itself or in it) or the archive; as a last resort an incomplete folder."""
    places = (folder, folder / FOLDER)
    whole = [place for place in places if all((place / name).is_file() for name in MD5)]
    archive = [folder / ARCHIVE] if (folder / ARCHIVE).is_file() else []
    some = [place for place in places if any((place / name).is_file() for name in MD5)]
    return next(iter(whole + archive + some), None)


SOURCE = Source(
    title="CIFAR-10",
    looked_for=f"the folder {FOLDER} (with {TRAIN[0]} to {TRAIN[-1]} and {TEST}) or the file {ARCHIVE}",
    find=_find,
    remotes=(Remote(URL, ARCHIVE, "md5:c58f30108f718f92721af3b95e74349a"),),
)


class Cifar10(Task):
    """50,000 training and 10,000 test images; inputs are pixels / 255, red, green, then blue."""

    name: ClassVar[str] = "cifar10"
    title: ClassVar[str] = "CIFAR-10 (32x32 colour pixels, 10 classes)"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    inputs: ClassVar[int] = PIXELS
    outputs: ClassVar[int] = CLASSES
    image: ClassVar[tuple[int, int, int] | None] = (3, 32, 32)
    recipe: ClassVar[Recipe] = Recipe(
        hidden=(1024, 1024, 1024),
        batch=1000,
        epochs=50,
        decorrelation_rate=1e-3,
        learning_rate=learning_rates(0.03, adam=1e-3),
        weight_scaling=0.6,
    )

    def load(self, card: TaskCard = TaskCard(), data_dir: Path | None = None) -> Data:
        """Load the images; every file's MD5 sum must be the original's.

        Raises:
            DataError: a file is missing, truncated or altered, or cannot be downloaded.
        """
        where = locate(SOURCE, data_dir)
        train_x, train_y = _room(len(TRAIN))
        test_x, test_y = _room(1)
        slots = dict(zip((*TRAIN, TEST), [*train_x, *test_x], strict=True))
        labels = dict(zip((*TRAIN, TEST), [*train_y, *test_y], strict=True))
        for name, content in _contents(where):
            pixels, classes = parse_batch(_unaltered(content, name, where), f"{where}, {name}")
            slots[name].copy_(pixels).div_(255)
            labels[name].copy_(classes)
        return Data(
            train_x=train_x.flatten(0, 1),
            train_y=train_y.flatten(),
            test_x=test_x.flatten(0, 1),
            test_y=test_y.flatten(),
            version=fingerprint(md5.encode() for md5 in MD5.values()),
        )

    def test_samples(self, card: TaskCard) -> int | None:
        """10,000; None where training samples are tested on."""
        return 10_000 if card.held_out is None else None

    def found(self, data_dir: Path | None) -> Path | str | None:
        """The batch folder or the archive, unchecked."""
        return search(SOURCE, data_dir)


def _room(batches: int) -> tuple[Float32[Tensor, "batches rows pixels"], Int64[Tensor, "batches rows"]]:
    return torch.empty(batches, ROWS, PIXELS), torch.empty(batches, ROWS, dtype=torch.int64)


def _contents(where: Path) -> Iterator[tuple[str, bytes]]:
    """Each batch file's name and bytes, in the order in which they lie; a missing one is an error."""
    missing = set(MD5)
    for name, content in _from_archive(where) if where.is_file() else _from_folder(where):
        missing.discard(name)
        yield name, content
    if missing:
        raise DataError(f"{where}: {', '.join(sorted(missing))} is missing. Fetch {URL} again")


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name in MD5:
        if (folder / name).is_file():
            yield name, (folder / name).read_bytes()


def _from_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    """Stream the wanted members in one pass; nothing is written to disk, so no member's path is ever used."""
    wanted = {f"{FOLDER}/{name}": name for name in MD5}
    try:
        with tarfile.open(path, "r|gz", bufsize=1 << 20) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() and member.name in wanted else None
                if file is not None:
                    yield wanted[member.name], file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path}: truncated or altered ({error}). {FIX}") from error


def _unaltered(content: bytes, name: str, where: Path) -> bytes:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != MD5[name]:
        file = where if where.is_file() else where / name
        raise DataError(
            f"{file}: truncated or altered: the MD5 sum of {name} is {md5}, the original's {MD5[name]}. {FIX}"
        )
    return content


def parse_batch(content: bytes, source: str) -> tuple[UInt8[Tensor, "rows pixels"], Int64[Tensor, "rows"]]:
    """Pixels and class numbers of one batch file.

    Args:
        content: the file, a pickle written by Python 2.
        source: the file's name, for the errors.

    Raises:
        DataError: it is no such pickle, or holds arrays of another shape, type or range.
    """
    batch = unpickle_arrays(content, source)
    fields = batch if isinstance(batch, dict) else {}
    pixels, labels = fields.get(b"data"), fields.get(b"labels")
    if not _are_pixels(pixels):
        raise DataError(f"{source}: 'data' must be uint8 of shape ({ROWS}, {PIXELS}). {FIX}")
    if not _are_labels(labels):
        raise DataError(f"{source}: 'labels' must be {ROWS} whole numbers from 0 to {CLASSES - 1}. {FIX}")
    return torch.from_numpy(pixels), torch.tensor(labels)


def _are_pixels(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.shape == (ROWS, PIXELS) and value.dtype == np.uint8


def _are_labels(value: object) -> bool:
    if not isinstance(value, list) or len(value) != ROWS:
        return False
    return all(isinstance(label, int) and 0 <= label < CLASSES for label in value)
