"""`noisyhw sweep`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .sweep_progress import SweepProgress, duration

if TYPE_CHECKING:
    from noisyhw.sweeps import Plan
    from noisyhw.sweeps.store import Store

MAX_LISTED = 40


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of where runs are computed."""
    options = (
        click.option(
            "--workers", type=click.IntRange(min=1), help="Runs at once.  [default: one for each core]"
        ),
        click.option(
            "--engine",
            default="processes",
            show_default=True,
            metavar="NAME",
            help="processes, serial or ray; results do not depend on it.",
        ),
        click.option("--address", help="Address of a Ray cluster (--engine ray).", metavar="HOST:PORT"),
        click.option("--data-dir", type=click.Path(path_type=Path), help="Where the data sets are."),
        click.option(
            "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change any field of all runs."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
        click.option("--quiet", is_flag=True, help="Print the result only."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("card")
@click.option("--out", type=click.Path(path_type=Path), help="Sweep folder.  [default: runs/sweep-CARD]")
@click.option("--dry-run", is_flag=True, help="List the runs, their number and how long they will take.")
@click.option("--all", "list_all", is_flag=True, help="With --dry-run: list every run, not the first 40.")
@click.option("--retry-failed", is_flag=True, help="Compute again what has failed.")
@click.option("--fresh", is_flag=True, help="Forget what the folder holds of these runs; compute them anew.")
@click.option("--trust", is_flag=True, help="Run code in files that the card names.")
@engine_options
def sweep(
    card: str,
    out: Path | None,
    dry_run: bool,
    list_all: bool,
    retry_failed: bool,
    fresh: bool,
    trust: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    data_dir: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Do many runs: noise, devices, rules, seeds or any field, as a sweep card says.

    CARD is a YAML file, or the name of a shipped one. Runs that are done already are not done again.
    """
    from noisyhw.foreign import trust_everything
    from noisyhw.sweeps import plan
    from noisyhw.sweeps import sweep as run_sweep
    from noisyhw.sweeps.driver import default_folder

    if trust:
        trust_everything()
    where = None if data_dir is None else data_dir.resolve()
    if dry_run:
        planned = plan(card, sets, where)
        folder = out or default_folder(planned.name)
        _list(planned, folder, workers, where, as_json=as_json, list_all=list_all, fresh=fresh)
        return 0
    with SweepProgress(quiet=quiet or as_json) as watcher:
        result = run_sweep(
            card,
            out=out,
            sets=sets,
            workers=workers,
            engine=engine,
            address=address,
            data_dir=data_dir,
            retry_failed=retry_failed,
            fresh=fresh,
            watcher=watcher,
        )
    if as_json:
        click.echo(json.dumps({"sweep": str(result.path)} | watcher.counts(), indent=2))
    else:
        click.echo(watcher.summary())
        click.echo(f"results: {result.path / 'results.csv'}")
    return 1 if watcher.counts()["failed"] else 0


def _list(
    planned: Plan,
    folder: Path,
    workers: int | None,
    data_dir: Path | None,
    *,
    as_json: bool,
    list_all: bool,
    fresh: bool,
) -> None:
    from noisyhw.sweeps.engines import cores
    from noisyhw.sweeps.estimate import estimate

    store = _opened(folder, fresh)
    search = planned.search
    planned = planned if fresh else _planned(planned, folder)
    left = len(planned.runs.keys() - store.records.keys())
    guess = estimate(planned.runs, store.records, workers or cores(), data_dir, planned.keep)
    budget = (
        None
        if search is None
        else _budget(search.plan, _opened(folder / search.plan.name, fresh), workers, data_dir)
    )
    if as_json:
        told = {
            "search": budget,
            "runs": _rows(planned, store),
            "points": len(planned.points),
            "number": len(planned.runs),
            "left": left,
            "seconds": guess.seconds,
            "basis": guess.basis,
        }
        click.echo(json.dumps(told, indent=2))
        return
    _print_rows(_rows(planned, store), list_all)
    if budget is not None:
        click.echo(
            f"a search comes first: {budget['number']} runs, {budget['left']} left"
            + (
                f", about {duration(budget['seconds'])}; what it chooses is not known yet"
                if budget["left"]
                else ""
            )
        )
    same = len(planned.points) - len(planned.runs)
    click.echo(
        f"{len(planned.points)} runs"
        + (f" ({same} of them the same as others)" if same else "")
        + f", {left} left"
    )
    if left:
        click.echo(
            f"about {duration(guess.seconds)} with {workers or cores()} workers, {guess.run_seconds:.2g} s a run "
            f"({guess.basis})"
        )


def _opened(folder: Path, fresh: bool = False) -> Store:
    """A sweep's store; nothing is made where there is none, and nothing read where all is computed anew."""
    from noisyhw.sweeps.store import Store

    store = Store(folder.expanduser())
    return Store.open(folder) if store.exists and not fresh else store


def _planned(planned: Plan, folder: Path) -> Plan:
    """The plan with what its search has chosen, where that is finished."""
    search = planned.search
    if search is None:
        return planned
    records = _opened(folder / search.plan.name).records
    known = search.plan.runs.keys() <= records.keys()
    return replace(planned, points=search.chosen(records)) if known else planned


def _budget(planned: Plan, store: Store, workers: int | None, data_dir: Path | None) -> dict[str, Any]:
    """How many runs a search has, how many are left, and about how long these take."""
    from noisyhw.sweeps.engines import cores
    from noisyhw.sweeps.estimate import estimate

    left = len(planned.runs.keys() - store.records.keys())
    guess = estimate(planned.runs, store.records, workers or cores(), data_dir, planned.keep)
    return {"number": len(planned.runs), "left": left, "seconds": guess.seconds}


def _rows(planned: Plan, store: Store) -> list[dict[str, object]]:
    rows = []
    for point in planned.points:
        record = store.records.get(point.identity)
        status = "to do" if record is None else record.status
        rows.append({**point.settings, "status": status, "identity": point.identity[:8]})
    return rows


def _print_rows(rows: list[dict[str, object]], list_all: bool) -> None:
    listed = rows if list_all else rows[:MAX_LISTED]
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([_cell(row.get(name)) for name in names] for row in listed)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(names))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if len(rows) > len(listed):
        click.echo(f"... and {len(rows) - len(listed)} more (--all lists them)")


def _cell(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
