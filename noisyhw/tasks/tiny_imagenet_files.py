"""The Tiny ImageNet files: where they are looked for, and how the folder or the zip file is read and checked."""

from __future__ import annotations

import abc
import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from ..errors import DataError
from ..fingerprint import fingerprint
from .files import Source
from .picture_cache import Pictures
from .remote import Remote

FOLDER: Final = "tiny-imagenet-200"
ARCHIVE: Final = f"{FOLDER}.zip"
URL: Final = f"http://cs231n.stanford.edu/{ARCHIVE}"
FIX: Final = f"Fetch {URL} again"
CLASSES: Final = 200
PER_CLASS: Final = 500
TEST: Final = 10_000
SIDE: Final = 64
PIXELS: Final = 3 * SIDE * SIDE
WNIDS: Final = "wnids.txt"
ANNOTATIONS: Final = "val/val_annotations.txt"
TEST_IMAGES: Final = "val/images"


def _find(folder: Path) -> Path | None:
    """The data set's folder (``folder`` itself or in it) or the zip file."""
    places = [place for place in (folder, folder / FOLDER) if (place / WNIDS).is_file()]
    archive = [folder / ARCHIVE] if (folder / ARCHIVE).is_file() else []
    return next(iter(places + archive), None)


SOURCE = Source(
    title="Tiny ImageNet",
    looked_for=f"the folder {FOLDER} (with {WNIDS}, train and val) or the file {ARCHIVE}",
    find=_find,
    remotes=(Remote(URL, ARCHIVE, "md5:90528d7ca1a48142e341f4ef8d21d0de"),),
)


class Tree(abc.ABC):
    """The files of the data set; names are relative to its folder."""

    where: Path

    @abc.abstractmethod
    def read(self, name: str) -> bytes:
        """One file's content."""

    @abc.abstractmethod
    def images(self, folder: str) -> list[str]:
        """The .JPEG files of a folder, sorted by name; none if it is not there."""

    @abc.abstractmethod
    def stamp(self) -> str:
        """Changes with the files that :func:`decode` reads."""


class FolderTree(Tree):
    """An unpacked data set; its stamp is made of every image's name, size and time of change."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def read(self, name: str) -> bytes:
        """One file's content."""
        try:
            return (self.where / name).read_bytes()
        except OSError as error:
            raise DataError(f"{self.where / name}: cannot be read ({error.strerror}). {FIX}") from None

    def images(self, folder: str) -> list[str]:
        """The .JPEG files of a folder, sorted by name."""
        return sorted(f"{folder}/{file.name}" for file in (self.where / folder).glob("*.JPEG"))

    def stamp(self) -> str:
        """A hash of names, sizes and times."""
        texts = [self.read(name) for name in (WNIDS, ANNOTATIONS)]
        folders = [*sorted((self.where / "train").glob("*/images")), self.where / TEST_IMAGES]
        files = (file for folder in folders for file in sorted(folder.glob("*.JPEG")))
        stats = ((file, file.stat()) for file in files)
        lines = (f"{file.relative_to(self.where)} {s.st_size} {s.st_mtime_ns}".encode() for file, s in stats)
        return fingerprint([*texts, *lines])


class ZipTree(Tree):
    """The zip file as it was published; its stamp is made of every member's name, size and checksum."""

    def __init__(self, archive: zipfile.ZipFile, where: Path) -> None:
        self.archive, self.where = archive, where

    def read(self, name: str) -> bytes:
        """One member's content, checked against its checksum."""
        try:
            return self.archive.read(f"{FOLDER}/{name}")
        except KeyError:
            raise DataError(f"{self.where}: {FOLDER}/{name} is missing. {FIX}") from None
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
            raise DataError(f"{self.where}: {name} is truncated or altered ({error}). {FIX}") from None

    @cached_property
    def _by_folder(self) -> dict[str, list[str]]:
        folders: dict[str, list[str]] = {}
        for full in sorted(self.archive.namelist()):
            name = full.removeprefix(f"{FOLDER}/")
            if name.endswith(".JPEG"):
                folders.setdefault(name.rpartition("/")[0], []).append(name)
        return folders

    def images(self, folder: str) -> list[str]:
        """The .JPEG members of a folder, sorted by name."""
        return self._by_folder.get(folder, [])

    def stamp(self) -> str:
        """A hash of names, sizes and checksums."""
        members = sorted(self.archive.infolist(), key=lambda member: member.filename)
        return fingerprint(f"{m.filename} {m.file_size} {m.CRC}".encode() for m in members)


