"""The tasks: what their data is, and that a missing, truncated, altered or malicious file is refused."""

import hashlib
import io
import os
import pickle
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from jaxtyping import TypeCheckError

from noisyhw.cards.experiment import TaskCard
from noisyhw.errors import DataError, UsageError
from noisyhw.fingerprint import fingerprint
from noisyhw.tasks import TASKS, Data, cifar10, files, get_task, sarcos_files
from noisyhw.tasks.base import learning_rates
from noisyhw.tasks.cifar10 import parse_batch
from noisyhw.tasks.sarcos import GAP_ROWS, HELD_OUT, block_masks
from noisyhw.tasks.unpickle import unpickle_arrays
from noisyhw.updates import PATHS

ALL_ROWS = sarcos_files.ALL_ROWS


def load(name: str, data_dir: Path | None = None, **options: str) -> Data:
    return get_task(name).load(TaskCard(name=name, **options), data_dir)


def refusal(name: str, data_dir: Path) -> str:
    with pytest.raises(DataError) as error:
        load(name, data_dir)
    return str(error.value)


def test_an_unknown_task_is_a_usage_error_with_the_nearest_name_and_the_choices() -> None:
    with pytest.raises(UsageError, match=r"unknown task 'cifar'. Did you mean 'cifar10'\? .*digits.*sarcos"):
        get_task("cifar")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_has_a_learning_rate_for_every_update_path(task) -> None:
    assert set(task.recipe.learning_rate) == set(PATHS)
    assert TASKS[task.name] is task


@pytest.mark.parametrize("option", [{"split": "blocks"}, {"scaling": "raw"}], ids=str)
def test_a_task_heeds_the_options_that_it_names_and_no_other(option: dict[str, str], arm: Path) -> None:
    assert not torch.equal(load("sarcos", arm, **option).train_x, load("sarcos", arm).train_x)
    with pytest.raises(ValueError, match="task 'digits' has no such option; leave it out"):
        load("digits", **option)


def test_the_test_run_catches_data_of_disagreeing_shapes() -> None:
    x, y = torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64)
    Data(x, y, x, y, "version")
    for wrong in (x, y[:2], x, y), (x, y, x[:, :1], y), (x, y.int(), x, y):
        with pytest.raises(TypeCheckError):
            Data(*wrong, "version")


def test_a_fingerprint_knows_where_one_part_ends_and_the_next_begins() -> None:
    assert fingerprint([b"ab", b"c"]) != fingerprint([b"a", b"bc"])
    assert len(fingerprint([b""])) == 16


# Digits


def test_digits_needs_no_file_and_has_all_samples_in_range() -> None:
    task, data = get_task("digits"), load("digits")
    assert task.found(None) == "built in"
    assert data.train_x.shape == (1437, task.inputs)
    assert data.test_x.shape == (360, task.inputs)
    assert (data.train_x.min(), data.train_x.max()) == (0, 1)
    assert torch.equal((data.test_x * 16).round() / 16, data.test_x)


def test_the_digits_split_is_stratified_and_the_same_at_every_load() -> None:
    data = load("digits")
    train, test = (torch.bincount(y, minlength=10) for y in (data.train_y, data.test_y))
    assert ((test - (train + test) * 360 / 1797).abs() <= 1).all()
    again = load("digits")
    assert torch.equal(again.train_x, data.train_x)
    assert torch.equal(again.test_y, data.test_y)
    assert again.version == data.version


# CIFAR-10, in miniature: the same files with 20 rows


