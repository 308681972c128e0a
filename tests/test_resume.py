"""Stop a run any way, at any time: resumed, it ends bit for bit where an undisturbed one ends."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from run_support import DEVICES, PATHS, SMALL, CtrlC, assert_same_end, checkpoint, table, tiny

import noisyhw
from noisyhw.training import folder as folder_module
from noisyhw.training import run as running
from noisyhw.training.folder import RunFolder
from noisyhw.training.run import Interrupted
from noisyhw.training.trainer import Row

SCRIPT = Path(sys.executable).parent / "noisyhw"


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these runs."""
    monkeypatch.setattr(running, "draw_curve", lambda *_: None)


def stopped(out: Path, *sets: str, after: int = 11, **options: object) -> Path:
    """A run that Ctrl-C stopped, by default within its second epoch."""
    with pytest.raises(Interrupted):
        tiny(out, *sets, watcher=CtrlC(after), **options)
    return out


class Killed(BaseException):
    """As kill -9: nothing catches it, and nothing is put in order."""


@pytest.mark.parametrize("after", range(5))
def test_a_run_killed_while_its_folder_is_made_starts_again(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record, config, environment and table are written one by one; the next is half there when the kill comes."""
    written: list[Path] = []

    def half(path: Path, text: str) -> None:
        if len(written) == after:
            path.with_name(path.name + ".part").write_text(text[: len(text) // 2])
            raise Killed
        written.append(path)
        path.write_text(text)

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "write_text", half)
        with pytest.raises(Killed):
            tiny(tmp_path / "run")
    assert_same_end(tiny(tmp_path / "run").path, tiny(tmp_path / "whole").path)


# Ctrl-C.


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize(
    ("device", "path"),
    [
        pytest.param(*both, marks=() if "rram" in both or "mixed_precision" in both else pytest.mark.slow)
        for both in itertools.product(DEVICES, PATHS)
    ],
)
def test_a_resumed_run_ends_bit_for_bit_where_an_undisturbed_one_ends(
    tmp_path: Path, device: str, path: str
) -> None:
    whole = tiny(tmp_path / "whole", f"update.path={path}", device=device)
    part = stopped(tmp_path / "part", f"update.path={path}", device=device)
    assert noisyhw.Run.open(part).status == "stopped"
    assert noisyhw.resume(part).status == "done"
    assert_same_end(part, whole.path)


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("rule", ["np", "danp", "dinp", "dbp"])
def test_every_kind_of_rule_resumes_bit_for_bit(tmp_path: Path, rule: str) -> None:
    sets = ("perturbation.passes=2",) if rule != "dbp" else ("rule.oracle=true",)
    whole = tiny(tmp_path / "whole", *sets, rule=rule, device="rram")
    noisyhw.resume(stopped(tmp_path / "part", *sets, rule=rule, device="rram"))
    assert_same_end(tmp_path / "part", whole.path)


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("after", [1, 7, 8, 9, 15])
def test_it_does_not_matter_when_a_run_is_stopped(tmp_path: Path, after: int) -> None:
    whole = tiny(tmp_path / "whole", device="pcm")
    part = stopped(tmp_path / "part", after=after, device="pcm")
    assert len(table(part)) == 1 + after // 8
    noisyhw.resume(part)
    assert_same_end(part, whole.path)


@pytest.mark.usefixtures("no_picture")
def test_a_run_stopped_again_and_again_ends_the_same(tmp_path: Path) -> None:
    whole = tiny(tmp_path / "whole", device="smtj")
    part = stopped(tmp_path / "part", after=3, device="smtj")
    for _ in range(4):
        with pytest.raises(Interrupted):
            noisyhw.resume(part, watcher=CtrlC(3))
    assert noisyhw.resume(part).status == "done"
    assert_same_end(part, whole.path)


@pytest.mark.usefixtures("no_picture")
def test_the_same_start_again_goes_on_where_the_run_stopped(tmp_path: Path) -> None:
    stopped(tmp_path / "run", after=11)
    watcher = CtrlC()
    assert tiny(tmp_path / "run", watcher=watcher).status == "done"
    assert watcher.steps == 5


def test_a_stop_tells_where_and_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(
        Interrupted, match=r"stopped and saved; go on with: noisyhw train --resume '.*my run'"
    ):
        tiny(tmp_path / "my run", watcher=CtrlC(11))
    run = noisyhw.Run.open(tmp_path / "my run")
    assert (run.status, run.reason) == ("stopped", "stopped before epoch 2, batch 4")
    assert (run.path / "curve.png").is_file()


def test_ctrl_c_in_the_last_batch_changes_nothing(tmp_path: Path) -> None:
    assert tiny(tmp_path / "run", watcher=CtrlC(16)).status == "done"


@pytest.mark.usefixtures("no_picture")
def test_the_handlers_of_signals_are_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stopped(tmp_path / "run")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.usefixtures("no_picture")
def test_a_second_ctrl_c_acts_at_once_and_the_run_can_still_be_resumed(tmp_path: Path) -> None:
    class Impatient(CtrlC):
        def stepped(self, *seen: object) -> None:
            if self.steps == 10:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            self.steps += 1

    whole = tiny(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        tiny(tmp_path / "part", watcher=Impatient())
    noisyhw.resume(tmp_path / "part")
    assert_same_end(tmp_path / "part", whole.path)


@pytest.mark.usefixtures("no_picture")
def test_a_run_beside_the_main_thread_trains_without_signals(tmp_path: Path) -> None:
    ended: list[str] = []
    thread = threading.Thread(target=lambda: ended.append(tiny(tmp_path / "run").status))
    thread.start()
    thread.join()
    assert ended == ["done"]


def test_a_finished_run_resumed_is_returned_as_it_is(tmp_path: Path) -> None:
    run = tiny(tmp_path / "run")
    before = {entry.name: entry.read_bytes() for entry in run.path.iterdir()}
    assert noisyhw.resume(run.path) == run
    assert {entry.name: entry.read_bytes() for entry in run.path.iterdir()} == before


# Kill.

DRIVER = """
import os, sys, time, random, signal
import torch
import noisyhw
from noisyhw.training import run as running
from noisyhw.tasks import get_task
from noisyhw.cards.experiment import TaskCard
running.CHECKPOINT_SECONDS = float(sys.argv[3])
running.draw_curve = lambda *_: None
get_task("digits").load(TaskCard(), None)
out, device = sys.argv[1:3]
options = dict(device=device, epochs=25, sets=["network.hidden=[8]", "batch=200"], out=out)
moments = random.Random(int(sys.argv[4]))
before, kills = "", 0
while True:
    child = os.fork()
    if child == 0:
        noisyhw.train(**options)
        os._exit(0)
    if kills < 4:
        time.sleep(moments.uniform(0.02, 0.5))
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    text = open(out + "/metrics.csv").read() if os.path.exists(out + "/metrics.csv") else ""
    whole = text[: text.rfind(chr(10)) + 1]
    assert whole.startswith(before), "a finished row was lost or changed"
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    before, kills = whole, kills + 1
print(kills)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize(("device", "seconds"), [("rram", 0.0), ("pcm", 0.05)])
def test_a_killed_run_loses_no_row_and_ends_bit_for_bit_the_same(
    tmp_path: Path, device: str, seconds: float
) -> None:
    arguments = [str(tmp_path / "part"), device, str(seconds), "1"]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2
    assert_same_end(tmp_path / "part", tiny(tmp_path / "whole", device=device, epochs=25).path)


def command(out: Path, epochs: int) -> list[str]:
    sets = [part for setting in SMALL for part in ("--set", setting)]
    return [
        str(SCRIPT),
        "train",
        "--device",
        "rram",
        "--epochs",
        str(epochs),
        "--out",
        str(out),
        *sets,
    ]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    if not SCRIPT.is_file():
        pytest.skip("the noisyhw command is not installed")
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for_rows(process: subprocess.Popen[str], out: Path) -> None:
    """Until the first epoch is in the table."""
    metrics = out / "metrics.csv"
    until = time.monotonic() + 300
    while not (metrics.is_file() and len(metrics.read_text().splitlines()) > 1):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_terminate_end_the_command_with_130_and_the_way_back(
    tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    with start(command(out, 100_000)) as process:
        wait_for_rows(process, out)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    assert f"noisyhw: stopped and saved; go on with: noisyhw train --resume {out}" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert noisyhw.Run.open(out).status == "stopped"


@pytest.mark.slow
def test_the_command_killed_at_random_moments_ends_bit_for_bit_the_same(tmp_path: Path) -> None:
    out, epochs = tmp_path / "part", 300
    moments, before = random.Random(0), ""
    for _ in range(3):
        with start(command(out, epochs)) as process:
            wait_for_rows(process, out)
            time.sleep(moments.uniform(0, 0.5))
            process.kill()
        text = (out / "metrics.csv").read_text()
        assert text.startswith(before)
        before = text[: text.rfind("\n") + 1]
    with start([str(SCRIPT), "train", "--resume", str(out)]) as process:
        stderr = process.communicate(timeout=600)[1]
    assert process.returncode == 0, stderr
    assert (out / "metrics.csv").read_text().startswith(before)
    assert_same_end(out, tiny(tmp_path / "whole", device="rram", epochs=epochs).path)


@pytest.mark.usefixtures("no_picture")
def test_a_kill_before_the_first_checkpoint_costs_only_time(tmp_path: Path) -> None:
    whole = tiny(tmp_path / "whole")
    part = stopped(tmp_path / "part")
    (part / "checkpoint.pt").unlink()
    row = (part / "metrics.csv").read_text().splitlines()[1]
    noisyhw.resume(part)
    assert (part / "metrics.csv").read_text().splitlines()[1] == row
    assert_same_end(part, whole.path)


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_half_written_last_line_is_mended(tmp_path: Path, cut: int) -> None:
    whole = tiny(tmp_path / "whole")
    part = stopped(tmp_path / "part")
    (part / "checkpoint.pt").unlink()
    content = (part / "metrics.csv").read_text()
    (part / "metrics.csv").write_text(content[:-cut])
    assert len(noisyhw.Run.open(part).metrics) == 0
    noisyhw.resume(part)
    assert_same_end(part, whole.path)


def test_rows_that_are_gone_are_told_and_not_left_out(tmp_path: Path) -> None:
    part = stopped(tmp_path / "part")
    header = (part / "metrics.csv").read_text().splitlines()[0]
    (part / "metrics.csv").write_text(header + "\n")
    with pytest.raises(noisyhw.RunError, match=r"metrics\.csv: lacks some of the 1 epochs.*--fresh"):
        noisyhw.resume(part)


def test_a_table_that_is_gone_is_told(tmp_path: Path) -> None:
    part = stopped(tmp_path / "part")
    (part / "metrics.csv").unlink()
    with pytest.raises(noisyhw.RunError, match=r"metrics\.csv: cannot be read"):
        noisyhw.resume(part)


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "metrics.csv"])
def test_a_kill_while_the_first_files_are_written_is_made_good_by_the_same_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from noisyhw.training import folder
    from noisyhw.training.files import write_text

    write = write_text

    def killed(path: Path, text: str) -> None:
        if path.name == name:
            raise KeyboardInterrupt
        write(path, text)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(folder, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            tiny(out)
    with pytest.raises(noisyhw.RunError, match=r"cut off before its first step; start it again"):
        noisyhw.resume(out)
    assert tiny(out).status == "done"


# Checkpoints and configs that are not this run's.


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return stopped(tmp_path / "part")


def refused(run: Path) -> str:
    """The message with which a run is refused; the folder stays as it was."""
    before = table(run)
    with pytest.raises(noisyhw.RunError) as error:
        noisyhw.resume(run)
    assert table(run) == before
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_checkpoint_is_refused(part: Path, share: float) -> None:
    content = (part / "checkpoint.pt").read_bytes()
    (part / "checkpoint.pt").write_bytes(content[: int(share * len(content))])
    message = refused(part)
    assert "checkpoint.pt: " in message
    assert "--fresh" in message


def test_flipped_bytes_never_end_in_anything_but_a_message(part: Path) -> None:
    content = (part / "checkpoint.pt").read_bytes()
    places = random.Random(0)
    for _ in range(40):
        damaged = bytearray(content)
        for _ in range(20):
            damaged[places.randrange(600)] ^= 1 << places.randrange(8)
        (part / "checkpoint.pt").write_bytes(damaged)
        assert "checkpoint.pt: " in refused(part)


@pytest.mark.parametrize("content", [b"not a checkpoint", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04"])
def test_what_is_no_checkpoint_is_refused(part: Path, content: bytes) -> None:
    (part / "checkpoint.pt").write_bytes(content)
    assert "checkpoint.pt: " in refused(part)


@pytest.mark.parametrize("zipped", [False, True])
def test_code_in_a_checkpoint_is_refused_and_does_not_run(part: Path, tmp_path: Path, zipped: bool) -> None:
    mark = tmp_path / "ran"
    with (part / "checkpoint.pt").open("wb") as file:
        if zipped:
            torch.save({"identity": "a", "trainer": Evil(mark)}, file)
        else:
            pickle.dump(Evil(mark), file)
    message = refused(part)
    assert "holds more than tensors and plain values; nothing of it was run" in message
    assert not mark.exists()


@pytest.mark.parametrize("trainer", [None, {}, {"epoch": 1}])
def test_a_checkpoint_without_a_state_is_refused(part: Path, trainer: object) -> None:
    identity = noisyhw.Run.open(part).identity
    torch.save({"identity": identity, "trainer": trainer}, part / "checkpoint.pt")
    assert "start again with --fresh" in refused(part)


@pytest.mark.parametrize("saved", [[1, 2], {}, torch.zeros(3)])
def test_a_file_of_tensors_that_is_no_checkpoint_is_refused(part: Path, saved: object) -> None:
    torch.save(saved, part / "checkpoint.pt")
    assert "--fresh" in refused(part)


def test_a_state_of_other_sizes_is_refused(part: Path, tmp_path: Path) -> None:
    other = stopped(tmp_path / "other", "network.hidden=[9]")
    saved = torch.load(other / "checkpoint.pt", weights_only=True)
    torch.save(saved | {"identity": noisyhw.Run.open(part).identity}, part / "checkpoint.pt")
    assert "does not fit this run" in refused(part)


def test_the_checkpoint_of_another_config_is_refused_with_both_identities(part: Path, tmp_path: Path) -> None:
    other = stopped(tmp_path / "other", seed=9)
    shutil.copy(other / "checkpoint.pt", part / "checkpoint.pt")
    message = refused(part)
    assert "belongs to another config" in message
    assert noisyhw.Run.open(part).identity[:8] in message
    assert noisyhw.Run.open(other).identity[:8] in message


def test_an_altered_config_is_refused(part: Path) -> None:
    config = (part / "config.yaml").read_text()
    assert "epochs: 2\n" in config
    (part / "config.yaml").write_text(config.replace("epochs: 2\n", "epochs: 3\n"))
    assert "holds a run of another config" in refused(part)


def test_a_config_that_is_gone_is_told(part: Path) -> None:
    (part / "config.yaml").unlink()
    with pytest.raises(noisyhw.NoisyhwError, match=r"config\.yaml"):
        noisyhw.resume(part)


def test_a_run_of_other_arithmetic_is_refused(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ARITHMETIC", "another")
    assert "another config, data or version" in refused(part)


def test_a_folder_without_a_run_cannot_be_resumed_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(noisyhw.RunError, match=r"no run was started here"):
        noisyhw.resume(tmp_path)
    assert list(tmp_path.iterdir()) == []


# Disks.


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 8 KiB: the system refuses to write more, also to pytest's own report, so be brief."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_checkpoint_that_cannot_be_written_is_one_message_and_leaves_no_part(tmp_path: Path) -> None:
    expected = pytest.raises(
        noisyhw.RunError, match=r"checkpoint\.pt: cannot be written \(.+\); free some space"
    )
    with expected, small_files():
        tiny(tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    assert not (tmp_path / "run" / "checkpoint.pt.part").exists()


@pytest.mark.usefixtures("no_picture")
def test_a_full_disk_leaves_the_last_checkpoint_and_the_run_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    part = stopped(tmp_path / "part", after=3)
    before = checkpoint(part)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(noisyhw.RunError, match=r"No space left on device"):
            noisyhw.resume(part)
    assert checkpoint(part).keys() == before.keys()
    assert noisyhw.resume(part).status == "done"
    assert_same_end(part, tiny(tmp_path / "whole").path)


@pytest.mark.usefixtures("no_picture")
def test_a_row_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    part = stopped(tmp_path / "part", after=3)
    (part / "metrics.csv").unlink()
    (part / "metrics.csv").symlink_to("/dev/full")
    folder = RunFolder(part)
    folder.last_epoch = 0
    with pytest.raises(
        noisyhw.RunError, match=r"metrics\.csv: cannot be written \(No space left on device\)"
    ):
        folder.append(
            Row(
                1,
                8,
                train_loss=1.0,
                train_accuracy=None,
                test_loss=1.0,
                test_accuracy=None,
                pulses_per_weight=None,
                seconds=0.1,
            )
        )
