"""From the runs of one task to what a page shows: figures with captions, tables, and how it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .axes import axis, label
from .breaks import Line, break_lines, ideal_runs, nothing_learned, with_values
from .differences import Difference, differences, point_keys
from .errors import images_of
from .layout import Layout, lay_out
from .panel import MAX_SWEPT, Findings, Picture, runs_a_point
from .pictures import pictures, plain
from .source import EXPERIMENT, Source
from .statistics import COUNTS, summarize
from .tables import (
    Table,
    breaks_table,
    chosen_table,
    common_settings,
    differences_table,
    lost_table,
    points_table,
    reasons_table,
    told_environment,
)

if TYPE_CHECKING:
    pass

NOT_TUNED = (
    "none. Learning rate and perturbation are the card's or the task's own (the task's were chosen for danp) for every "
    "rule, device and point, and were not searched for: a difference or a break point here is one at these settings."
)
"""Said on the page of runs whose settings no search has chosen."""
MANY_LOST = 12
"""Lost runs from which on they are also counted by reason."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a page shows of one source and task.

    Args:
        name: of its files and links.
        title: one line.
        facts: numbers at a glance, name -> text.
        pictures: in order.
        breaks, points, lost, chosen, gaps: tables.
        source: where it is from.
        settings: that all runs share.
        environments: versions and hardware, a line each.
        table: all points; files get it.
        runs: all runs.
    """

    name: str
    title: str
    facts: Mapping[str, str]
    source: Source
    settings: Mapping[str, str]
    environments: tuple[str, ...]
    table: pd.DataFrame
    runs: pd.DataFrame
    pictures: tuple[Picture, ...] = ()
    breaks: tuple[Table, ...] = ()
    points: Table | None = None
    lost: tuple[Table, ...] = field(default=())
    chosen: Table | None = None
    gaps: Table | None = None


def studies(sources: Sequence[Source], data_dir: Path | None = None) -> list[Study]:
    """Return a study for each source and task.

    Args:
        sources: see :func:`noisyhw.reporting.source.read_sources`.
        data_dir: where data is looked for; only the break points of a regression need it.
    """
    found: list[Study] = []
    for source in sources:
        tasks = list(dict.fromkeys(source.table["task"]))
        for task in tasks:
            runs = source.table[source.table["task"] == task]
            name = f"{len(found) + 1}-{plain(source.name)}"
            title = source.title if len(tasks) == 1 else f"{source.title}: {task}"
            found.append(_study(name, title, source, runs, [one.table for one in sources], data_dir))
    return found


def _study(
    name: str,
    title: str,
    source: Source,
    runs: pd.DataFrame,
    tables: Sequence[pd.DataFrame],
    data_dir: Path | None,
) -> Study:
    layout = lay_out(runs, source.settings)
    keys = layout.keys or ["device"]
    images = images_of([one for one in runs[EXPERIMENT] if isinstance(one, dict)], layout.metric)
    points = summarize(runs, keys, layout.metric, images)
    lost = runs["status"].isin(["diverged", "failed"])
    told = [lost_table(f"lost-{name}", runs, keys)] if lost.any() else []
    told += [reasons_table(f"reasons-{name}", runs)] if lost.sum() >= MANY_LOST else []
    drawn: tuple[Picture, ...] = ()
    breaks: list[Table] = []
    gaps: list[Difference] = []
    if points["n"].sum():
        nothing = _nothing(runs, layout.metric, data_dir)
        lines = _lines(runs, layout, nothing, ideal_runs(tables, layout.metric))
        breaks = [
            breaks_table(f"breaks-{name}-{i}", of_x, layout, axis(x, runs[x].tolist()).log)
            for i, (x, of_x) in enumerate(lines.items())
        ]
        gaps = differences(with_values(runs, layout.metric, nothing), layout, images)
        found = Findings(source=source, runs=runs, points=points, layout=layout, lines=lines, nothing=nothing)
        drawn = pictures(name, found)
    return Study(
        name=name,
        title=title,
        facts=_facts(runs, layout, points) | {"Tuning": source.tuning or NOT_TUNED},
        source=source,
        settings=common_settings(runs),
        environments=tuple(dict.fromkeys(map(told_environment, source.environments))),
        table=points,
        runs=runs.drop(columns=EXPERIMENT),
        pictures=drawn,
        breaks=tuple(breaks),
        points=points_table(f"points-{name}", points, layout, keys, images),
        gaps=differences_table(f"gaps-{name}", gaps, point_keys(layout), layout, images) if gaps else None,
        lost=tuple(reversed(told)),
        chosen=chosen_table(f"chosen-{name}", runs, keys) if source.tuning else None,
    )


def _nothing(runs: pd.DataFrame, metric: str, data_dir: Path | None) -> float | None:
    tasks = {
        str(one.get("task", {})): one.get("task", {}) for one in runs[EXPERIMENT] if isinstance(one, dict)
    }
    levels = {nothing_learned(task, metric, data_dir) for task in tasks.values()}
    return levels.pop() if len(levels) == 1 else None


def _lines(
    runs: pd.DataFrame, layout: Layout, nothing: float | None, ideal: Mapping[str, list[float]]
) -> dict[str, list[Line]]:
    """Break points along the numbers of devices; other numbers, such as passes, are no strain."""
    valued = with_values(runs, layout.metric, nothing)
    strains = [
        x for x in layout.xs[:MAX_SWEPT] if x.startswith("device.") and axis(x, runs[x].tolist()).ordered
    ]
    return {x: break_lines(valued, layout, x, nothing, ideal) for x in strains}


def _facts(runs: pd.DataFrame, layout: Layout, points: pd.DataFrame) -> dict[str, str]:
    counts = {status: int((runs["status"] == status).sum()) for status in COUNTS}
    seconds = pd.to_numeric(runs.drop_duplicates("identity")["seconds"]).sum()
    dates = sorted(str(one)[:10] for one in runs["finished"].dropna())
    list_of: Callable[[str], str] = lambda key: ", ".join(map(str, dict.fromkeys(runs[key])))  # noqa: E731
    facts: dict[str, Any] = {
        "Task": list_of("task"),
        "Devices": list_of("device"),
        "Rules": list_of("rule"),
        "Swept": "; ".join(label(key) for key in layout.keys if key not in ("device", "rule")) or "nothing",
        "Runs": ", ".join(
            f"{number} {status}" for status, number in counts.items() if number or status != "to do"
        ),
        "Points": f"{len(points)}, {runs_a_point(points)}",
        "Computed": f"{_duration(float(seconds))} of one core's time"
        + (f", {dates[0]}" + (f" to {dates[-1]}" if dates[-1] != dates[0] else "") if dates else ""),
    }
    return facts


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
