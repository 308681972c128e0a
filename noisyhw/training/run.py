"""Running an experiment in a folder: start, stop, resume."""

from __future__ import annotations

import contextlib
import math
import shlex
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import pandas as pd
from pydantic import ValidationError
from torch import nn
from torch.utils.data import Dataset

from ..cards import load_experiment
from ..cards.experiment import Experiment, Resolved
from ..errors import NoisyhwError, RunError, UsageError
from ..foreign import trust_everything
from ..memory import keep_freed_memory
from ..network import Traced
from ..network import card as network_card
from ..rules import Rule, card_of
from ..tasks import Data, data_of, load_data
from ..tasks import card_of as card_of_data
from .accelerator import choose_accelerator
from .curve import draw_curve
from .effort import digital_memory
from .environment import environment
from .folder import COLUMNS, RunFolder
from .progress import Diverged
from .resolve import resolve
from .threads import computing_with, threads_for
from .trainer import Row, Trainer

ARITHMETIC = "4"
"""Raised whenever a change of the code changes a run's numbers; part of every run's identity."""
CHECKPOINT_SECONDS = 15.0
CREATED = "created"
"""A folder's status until all its first files are there."""


class Interrupted(NoisyhwError):
    """The run was asked to stop, and was saved."""

    exit_code = 130


