"""How a sweep goes, on stderr: a live table on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

    from noisyhw.sweeps import Point, Record

LINE_SECONDS = 30.0
MAX_RUNNING = 16


class SweepProgress:
    """Watches a sweep (see :class:`noisyhw.sweeps.driver.SweepWatcher`)."""

    def __init__(self, quiet: bool, announce: bool = True) -> None:
        self.quiet = quiet
        self.announce = announce
        self.total = 0
        self.before = 0
        self.workers = 1
        self.tally: Counter[str] = Counter()
        self.running: dict[str, tuple[str, float]] = {}
        self.news: list[str] = []
        self.start = self.last = time.monotonic()
        self.live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def planned(self, points: Mapping[str, Point], finished: Sequence[Record], workers: int) -> None:
        """Say what there is to do, and raise the table on a terminal."""
        self.total, self.before, self.workers = len(points), len(finished), workers
        self.tally = Counter(record.status for record in finished)
        self.start = self.last = time.monotonic()
        left = self.total - self.before
        if self.quiet or not left:
            return
        if self.announce:
            click.echo(f"{self.total} runs, {left} left, {min(workers, left)} at once", err=True)
        if sys.stderr.isatty() and self.live is None:
            self._raise_table()

    def _raise_table(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self.live = Live(get_renderable=self.table, console=console, refresh_per_second=4, transient=True)
        self.live.start()

    def started(self, point: Point) -> None:
        """A run is under way."""
        self.running[point.identity] = described(point), time.monotonic()

    def ended(self, point: Point, record: Record) -> None:
        """Count a finished run; one that diverged or failed is told at once."""
        self.running.pop(point.identity, None)
        self.tally[record.status] += 1
        if record.status != "done" and not self.quiet:
            self._say(f"{record.status}: {described(point)}: {record.reason}")
        if self.live is None and time.monotonic() - self.last > LINE_SECONDS:
            self.last = time.monotonic()
            if not self.quiet:
                self._say(f"{self.summary()}, {self.time_left()} left")

    def _say(self, text: str) -> None:
        if self.live is None:
            click.echo(text, err=True)
        else:
            self.live.console.print(text, markup=False, highlight=False)

    def counts(self) -> dict[str, int]:
        """Return how many runs there are, by status."""
        return {"runs": self.total} | {
            status: self.tally[status] for status in ("done", "diverged", "failed")
        }

    def summary(self) -> str:
        """Return the counts as a line."""
        done, diverged, failed = (self.tally[status] for status in ("done", "diverged", "failed"))
        return f"{done} of {self.total} runs done, {diverged} diverged, {failed} failed"

    def time_left(self) -> str:
        """Return how long the rest will take at the pace so far."""
        ended = self.tally.total() - self.before
        if not ended:
            return "unknown time"
        return duration((time.monotonic() - self.start) / ended * (self.total - self.tally.total()))

    def table(self) -> Group:
        """Return the live table: counts above, runs under way below."""
        from rich.console import Group
        from rich.table import Table

        left = self.total - self.tally.total()
        table = Table(box=None)
        table.add_column("seconds", justify="right")
        table.add_column(f"running ({len(self.running)})")
        now = time.monotonic()
        for name, since in list(self.running.values())[:MAX_RUNNING]:
            table.add_row(f"{now - since:.0f}", name)
        return Group(f"{self.summary()}, {left} left: {self.time_left()}", table)


def described(point: Point) -> str:
    """Return a run's settings as a line."""
    return ", ".join(f"{key}={value}" for key, value in point.settings.items())


def duration(seconds: float) -> str:
    """Return a time for people: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
