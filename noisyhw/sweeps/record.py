"""What an engine is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

from ..cards.device import PROVENANCE
from ..cards.experiment import Experiment, Resolved
from ..training.run import ARITHMETIC
from ..training.trainer import Row

Status = Literal["done", "diverged", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)
METRICS = tuple(field.name for field in fields(Row) if field.name != "seconds")
TIMES = ("seconds", "finished")
"""The only columns of a result that differ from one computation of a run to the next."""


@dataclass(frozen=True)
class Job:
    """One run to be done.

    Args:
        identity: of the run, as the planner saw the data and the code.
        experiment: resolved.
        data_dir: where the data is; None: where it is found.
        folder: a run folder to train in, from whose checkpoint it goes on; None: none is kept.
    """

    identity: str
    experiment: Resolved
    data_dir: Path | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Record:
    """One finished run.

    Args:
        identity: SHA-256 over everything that affects the result.
        status: done, diverged (a loss or update was not finite) or failed (it could not be computed).
        reason: why it diverged or failed.
        metrics: the last epoch's row without its seconds; empty if there is none.
        perturbation_std: of the injected perturbation.
        seconds: wall-clock time; of a run in a stack, its share of the stack's.
        finished: when, UTC.
        experiment: what was run: its fields that differ from their defaults.
        notes: what a person who reads the result must be told.
        versions: of noisyhw, of its arithmetic, of torch.
    """

    identity: str
    status: Status
    reason: str | None
    _: KW_ONLY
    metrics: dict[str, float | int | None]
    perturbation_std: float | None
    seconds: float
    finished: str
    experiment: dict[str, Any]
    notes: tuple[str, ...] = ()
    versions: str = ""

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Record:
        """Return what a line of a store tells.

        Raises:
            TypeError: it is no record of this version.
        """
        if entry.get("status") not in STATUSES or not isinstance(entry.get("metrics"), dict):
            raise TypeError
        return cls(**entry | {"notes": tuple(entry.get("notes", ()))})


@dataclass(frozen=True)
class Outcome:
    """A finished run with its table of epochs."""

    record: Record
    rows: tuple[Row, ...] = ()


def outcome(
    job: Job,
    status: Status,
    reason: str | None,
    rows: Sequence[Row] = (),
    *,
    seconds: float = 0.0,
    perturbation_std: float | None = None,
    notes: Sequence[str] = (),
) -> Outcome:
    """Return a finished run as it is kept."""
    last = asdict(rows[-1]) if rows else {}
    return Outcome(
        Record(
            identity=job.identity,
            status=status,
            reason=reason,
            metrics={key: last[key] for key in METRICS} if last else {},
            perturbation_std=perturbation_std,
            seconds=round(seconds, 4),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            experiment=told(job.experiment),
            notes=tuple(notes),
            versions=_versions(),
        ),
        tuple(rows),
    )


@cache
def _versions() -> str:
    noisyhw, torch = metadata.version("noisyhw"), metadata.version("torch")
    return f"noisyhw {noisyhw}, arithmetic {ARITHMETIC}, torch {torch}"


def told(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment's fields that are not at their defaults, a card that runs again, without its sources."""
    unsaid: Any = {"device": PROVENANCE - {"name"}}
    return experiment.model_dump(mode="json", exclude_defaults=True, exclude=unsaid)
