"""Tiny ImageNet: a small set of the same layout, as a folder and as a zip file; what is wrong is refused by name."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noisyhw.errors import DataError
from noisyhw.tasks import Data, files, get_task, picture_cache
from noisyhw.tasks import tiny_imagenet_files as layout

CLASSES = ("n03", "n01", "n02")
GREY = "train/n01/images/n01_1.JPEG"
FIRST = "train/n03/images/n03_0.JPEG"


def jpeg(colour: tuple[int, int, int] | int, side: int = 64) -> bytes:
    """A plain picture (grey where the colour is one number); JPEG keeps a plain colour but for rounding."""
    file = io.BytesIO()
    mode = "L" if isinstance(colour, int) else "RGB"
    Image.new(mode, (side, side), colour).save(file, "JPEG", quality=95)
    return file.getvalue()


def colour_of(number: int) -> tuple[int, int, int]:
    return (60 * number + 20, 200 - 60 * number, 60 * number + 60)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three classes of two images each (one grey), and three annotated validation images, out of order."""
    monkeypatch.setattr(files, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(layout, "CLASSES", 3)
    monkeypatch.setattr(layout, "PER_CLASS", 2)
    monkeypatch.setattr(layout, "TEST", 3)
    top = tmp_path / "data" / layout.FOLDER
    for number, wnid in enumerate(CLASSES):
        (top / "train" / wnid / "images").mkdir(parents=True)
        for image in range(2):
            (top / f"train/{wnid}/images/{wnid}_{image}.JPEG").write_bytes(jpeg(colour_of(number)))
    (top / GREY).write_bytes(jpeg(77))
    (top / "val/images").mkdir(parents=True)
    for number in range(3):
        (top / f"val/images/val_{number}.JPEG").write_bytes(jpeg(colour_of(number)))
    (top / layout.WNIDS).write_text("\n".join(CLASSES) + "\n")
    lines = [f"val_{number}.JPEG\t{CLASSES[number]}\t0\t0\t63\t63\n" for number in (2, 0, 1)]
    (top / layout.ANNOTATIONS).write_text("".join(lines))
    return tmp_path / "data"


def zipped(here: Path) -> Path:
    """The same set as the zip file alone."""
    other = here.parent / "zipped"
    other.mkdir()
    shutil.make_archive(str(other / layout.FOLDER), "zip", here, layout.FOLDER)
    return other


def load(folder: Path) -> Data:
    return get_task("tiny-imagenet").load(data_dir=folder)


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as error:
        load(folder)
    return str(error.value)


def top(here: Path) -> Path:
    return here / layout.FOLDER


def test_classes_follow_wnids_and_annotations_belong_to_their_files(here: Path) -> None:
    data = load(here)
    assert data.train_y.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.test_y.tolist() == [0, 1, 2]
    assert data.train_x.shape == (6, 3 * 64 * 64)
    assert data.train_x.dtype == torch.float32
    for number in range(3):  # a test image looks like its class's first training image
        assert torch.equal(data.test_x[number], data.train_x[2 * number])


def test_colours_are_red_green_then_blue_and_standardised_over_the_training_pixels(here: Path) -> None:
    data = load(here)
    planes = data.train_x.double().view(6, 3, -1)
    assert torch.allclose(planes.mean((0, 2)), torch.zeros(3, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(planes.square().mean((0, 2)), torch.ones(3, dtype=torch.float64), atol=1e-5)
    colours = np.array([colour_of(0), colour_of(0), colour_of(1), (77, 77, 77), colour_of(2), colour_of(2)])
    wanted = torch.from_numpy((colours - colours.mean(0)) / colours.std(0))
    assert torch.allclose(planes.mean(2), wanted, atol=0.05)  # JPEG rounds a colour by a few of 256


def test_a_greyscale_image_has_the_same_value_in_all_three_colours(here: Path) -> None:
    pixels = layout.decode_image((top(here) / GREY).read_bytes(), "grey").reshape(3, -1)
    assert set(pixels.flatten().tolist()) == {77}


def test_the_zip_file_and_the_folder_are_the_same_data(here: Path) -> None:
    folder, archive = load(here), load(zipped(here))
    assert torch.equal(folder.train_x, archive.train_x)
    assert torch.equal(folder.test_y, archive.test_y)
    assert folder.version == archive.version


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_the_second_start_decodes_nothing_until_a_file_changes(
    here: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = here if form == "folder" else zipped(here)
    first = load(where)
    decoded: list[str] = []
    real = layout.decode_image

    def counting(content: bytes, source: str) -> np.ndarray:
        decoded.append(source)
        return real(content, source)

    monkeypatch.setattr(layout, "decode_image", counting)
    second = load(where)
    assert decoded == []
    assert torch.equal(first.train_x, second.train_x)
    assert first.version == second.version
    (top(here) / FIRST).write_bytes(jpeg((1, 2, 3)))
    if form == "zip":
        (where / layout.ARCHIVE).unlink()
        shutil.make_archive(str(where / layout.FOLDER), "zip", here, layout.FOLDER)
    assert load(where).version != first.version
    assert len(decoded) == 9


def test_a_damaged_cache_is_made_again(here: Path) -> None:
    version = load(here).version
    [array] = (here.parent / "cache").rglob("train_x.npy")
    array.write_bytes(array.read_bytes()[:200])
    assert load(here).version == version
    assert np.load(array).shape == (6, 3 * 64 * 64)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(picture_cache.np, "save", full)
    assert len(load(here).train_x) == 6
    assert list((here.parent / "cache" / "tiny-imagenet").iterdir()) == []


def test_an_explicit_folder_without_the_set_is_refused_with_what_is_looked_for(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    for part in (str(tmp_path), "Tiny ImageNet", layout.FOLDER, layout.ARCHIVE, layout.URL):
        assert part in message


def test_the_set_is_found_in_its_own_folder_too(here: Path) -> None:
    assert get_task("tiny-imagenet").found(top(here)) == top(here)
    assert get_task("tiny-imagenet").found(here) == top(here)
    assert get_task("tiny-imagenet").found(zipped(here)) == here.parent / "zipped" / layout.ARCHIVE


def test_a_broken_jpeg_is_refused_with_its_name_and_the_fix(here: Path) -> None:
    whole = (top(here) / FIRST).read_bytes()
    (top(here) / FIRST).write_bytes(whole[: len(whole) // 2])
    message = refusal(here)
    assert FIRST in message
    assert "no sound JPEG" in message
    assert layout.URL in message
    (top(here) / FIRST).write_bytes(b"not a picture")
    assert f"{FIRST}: no sound JPEG" in refusal(here)


def test_an_image_of_another_size_is_refused_with_both_sizes(here: Path) -> None:
    (top(here) / FIRST).write_bytes(jpeg((1, 2, 3), side=32))
    assert f"{FIRST}: must be 64x64 pixels, is 32x32" in refusal(here)


def test_a_missing_class_folder_or_image_is_refused_with_the_count(here: Path) -> None:
    (top(here) / FIRST).unlink()
    assert "train/n03/images: 1 of 2 images are here" in refusal(here)
    shutil.rmtree(top(here) / "train/n03")
    assert "train/n03/images: 0 of 2 images are here" in refusal(here)


def test_a_missing_validation_image_is_refused_with_the_count(here: Path) -> None:
    (top(here) / "val/images/val_1.JPEG").unlink()
    assert "val/images: 2 of 3 images are here" in refusal(here)


def test_an_image_without_annotation_is_refused_by_name(here: Path) -> None:
    annotations = top(here) / layout.ANNOTATIONS
    annotations.write_text("".join(annotations.read_text().splitlines(keepends=True)[1:]))
    assert "val_annotations.txt: val_2.JPEG has no annotation" in refusal(here)


def test_an_annotation_of_an_unknown_class_is_refused_with_its_line(here: Path) -> None:
    annotations = top(here) / layout.ANNOTATIONS
    annotations.write_text(annotations.read_text().replace("n03", "n99"))
    assert "val_annotations.txt:2: unknown class 'n99'" in refusal(here)


def test_a_missing_annotation_file_is_refused_by_name(here: Path) -> None:
    archive = zipped(here)
    (top(here) / layout.ANNOTATIONS).unlink()
    assert "val_annotations.txt: cannot be read (No such file" in refusal(here)
    (archive / layout.ARCHIVE).unlink()
    shutil.make_archive(str(archive / layout.FOLDER), "zip", here, layout.FOLDER)
    assert "val/val_annotations.txt is missing" in refusal(archive)


def test_class_names_that_repeat_or_lack_are_refused(here: Path) -> None:
    (top(here) / layout.WNIDS).write_text("n03\nn01\nn01\n")
    assert "wnids.txt: must name 3 different classes" in refusal(here)


def test_a_truncated_zip_file_is_refused_with_its_name_and_the_fix(here: Path) -> None:
    archive = zipped(here) / layout.ARCHIVE
    archive.write_bytes(archive.read_bytes()[:-100])
    message = refusal(archive.parent)
    assert f"{archive}: truncated or altered" in message
    assert layout.URL in message


def test_an_altered_member_of_the_zip_file_is_refused_by_name(here: Path) -> None:
    archive = zipped(here) / layout.ARCHIVE
    with zipfile.ZipFile(archive) as whole:
        member = whole.getinfo(f"{layout.FOLDER}/{FIRST}")
        start = member.header_offset + 30 + len(member.filename) + member.compress_size // 2
    content = bytearray(archive.read_bytes())
    content[start] ^= 0xFF
    archive.write_bytes(content)
    message = refusal(archive.parent)
    assert FIRST in message
    assert "truncated or altered" in message or "no sound JPEG" in message