def batch_file(rows: int, seed: int, labels: list[int] | None = None) -> bytes:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (rows, cifar10.PIXELS), np.uint8)
    labels = labels or generator.integers(0, 10, rows).tolist()
    return pickle.dumps({b"data": pixels, b"labels": labels}, 3)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with the batch folder in it."""
    monkeypatch.setattr(cifar10, "ROWS", 20)
    folder = tmp_path / cifar10.FOLDER
    folder.mkdir()
    for seed, name in enumerate(cifar10.MD5):
        (folder / name).write_bytes(batch_file(20, seed))
    sums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in cifar10.MD5}
    monkeypatch.setattr(cifar10, "MD5", sums)
    return tmp_path


def packed(folder: Path, leave_out: str = "", extra: str = "") -> Path:
    """The archive of the batch folder, which is removed."""
    path = folder / cifar10.ARCHIVE
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted((folder / cifar10.FOLDER).iterdir(), reverse=True):
            if file.name != leave_out:
                archive.add(file, f"{cifar10.FOLDER}/{file.name}")
        if extra:
            member = tarfile.TarInfo(extra)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
    shutil.rmtree(folder / cifar10.FOLDER)
    return path


def test_cifar10_reads_every_batch_in_order_as_pixels_over_255(small: Path) -> None:
    data = load("cifar10", small)
    for place, name in enumerate(cifar10.TRAIN):
        batch = pickle.loads((small / cifar10.FOLDER / name).read_bytes(), encoding="bytes")
        rows = slice(20 * place, 20 * place + 20)
        assert torch.equal(data.train_x[rows], torch.from_numpy(batch[b"data"]).float() / 255)
        assert data.train_y[rows].tolist() == batch[b"labels"]
    batch = pickle.loads((small / cifar10.FOLDER / cifar10.TEST).read_bytes(), encoding="bytes")
    assert data.test_y.tolist() == batch[b"labels"]


def test_cifar10_is_the_same_from_its_folder_its_parent_and_the_archive(small: Path) -> None:
    parent, folder = load("cifar10", small), load("cifar10", small / cifar10.FOLDER)
    archive = packed(small)
    assert get_task("cifar10").found(small) == archive
    for other in (folder, load("cifar10", small)):
        assert torch.equal(other.train_x, parent.train_x)
        assert torch.equal(other.train_y, parent.train_y)
        assert torch.equal(other.test_x, parent.test_x)
        assert other.version == parent.version


def test_an_archive_with_a_path_outside_it_writes_nothing_anywhere(small: Path) -> None:
    packed(small, extra="../../escaped")
    before = sorted(small.parent.rglob("*"))
    load("cifar10", small)
    assert sorted(small.parent.rglob("*")) == before


def test_a_missing_batch_file_is_named_with_the_fix(small: Path) -> None:
    (small / cifar10.FOLDER / "data_batch_3").unlink()
    message = refusal("cifar10", small)
    assert str(small / cifar10.FOLDER) in message
    assert f"data_batch_3 is missing. Fetch {cifar10.URL}" in message


def test_an_archive_without_a_batch_file_is_refused_with_its_name(small: Path) -> None:
    path = packed(small, leave_out="test_batch")
    assert f"{path}: test_batch is missing" in refusal("cifar10", small)


def test_a_whole_archive_is_preferred_to_an_incomplete_folder(small: Path) -> None:
    shutil.copytree(small / cifar10.FOLDER, small / "kept")
    path = packed(small)
    (small / "kept" / "test_batch").unlink()
    (small / "kept").rename(small / cifar10.FOLDER)
    assert get_task("cifar10").found(small) == path


@pytest.mark.parametrize("harm", ["truncated", "altered"])
def test_a_truncated_or_altered_batch_file_is_refused_with_both_sums_and_the_fix(
    small: Path, harm: str
) -> None:
    path = small / cifar10.FOLDER / "data_batch_2"
    content = path.read_bytes()
    path.write_bytes(content[:-9] if harm == "truncated" else content.replace(b"K\x01", b"K\x02", 1))
    message = refusal("cifar10", small)
    found = hashlib.md5(path.read_bytes()).hexdigest()
    for part in (str(path), found, cifar10.MD5["data_batch_2"], "Delete it and fetch"):
        assert part in message


def test_a_truncated_archive_is_refused_with_its_name_and_the_fix(small: Path) -> None:
    path = packed(small)
    path.write_bytes(path.read_bytes()[:-200])
    message = refusal("cifar10", small)
    assert str(path) in message
    assert "Delete it and fetch" in message


def test_an_archive_that_is_no_archive_is_refused_with_its_name(small: Path) -> None:
    path = packed(small)
    path.write_bytes(b"<html>not found</html>")
    assert f"{path}: truncated or altered" in refusal("cifar10", small)


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


def test_a_malicious_pickle_is_refused_and_nothing_of_it_runs(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    content = pickle.dumps({"data": Malicious(marker)}, 2)
    with pytest.raises(DataError, match=r"data_batch_1: .*system.*Delete it"):
        parse_batch(content, "data_batch_1")
    assert not marker.exists()
    pickle.loads(content)
    assert marker.exists(), "the pickle would have run: the test above means something"


def test_a_malicious_pickle_in_the_place_of_a_batch_file_is_refused_and_nothing_runs(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, marker = small / cifar10.FOLDER / "data_batch_1", small / "ran"
    path.write_bytes(pickle.dumps(Malicious(marker), 2))
    assert "MD5" in refusal("cifar10", small)
    monkeypatch.setitem(cifar10.MD5, "data_batch_1", hashlib.md5(path.read_bytes()).hexdigest())
    assert "system" in refusal("cifar10", small)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["builtins eval", "numpy load", "numpy.core.multiarray fromfile", "codecs open"]
)
def test_only_the_names_that_arrays_need_are_admitted(name: str) -> None:
    module, attribute = name.split()
    with pytest.raises(DataError, match=f"it asks for {module}.{attribute}"):
        unpickle_arrays(f"c{module}\n{attribute}\n.".encode(), "file")


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_arrays_are_read_in_both_spellings_of_numpys_core(module: str) -> None:
    content = batch_file(3, 0)
    written = re.sub(rb"numpy\._?core\.multiarray", module.encode(), content)
    assert module.encode() in written
    assert np.array_equal(unpickle_arrays(written, "file")[b"data"], pickle.loads(content)[b"data"])


@pytest.mark.parametrize("content", [b"", b"\x80\x02}", b"no pickle", b"\x80\x02(U\x04dat"])
def test_a_broken_pickle_is_refused_with_its_name(content: bytes) -> None:
    with pytest.raises(DataError, match="data_batch_4: no readable data file"):
        parse_batch(content, "data_batch_4")


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (19, [1] * 19, "'data' must be uint8"),
        (20, [1] * 19, "'labels' must be 20 whole numbers from 0 to 9"),
        (20, [1] * 19 + [10], "'labels' must be"),
        (20, [1] * 19 + [-1], "'labels' must be"),
        (20, [1.0] * 20, "'labels' must be"),
    ],
)
def test_a_batch_of_another_shape_or_range_is_refused(
    small: Path, rows: int, labels: list[int], message: str
) -> None:
    with pytest.raises(DataError, match=f"data_batch_5: {message}"):
        parse_batch(batch_file(rows, 0, labels), "data_batch_5")


@pytest.mark.parametrize("content", [b"\x80\x02].", b"\x80\x02}.", b"\x80\x02}U\x04dataK\x01s."])
def test_a_pickle_without_the_arrays_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="'data' must be uint8"):
        parse_batch(content, "data_batch_5")


def test_the_real_cifar10_loads_whole(real_data: Path) -> None:
    task, data = get_task("cifar10"), load("cifar10", real_data)
    assert data.train_x.shape == (50_000, task.inputs)
    assert data.test_x.shape == (10_000, task.inputs)
    assert torch.bincount(data.train_y).tolist() == [5000] * 10
    assert torch.bincount(data.test_y).tolist() == [1000] * 10
    assert data.train_y[:3].tolist() == [6, 9, 9]
    assert (data.test_x.min(), data.test_x.max()) == (0, 1)
    assert data.notes == ()


# SARCOS


def made_up() -> torch.Tensor:
    row, column = torch.arange(ALL_ROWS)[:, None], torch.arange(28)
    return (row + 1000 * column) % 1777 * (column + 1)


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up recording in the files and shapes of the real one; every column has another mean and spread."""
    rows = made_up().numpy().astype(float)
    scipy.io.savemat(tmp_path / sarcos_files.TRAIN, {"sarcos_inv": rows})
    scipy.io.savemat(tmp_path / sarcos_files.TEST, {"sarcos_inv_test": rows[::10]})
    accept_test_file(tmp_path, monkeypatch)
    return tmp_path


