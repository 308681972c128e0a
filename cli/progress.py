"""How a run goes, on stderr: what is trained, and on a terminal a bar with loss, accuracy and time left."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from noisyhw.cards import Experiment
    from noisyhw.tasks import Data
    from noisyhw.training.trainer import Row, Trainer

REFRESH_SECONDS = 0.1


class Progress:
    """Watches one run (see :class:`noisyhw.training.run.Watcher`)."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.worked = False
        self.bar: Bar | None = None
        self.last = 0.0
        self.news = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def started(self, experiment: Experiment, folder: Path, data: Data, trainer: Trainer) -> None:
        """Say what is trained, and raise the bar on a terminal."""
        self.worked = True
        if self.quiet:
            return
        for note in (*data.notes, *trainer.notes):
            click.echo(f"note: {note}", err=True)
        choice = experiment.update
        click.echo(
            f"{experiment.rule.name} on {experiment.device.name}, task {experiment.task.name}, "
            f"{choice.path} at learning rate {choice.learning_rate:g}, seed {experiment.seed}; "
            f"injected perturbation: {_perturbation(trainer)}",
            err=True,
        )
        if sys.stderr.isatty():
            self._raise_bar(trainer)

    def _raise_bar(self, trainer: Trainer) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.bar = Bar(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("{task.fields[news]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        epochs = trainer.experiment.epochs or 1
        total = epochs * trainer.batches
        self.bar.add_task(
            "train", total=total, completed=trainer.step_count, epoch=trainer.epoch, epochs=epochs, news=""
        )
        self.bar.start()

    def stepped(self, trainer: Trainer, row: Row | None) -> None:
        """Move the bar."""
        if row is not None:
            self.news = _news(row)
        now = time.monotonic()
        if self.bar is None or (now - self.last < REFRESH_SECONDS and not trainer.finished):
            return
        self.last = now
        self.bar.update(
            self.bar.task_ids[0], completed=trainer.step_count, epoch=trainer.epoch, news=self.news
        )


def _news(row: Row) -> str:
    accuracy = "" if row.test_accuracy is None else f" accuracy {row.test_accuracy:.3f}"
    return f"test loss {row.test_loss:.4g}{accuracy}"


def _perturbation(trainer: Trainer) -> str:
    std = trainer.perturbation_std
    return f"std {std:.3g}" if std else "none"
