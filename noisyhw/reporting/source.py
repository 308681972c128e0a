"""What a report is made of: a sweep, or several run folders, as one table with their circumstances."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..cards.loading import load_experiment
from ..errors import RunError
from ..sweeps.asked import read_asked
from ..sweeps.lines import Lines
from ..sweeps.record import METRICS, TIMES, told
from ..sweeps.store import MARK, Store
from ..sweeps.table import LAST, TUNED, results
from ..training.run import Run

OWN = ("task", "device", "rule")
EXPERIMENT = "experiment"
"""Column of the table that holds each run's fields that are not at their defaults."""
_IDENTITY = re.compile(rb'\{"identity": "([0-9a-f]+)"')

Curves = dict[str, tuple[list[int], list[float]]]
"""Identity -> epochs and the metric after each."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Runs that belong together.

    Args:
        name: the folder's name.
        title: one line for people.
        table: a row a run that was asked for: settings, status, reason, the last epoch's metrics, experiment.
        commands: what makes it again.
        cards: name and text of the sweep cards.
        environments: versions and hardware.
        notes: what a reader must be told.
        paths: curves.jsonl, or the run folders.
        tuning: how its settings were searched for; empty: they were not.
    """

    name: str
    title: str
    table: pd.DataFrame
    commands: tuple[str, ...] = ()
    cards: tuple[str, ...] = ()
    environments: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    tuning: str = ""

    @property
    def settings(self) -> list[str]:
        """The columns that say what a run is, without its seed and what was chosen for it."""
        names = map(str, self.table)
        return [one for one in names if one not in (*LAST, EXPERIMENT, "seed") and not one.startswith(TUNED)]

    def curves(self, wanted: set[str], metric: str) -> Curves:
        """Return the learning curves of some runs; the others are passed over unread."""
        found: Curves = {}
        for path in self.paths:
            entries = _curves_of_sweep(path, wanted) if path.is_file() else _curves_of_run(path, wanted)
            for identity, columns in entries:
                found[identity] = columns["epoch"], columns[metric]
        return found


def read_sources(folders: Sequence[str | Path]) -> list[Source]:
    """Read the folders: a source for each sweep, and one for all run folders together.

    Raises:
        RunError: one is not there, or is neither a sweep nor a run.
    """
    paths = list(dict.fromkeys(Path(folder).expanduser() for folder in folders))
    kinds = {path: _kind(path) for path in paths}
    runs = [path for path in paths if kinds[path] == "run"]
    sources = [_sweep(path) for path in paths if kinds[path] == "sweep"]
    return sources + ([_runs(runs)] if runs else [])


def _kind(path: Path) -> str:
    if (path / MARK).is_file():
        return "sweep"
    if (path / "run.json").is_file():
        return "run"
    if not path.is_dir():
        raise RunError(f"{path}: no such folder; give the folder of a sweep (runs/sweep-NAME) or of a run")
    inner = sorted(entry.name for entry in path.iterdir() if (entry / MARK).is_file())
    hint = f"; did you mean {path / inner[0]}?" if inner else ""
    raise RunError(
        f"{path}: neither a sweep's folder (there is no {MARK}) nor a run's (there is no run.json){hint}"
    )


def _sweep(path: Path) -> Source:
    store = Store.open(path)
    asked = read_asked(store)
    titles = list(dict.fromkeys(entry["title"] for entry in asked if entry["title"]))
    records = store.records
    table = results(store, unfinished=True)
    experiments = [records[one].experiment if one in records else None for one in table["identity"]]
    table[EXPERIMENT] = pd.Series(experiments, index=table.index, dtype=object)
    versions = sorted({record.versions for record in records.values() if record.versions})
    return Source(
        name=path.resolve().name,
        title=titles[-1] if titles else path.resolve().name,
        table=table,
        commands=tuple(entry["command"] for entry in asked),
        cards=tuple(dict.fromkeys(entry["card"] for entry in asked)),
        environments=tuple(Lines(path / "environments.jsonl").news()) or ({"versions": versions},),
        notes=tuple(sorted({note for record in records.values() for note in record.notes})),
        paths=(path / "curves.jsonl",),
        tuning=_tuning(asked),
    )


def _tuning(asked: Sequence[Mapping[str, Any]]) -> str:
    """How settings were searched for, if all that was asked for had a search."""
    told = [entry.get("tuning", "") for entry in asked]
    return " ".join(dict.fromkeys(told)) if all(told) else ""


def _runs(paths: Sequence[Path]) -> Source:
    runs = [Run.open(path) for path in paths]
    experiments = [load_experiment(path / "config.yaml") for path in paths]
    tolds = [told(one) for one in experiments]
    flat = [flattened(one) for one in tolds]
    differing = [key for key in dict.fromkeys(key for one in flat for key in one) if _differs(key, flat)]
    rows = [
        {"task": one.task.name, "device": one.device.name, "rule": one.rule.name}
        | {key: fields.get(key) for key in differing}
        | {"seed": one.seed, EXPERIMENT: tell}
        | _ended(run)
        for run, one, tell, fields in zip(runs, experiments, tolds, flat, strict=True)
    ]
    columns = [*OWN, *differing, "seed", *LAST, EXPERIMENT]
    environments = [json.loads((path / "environment.json").read_text()) for path in paths]
    return Source(
        name="runs",
        title=f"{len(runs)} runs" if len(runs) > 1 else f"Run {paths[0].resolve().name}",
        table=pd.DataFrame(rows, columns=columns),
        commands=tuple(f"noisyhw train {path.resolve().name}/config.yaml" for path in paths[:20]),
        environments=tuple(one for i, one in enumerate(environments) if one not in environments[:i]),
        notes=tuple(sorted({note for run in runs for note in run.record.get("notes", ())})),
        paths=tuple(paths),
    )


def _differs(key: str, flat: Sequence[Mapping[str, Any]]) -> bool:
    own = key == "seed" or key.startswith("device.") or key in ("task.name", "rule.name")
    return not own and len({json.dumps(one.get(key)) for one in flat}) > 1


def _ended(run: Run) -> dict[str, Any]:
    table = run.metrics
    last = table.iloc[-1].to_dict() if len(table) else {}
    status = run.status if run.status in ("done", "diverged") else "to do"
    metrics = {key: last.get(key) for key in METRICS}
    seconds = float(table["seconds"].sum()) if len(table) else None
    times = dict(zip(TIMES, (seconds, run.record.get("finished")), strict=True))
    return metrics | times | {"status": status, "reason": run.reason, "identity": run.identity}


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a tree's leaves by dotted path; lists are leaves."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _curves_of_sweep(path: Path, wanted: set[str]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    with path.open("rb") as file:
        for line in file:
            match = _IDENTITY.match(line)
            if not line.endswith(b"\n") or (match is not None and match[1].decode() not in wanted):
                continue
            entry = json.loads(line)
            if entry["identity"] in wanted:
                yield entry.pop("identity"), entry


def _curves_of_run(path: Path, wanted: set[str]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    run = Run.open(path)
    if run.identity in wanted:
        yield run.identity, {str(name): values.tolist() for name, values in run.metrics.items()}