def accept_test_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = hashlib.sha256((folder / sarcos_files.TEST).read_bytes()).hexdigest()
    monkeypatch.setattr(sarcos_files, "TEST_SHA256", found)


def rewrite(folder: Path, **changes: np.ndarray) -> Path:
    """Write the partial file (every 5th row) with changes, in the place of the training file."""
    rows = scipy.io.loadmat(folder / sarcos_files.TRAIN)["sarcos_inv"]
    (folder / sarcos_files.TRAIN).unlink()
    fields = {"sarcos_inv": rows[::5].copy(), "row_index": np.arange(0, ALL_ROWS, 5)} | changes
    np.savez(folder / sarcos_files.PARTIAL, **fields)
    return folder / sarcos_files.PARTIAL


def test_sarcos_raw_is_the_recording_itself(arm: Path) -> None:
    data = load("sarcos", arm, scaling="raw")
    rows = made_up()
    assert torch.equal(data.train_x, rows[:, :21].float())
    assert torch.equal(data.train_y, rows[:, 21:].float())
    assert torch.equal(data.test_y, rows[::10, 21:].float())
    assert data.loss_scale == 1.0


def test_sarcos_says_what_its_usual_test_rows_and_its_training_file_are(arm: Path) -> None:
    notes = " ".join(load("sarcos", arm).notes)
    assert "every 10th training row" in notes
    assert "no published checksum" in notes
    assert "partial" not in notes