@dataclass(frozen=True)
class Run:
    """A run folder, to be looked at.

    Attributes:
        path: the folder.
        status: created, running, stopped, done or diverged.
        reason: why it stopped or diverged.
        identity: SHA-256 over everything that affects the result.
    """

    path: Path
    status: str
    reason: str | None
    identity: str

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Look at a run folder.

        Raises:
            RunError: there is no run.
        """
        record = RunFolder(Path(path)).read_record()
        return cls(Path(path), record["status"], record.get("reason"), record["identity"])

    @property
    def metrics(self) -> pd.DataFrame:
        """One row an epoch: epoch, step, train and test loss and accuracy, pulses a weight, seconds."""
        return pd.DataFrame([row.__dict__ for row in RunFolder(self.path).rows()], columns=COLUMNS)

    @property
    def record(self) -> dict[str, Any]:
        """What ``run.json`` says."""
        return RunFolder(self.path).read_record()


@runtime_checkable
class Watcher(Protocol):
    """Is told how a run goes; the command line draws a progress bar from it."""

    def started(self, experiment: Resolved, folder: Path, data: Data, trainer: Trainer) -> None:
        """Training starts or goes on."""

    def stepped(self, trainer: Trainer, row: Row | None) -> None:
        """A batch is done, and with it perhaps an epoch."""


class Silent:
    """Watches and says nothing."""

    def started(self, experiment: Resolved, folder: Path, data: Data, trainer: Trainer) -> None:
        """Say nothing."""

    def stepped(self, trainer: Trainer, row: Row | None) -> None:
        """Say nothing."""


def train(
    experiment: str | Path | Experiment | None = None,
    *,
    device: str | Path | None = None,
    rule: str | Rule | type[Rule] | None = None,
    task: str | Path | Data | tuple[object, object] | Dataset[Any] | None = None,
    network: nn.Module | Traced | str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    sets: Sequence[str] = (),
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    fresh: bool = False,
    trust: bool = False,
    accelerator: str = "cpu",
    watcher: Watcher | None = None,
    pause_after: int | None = None,
) -> Run:
    """Train a network on a device and return its run.

    Args:
        experiment: an experiment card (path or shipped name), or a checked one, which takes no changes (device,
            rule, task, epochs, seed, sets); None: digits on rram with danp.
        device: name or file of a device card.
        rule: bp, np, anp, inp, or one of these with a leading d for decorrelation; a rule of your own by its file,
            ``./my_rule.py:MyRule``, or as an object or class, ``MyRule(...)``.
        task: digits, cifar10, sarcos or tiny-imagenet; data of your own, :meth:`noisyhw.Data.from_arrays` or (x, y), or
            a file of them, ``./table.csv``; or a task's class in a file, ``./my_task.py:MyTask``.
        network: a torch.nn.Module of your own, as an object, as :func:`noisyhw.from_torch` returns it, or as a class
            in a file, ``./my_net.py:MyNet``; None: the task's.
        epochs: passes through the training set.
        seed: of everything that is drawn.
        sets: changes of any field, e.g. ``["update.path=on_tile"]``.
        out: the run folder; None: a name under ``runs/`` that tells task, device, rule, seed and identity.
        data_dir: where the data is.
        fresh: forget what the folder holds of this run.
        trust: run code in files that a card names; what is given here runs anyway.
        accelerator: cpu, cuda, or auto (cuda if there is one). The random numbers of the two differ, and with them the
            bits of a result; a run that goes on does so where it was started.
        watcher: is told of every step.
        pause_after: stop and save when so many epochs are done; the same call with a later pause, or none, goes on.

    Returns:
        The run. If the folder already holds it finished, it is returned as it is; if unfinished, it goes on.

    Raises:
        NoisyhwError: with a message for people. A run that diverges raises nothing: see ``Run.status``.
    """
    if experiment is None and device is None:
        device = "rram"
    if trust:
        trust_everything()
    named: dict[str, object] = (
        {"rule.name": rule} if rule is None or isinstance(rule, str) else {"rule": card_of(rule)}
    )
    if isinstance(network, str):
        named["network.module"] = network
    elif network is not None:
        named["network"] = network_card.card_of(network)
    if isinstance(task, str | Path):
        named["task.name"] = str(task)
    elif task is not None:
        named["task"] = card_of_data(task)
    options = {"device": device, "epochs": epochs, "seed": seed} | named
    resolved = resolve(_experiment(experiment, options, sets))
    data = load_data(data_of(resolved), None if data_dir is None else Path(data_dir))
    where = choose_accelerator(accelerator)
    identity = resolved.identity(data.version, ARITHMETIC)
    folder = RunFolder(Path(out).expanduser() if out is not None else default_folder(resolved, identity))
    folder.check_free()
    with folder.locked():
        if folder.exists and not fresh:
            _check_same(folder, identity)
            status = folder.read_record()["status"]
            if status in ("done", "diverged"):
                return Run.open(folder.path)
            if status != CREATED:
                return _go_on(folder, resolved, data, identity, watcher or Silent(), pause_after)
        with computing_with(1):  # what is measured at the start does not depend on how many cores there are
            trainer = Trainer(resolved, data, where)
        record = {
            "identity": identity,
            "status": CREATED,
            "reason": None,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "data_version": data.version,
            "data_dir": None if data_dir is None else str(Path(data_dir).resolve()),
            "notes": [*data.notes, *trainer.notes],
            "digital_memory": digital_memory(resolved),
            "perturbation_std": trainer.perturbation_std,
            "threads": threads_for(trainer.chip, resolved.batch or 1),
            "accelerator": where.type,
        }
        folder.create(resolved, record, environment())
        return _train(folder, trainer, record, watcher or Silent(), pause_after)


def resume(
    path: str | Path,
    data_dir: str | Path | None = None,
    watcher: Watcher | None = None,
    *,
    task: Data | tuple[object, object] | Dataset[Any] | None = None,
    rule: Rule | type[Rule] | None = None,
    network: nn.Module | Traced | None = None,
    trust: bool = False,
) -> Run:
    """Go on with an unfinished run; it ends bit for bit where an undisturbed one ends.

    Args:
        path: the run folder.
        data_dir: where the data is, if it moved.
        watcher: is told of every step.
        task: the data of a run that was given them as an object; the run's folder does not keep them.
        rule: of a run that was given its rule as an object.
        network: of a run that was given its network as an object.
        trust: run code in files that the run names.

    Raises:
        NoisyhwError: there is no run, or its config, data or checkpoint are not those it was started with.
    """
    folder = RunFolder(Path(path).expanduser())
    record = folder.read_record()
    if record["status"] == CREATED:
        raise RunError(f"{path}: this run was cut off before its first step; start it again, with --fresh")
    if trust:
        trust_everything()
    if rule is not None:
        card_of(rule)
    if network is not None:
        network_card.card_of(network)
    experiment = _resolved_config(folder)
    if task is not None:
        _give_again(folder, experiment, task)
    where = data_dir if data_dir is not None else record.get("data_dir")
    data = load_data(data_of(experiment), None if where is None else Path(where))
    if experiment.task.data_file is not None:
        _check_file(folder, experiment, data)
    identity = experiment.identity(data.version, ARITHMETIC)
    with folder.locked():
        _check_same(folder, identity)
        if record["status"] == "done":
            return Run.open(path)
        if record["status"] == "diverged":
            raise RunError(f"{path}: this run diverged ({record['reason']}); there is nothing to go on with")
        return _go_on(folder, experiment, data, identity, watcher or Silent())


def _give_again(folder: RunFolder, experiment: Experiment, task: object) -> None:
    """Keep the data that a run was begun with, in this process."""
    if not experiment.task.version:
        raise UsageError(f"task: {folder.path}: this run finds its data itself; leave task out")
    version = card_of_data(task)["version"]
    if version != experiment.task.version:
        raise RunError(
            f"{folder.path}: this run was begun with other data (version {experiment.task.version}, and those "
            f"given now have {version}); give the same, with the same test set"
        )


def _check_file(folder: RunFolder, experiment: Experiment, data: Data) -> None:
    """Refuse to go on with a file of data that was edited since the run began."""
    begun = folder.read_record().get("data_version")
    if begun != data.version:
        raise RunError(
            f"{folder.path}: the data in {experiment.task.file} have changed since this run began (version {begun}, "
            f"now {data.version}); put the file back as it was, or start again with --fresh"
        )


def _experiment(
    given: str | Path | Experiment | None, options: Mapping[str, object], sets: Sequence[str]
) -> Experiment:
    if isinstance(sets, str):
        raise UsageError(f"sets: give a list, e.g. [{sets!r}]")
    if not isinstance(given, Experiment):
        texts = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
        return load_experiment(given, texts, sets)
    if sets or any(value is not None for value in options.values()):
        raise UsageError("train: a checked Experiment takes no changes; give a card's path or name with them")
    return given


def _resolved_config(folder: RunFolder) -> Resolved:
    """The experiment of a run, which was resolved when it began."""
    try:
        return Resolved.model_validate(load_experiment(folder.config).model_dump())
    except ValidationError:
        raise RunError(
            f"{folder.config}: something is left open in it; start the run again, with --fresh"
        ) from None


def default_folder(experiment: Resolved, identity: str) -> Path:
    """runs/TASK-DEVICE-RULE-seedN-IDENTITY."""
    parts = (
        experiment.task.name,
        experiment.device.name,
        experiment.rule.name,
        f"seed{experiment.seed}",
        identity[:8],
    )
    return Path("runs") / "-".join(parts)


def _check_same(folder: RunFolder, identity: str) -> None:
    known = folder.read_record()["identity"]
    if known != identity:
        raise RunError(
            f"{folder.path}: holds a run of another config, data or version (identity {known[:8]}, asked for "
            f"{identity[:8]}); choose another --out, or replace it with --fresh"
        )


def _go_on(
    folder: RunFolder,
    experiment: Resolved,
    data: Data,
    identity: str,
    watcher: Watcher,
    pause_after: int | None = None,
) -> Run:
    where = choose_accelerator(folder.read_record().get("accelerator", "cpu"))
    with computing_with(1):
        trainer = Trainer(experiment, data, where)
    folder.mend()
    if folder.checkpoint.is_file():
        _take_up(trainer, folder, identity)
    return _train(folder, trainer, folder.read_record(), watcher, pause_after)


def _take_up(trainer: Trainer, folder: RunFolder, identity: str) -> None:
    state = folder.load(identity)
    try:
        trainer.load(state)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{folder.checkpoint}: does not fit this run ({type(error).__name__}); start again with --fresh"
        ) from None
    known = [row.epoch for row in folder.rows()]
    if known[: trainer.epoch] != list(range(1, trainer.epoch + 1)):
        raise RunError(
            f"{folder.metrics}: lacks some of the {trainer.epoch} epochs that the checkpoint has behind it; "
            "start again with --fresh"
        )


def _train(
    folder: RunFolder, trainer: Trainer, record: dict[str, Any], watcher: Watcher, pause_after: int | None
) -> Run:
    """Train to the end or the pause; whatever stops it, the folder says so and can be resumed."""
    keep_freed_memory()
    identity = record["identity"]
    record = record | {"status": "running", "reason": None}
    folder.write_record(record)
    watcher.started(trainer.experiment, folder.path, trainer.data, trainer)
    with _asked_to_stop() as stop, computing_with(record.get("threads")):
        try:
            _epochs(folder, trainer, identity, watcher, stop, pause_after)
        except Diverged as diverged:
            where = f"epoch {trainer.epoch + 1}, step {trainer.step_count}"
            return _close(folder, record, trainer, "diverged", f"{diverged} in {where}")
    if trainer.finished:
        return _close(folder, record, trainer, "done", None)
    where = f"epoch {trainer.epoch + 1}, batch {trainer.batch_index + 1}"
    stopped = _close(folder, record, trainer, "stopped", f"stopped before {where}")
    if not stop.is_set():
        return stopped
    raise Interrupted(
        f"stopped and saved; go on with: noisyhw train --resume {shlex.quote(str(folder.path))}"
    )


def _epochs(
    folder: RunFolder,
    trainer: Trainer,
    identity: str,
    watcher: Watcher,
    stop: threading.Event,
    pause_after: int | None,
) -> None:
    saved = time.monotonic()
    last = math.inf if pause_after is None else pause_after
    while not trainer.finished and not stop.is_set() and trainer.epoch < last:
        row = trainer.step()
        if row is not None:
            folder.append(row)
        watcher.stepped(trainer, row)
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            folder.save(identity, trainer.state())
            saved = time.monotonic()
    folder.save(identity, trainer.state())


def _close(
    folder: RunFolder, record: dict[str, Any], trainer: Trainer, status: str, reason: str | None
) -> Run:
    rows = folder.rows()
    if rows:
        experiment = trainer.experiment
        title = f"{experiment.rule.name} on {experiment.device.name}, {experiment.task.name}, seed {experiment.seed}"
        draw_curve(rows, title, folder.curve)
    folder.write_record(record | {"status": status, "reason": reason})
    return Run.open(folder.path)


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a wish that is granted after the batch; a second one acts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