@contextlib.contextmanager
def open_tree(where: Path) -> Iterator[Tree]:
    """Open the folder or the zip file.

    Raises:
        DataError: the zip file is truncated, or none.
    """
    if where.is_dir():
        yield FolderTree(where)
        return
    try:
        archive = zipfile.ZipFile(where)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{where}: truncated or altered ({error}). {FIX}") from None
    with archive:
        yield ZipTree(archive, where)


def decode(tree: Tree) -> Pictures:
    """Read and decode every image.

    Raises:
        DataError: a file is missing, broken, of another size, or not annotated.
    """
    train = _training_images(tree)
    test = _test_images(tree, _wnids(tree))
    with tqdm(
        total=len(train) + len(test), unit="images", desc="Tiny ImageNet: decoding", disable=None
    ) as bar:
        train_x, train_y = _decoded(tree, train, bar)
        test_x, test_y = _decoded(tree, test, bar)
    return Pictures(train_x, train_y, test_x, test_y)


def _wnids(tree: Tree) -> dict[str, int]:
    """The classes' WordNet names; a class's number is its line."""
    names = tree.read(WNIDS).decode(errors="replace").split()
    if len(set(names)) != len(names) or len(names) != CLASSES:
        raise DataError(
            f"{tree.where}, {WNIDS}: must name {CLASSES} different classes, found {len(names)}. {FIX}"
        )
    return {name: number for number, name in enumerate(names)}


def _training_images(tree: Tree) -> list[tuple[str, int]]:
    found = []
    for wnid, number in _wnids(tree).items():
        folder = f"train/{wnid}/images"
        names = tree.images(folder)
        if len(names) != PER_CLASS:
            raise DataError(f"{tree.where}, {folder}: {len(names)} of {PER_CLASS} images are here. {FIX}")
        found += [(name, number) for name in names]
    return found


def _test_images(tree: Tree, wnids: dict[str, int]) -> list[tuple[str, int]]:
    names, classes = tree.images(TEST_IMAGES), _annotations(tree, wnids)
    if len(names) != TEST:
        raise DataError(f"{tree.where}, {TEST_IMAGES}: {len(names)} of {TEST} images are here. {FIX}")
    for name in names:
        if name not in classes:
            raise DataError(f"{tree.where}, {ANNOTATIONS}: {Path(name).name} has no annotation. {FIX}")
    return [(name, classes[name]) for name in names]


def _annotations(tree: Tree, wnids: dict[str, int]) -> dict[str, int]:
    """Image name -> class number; a line is file, class and a box, separated by tabs."""
    classes = {}
    for place, line in enumerate(tree.read(ANNOTATIONS).decode(errors="replace").splitlines(), start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.split("\t")[0].strip()
        if wnid not in wnids:
            raise DataError(f"{tree.where}, {ANNOTATIONS}:{place}: unknown class '{wnid}'. {FIX}")
        classes[f"{TEST_IMAGES}/{name}"] = wnids[wnid]
    return classes


def _decoded(tree: Tree, images: list[tuple[str, int]], bar: tqdm[None]) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.empty((len(images), PIXELS), dtype=np.uint8)
    for place, (name, _) in enumerate(images):
        pixels[place] = decode_image(tree.read(name), f"{tree.where}, {name}")
        bar.update()
    return pixels, np.array([number for _, number in images], dtype=np.int64)


def decode_image(content: bytes, source: str) -> UInt8[np.ndarray, "pixels"]:
    """Red, green, then blue of one JPEG, a greyscale one in all three.

    Args:
        content: the file.
        source: the file's name, for the errors.

    Raises:
        DataError: it is no sound JPEG, or of another size.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            size = image.size
            picture = np.asarray(image.convert("RGB")) if size == (SIDE, SIDE) else None
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{source}: no sound JPEG ({error}). {FIX}") from None
    if picture is None:
        raise DataError(f"{source}: must be {SIDE}x{SIDE} pixels, is {size[0]}x{size[1]}. {FIX}")
    return picture.transpose(2, 0, 1).reshape(-1)