def test_sarcos_files_may_lie_in_a_subfolder(arm: Path) -> None:
    (arm / "sarcos").mkdir()
    for name in (sarcos_files.TRAIN, sarcos_files.TEST):
        (arm / name).rename(arm / "sarcos" / name)
    assert get_task("sarcos").found(arm) == arm / "sarcos"
    assert len(load("sarcos", arm).train_x) == ALL_ROWS


@pytest.mark.parametrize("split", ["usual", "blocks"])
def test_standard_scaling_centres_by_training_rows_and_divides_all_torques_by_one_number(
    arm: Path, split: str
) -> None:
    data, raw = (load("sarcos", arm, split=split, scaling=s) for s in ("standard", "raw"))
    inputs = data.train_x.double()
    assert inputs.mean(0).abs().max() < 1e-6
    assert (inputs.std(0, correction=0) - 1).abs().max() < 1e-6
    torques = data.train_y.double()
    assert torques.mean(0).abs().max() < 1e-6
    assert abs(torques.square().mean() - 1) < 1e-6
    spread = raw.train_y.double().std(0) / torques.std(0)
    assert (spread / data.loss_scale**0.5 - 1).abs().max() < 1e-6


def test_loss_scale_turns_a_scaled_loss_into_the_original_units(arm: Path) -> None:
    data, raw = (load("sarcos", arm, scaling=s) for s in ("standard", "raw"))
    error = data.test_y.double().square().mean() * data.loss_scale
    mean = raw.train_y.double().mean(0)
    assert abs(error / (raw.test_y.double() - mean).square().mean() - 1) < 1e-6


def test_blocks_hold_out_four_of_twenty_blocks_with_a_gap_to_the_training_rows() -> None:
    row = torch.arange(ALL_ROWS)
    train, test = block_masks(row)
    first, last = row[test & ~test.roll(1)], row[test & ~test.roll(-1)]
    held_out = torch.tensor([2, 7, 12, 17])
    assert (first - held_out * ALL_ROWS / 20).abs().max() < 1
    assert (last + 1 - (held_out + 1) * ALL_ROWS / 20).abs().max() < 1
    assert not (train & test).any()
    edges = torch.cat([first, last])
    assert (row[train, None] - edges).abs().min() == GAP_ROWS + 1 == 101
    assert int((~train & ~test).sum()) == 2 * GAP_ROWS * len(HELD_OUT)


def test_blocks_of_the_partial_file_go_by_the_original_row_number(arm: Path) -> None:
    whole = load("sarcos", arm, split="blocks", scaling="raw")
    rewrite(arm)
    partial = load("sarcos", arm, split="blocks", scaling="raw")
    in_whole = {tuple(row) for row in whole.test_x.tolist()}
    assert len(partial.test_x) == pytest.approx(len(whole.test_x) / 5, abs=len(HELD_OUT))
    kept = torch.arange(0, ALL_ROWS, 5)
    assert len(partial.train_x) == int(block_masks(kept)[0].sum())
    assert all(tuple(row) in in_whole for row in partial.test_x.tolist())
    assert any("blocks 2, 7, 12, 17" in note for note in partial.notes)


def test_the_real_partial_file_is_announced_and_gives_another_version(real_data: Path, arm: Path) -> None:
    made_up = load("sarcos", arm).version
    with pytest.MonkeyPatch.context() as patch:
        accept_test_file(real_data / "sarcos", patch)
        data = load("sarcos", real_data)
    assert data.train_x.shape == (21_625, 21)
    assert data.test_y.shape == (4_449, 7)
    assert data.notes[0] == "SARCOS: partial training file, 21,625 of 44,484 rows"
    assert data.version != made_up


def test_the_real_test_file_is_known_by_its_checksum(real_data: Path) -> None:
    content = (real_data / "sarcos" / sarcos_files.TEST).read_bytes()
    assert hashlib.sha256(content).hexdigest() == sarcos_files.TEST_SHA256


def test_the_whole_training_file_is_preferred_to_the_partial_one(arm: Path) -> None:
    shutil.copy(arm / sarcos_files.TRAIN, arm / "kept")
    rewrite(arm)
    (arm / "kept").rename(arm / sarcos_files.TRAIN)
    assert len(load("sarcos", arm).train_x) == ALL_ROWS


@pytest.mark.parametrize("name", [sarcos_files.TRAIN, sarcos_files.TEST])
def test_a_folder_without_one_of_the_two_sarcos_files_is_refused(arm: Path, name: str) -> None:
    (arm / name).unlink()
    message = refusal("sarcos", arm)
    for part in (str(arm), sarcos_files.TRAIN, sarcos_files.TEST, sarcos_files.URL):
        assert part in message


def test_an_altered_sarcos_test_file_is_refused_with_both_sums(arm: Path) -> None:
    path = arm / sarcos_files.TEST
    path.write_bytes(path.read_bytes()[:-1])
    message = refusal("sarcos", arm)
    assert str(path) in message
    assert hashlib.sha256(path.read_bytes()).hexdigest() in message
    assert sarcos_files.TEST_SHA256 in message


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 20])
def test_a_training_file_that_is_no_matlab_file_is_refused_with_the_fix(arm: Path, content: bytes) -> None:
    path = arm / sarcos_files.TRAIN
    path.write_bytes(content)
    assert f"{path}: no readable MATLAB file with 'sarcos_inv'" in refusal("sarcos", arm)


def test_a_truncated_training_file_is_refused_with_the_fix(arm: Path) -> None:
    path = arm / sarcos_files.TRAIN
    path.write_bytes(path.read_bytes()[:-1000])
    message = refusal("sarcos", arm)
    assert str(path) in message
    assert "Delete it and fetch it again" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: rows[:-1],
            r"must be float64 of shape \(44484, 28\), not float64 of shape \(44483, 28\)",
        ),
        (lambda rows: rows[:, :-1], r"not float64 of shape \(44484, 27\)"),
        (lambda rows: rows.astype(np.float32), "not float32"),
        (lambda rows: np.where(rows == rows[3, 3], np.nan, rows), "holds NaN or infinite values"),
        (lambda rows: rows + 0.001, "altered: recorded row 0 is not that of the test file"),
        (lambda rows: np.roll(rows, 1, axis=0), "altered: recorded row 0"),
    ],
)
def test_a_training_file_of_other_content_is_refused(arm: Path, change, message: str) -> None:
    path = arm / sarcos_files.TRAIN
    rows = scipy.io.loadmat(path)["sarcos_inv"]
    scipy.io.savemat(path, {"sarcos_inv": change(rows)})
    with pytest.raises(DataError, match=message):
        load("sarcos", arm)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row_index": np.arange(3)}, "one whole number for each of the 8897 rows"),
        ({"row_index": np.arange(0.0, ALL_ROWS, 5)}, "one whole number for each"),
        ({"row_index": np.zeros(8897, int)}, "different rows from 0 to 44483"),
        ({"row_index": np.arange(8897) * 5 - 5}, "different rows from 0 to 44483"),
        ({"row_index": np.arange(8897) * 5 + 5}, "different rows from 0 to 44483"),
        ({"row_index": np.arange(8897)}, "altered: recorded row"),
        ({"sarcos_inv": np.zeros((0, 28))}, "must be float64 of shape"),
        ({"sarcos_inv": np.array([None])}, "no readable npz file|not a readable npz file"),
    ],
)
def test_a_partial_file_of_other_content_is_refused(
    arm: Path, changes: dict[str, np.ndarray], message: str
) -> None:
    path = rewrite(arm, **changes)
    with pytest.raises(DataError, match=message) as error:
        load("sarcos", arm)
    assert str(path) in str(error.value)


def test_a_truncated_partial_file_is_refused_with_the_fix(arm: Path) -> None:
    path = rewrite(arm)
    path.write_bytes(path.read_bytes()[:-1000])
    assert f"{path}: not a readable npz file" in refusal("sarcos", arm)


@pytest.mark.parametrize("name", ["cifar10", "sarcos"])
def test_nothing_is_found_in_an_empty_folder_and_nowhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setenv(files.ENVIRONMENT, str(tmp_path))
    assert get_task(name).found(None) is None
    assert get_task(name).found(tmp_path) is None


def test_every_path_has_a_learning_rate_and_those_that_transfer_may_have_one_of_their_own() -> None:
    rates = learning_rates(0.1, adam=1e-3, transfer=0.3)
    assert set(rates) == set(PATHS)
    assert {path for path, rate in rates.items() if rate == 0.3} == {
        "tiki_taka",
        "tiki_taka_v2",
        "c_ttv2",
        "agad",
    }
    assert (rates["adam"], rates["sgd"], rates["mixed_precision"]) == (1e-3, 0.1, 0.1)
    assert learning_rates(0.1, adam=1e-3, sgd=0.2)["sgd"] == 0.2
