"""`noisyhw tune`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from .sweep import engine_options
from .sweep_progress import SweepProgress


@click.command()
@click.argument("experiment", required=False, metavar="[EXPERIMENT]")
@click.option(
    "--task", default=None, metavar="NAME", help="Task.  [default: digits, or what EXPERIMENT says]"
)
@click.option(
    "--device",
    default=None,
    metavar="NAME|FILE",
    help="Device card.  [default: rram, or what EXPERIMENT says]",
)
@click.option(
    "--rule", default=None, metavar="NAME", help="Learning rule.  [default: danp, or what EXPERIMENT says]"
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs a run.  [default: the task's]")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs a learning rate."
)
@click.option("--start", type=float, default=1e-7, show_default=True, help="The first learning rate.")
@click.option(
    "--factor",
    type=float,
    default=2.0,
    show_default=True,
    help="Unstable: final training loss this many times the lowest so far, or divergence.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: runs/tune-TASK-DEVICE-RULE]")
@engine_options
def tune(
    experiment: str | None,
    task: str | None,
    device: str | None,
    rule: str | None,
    epochs: int | None,
    seeds: int,
    start: float,
    factor: float,
    out: Path | None,
    workers: int | None,
    engine: str,
    address: str | None,
    data_dir: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Find a learning rate: doubled until learning is unstable.

    The best is the stable one with the lowest final training loss; test data has no say.
    """
    from noisyhw.sweeps.tune import tune as search

    with SweepProgress(quiet=quiet or as_json, announce=False) as watcher:
        tuned = search(
            experiment,
            task=task,
            device=device,
            rule=rule,
            start=start,
            factor=factor,
            seeds=seeds,
            epochs=epochs,
            sets=sets,
            out=out,
            workers=workers,
            engine=engine,
            address=address,
            data_dir=data_dir,
            watcher=watcher,
        )
    _tell(tuned, as_json)
    return 0 if tuned.best is not None else 1


def _tell(tuned: Any, as_json: bool) -> None:
    rows = [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in tuned.table.to_dict("records")
    ]
    if as_json:
        told = {"best": tuned.best, "criterion": tuned.criterion, "folder": str(tuned.path), "rates": rows}
        click.echo(json.dumps(told, indent=2))
        return
    click.echo("learning rate  final training loss")
    for row in rows:
        loss = "" if row["train_loss"] is None else f"{row['train_loss']:.5g}"
        click.echo(f"{row['learning_rate']:<13.4g}  {loss:<19}  {row['reason'] or ''}".rstrip())
    click.echo(tuned.criterion)
    if tuned.best is None:
        click.echo("the first learning rate is unstable; choose a smaller --start", err=True)
    else:
        end = "" if not rows[-1]["stable"] else " (no unstable one was found)"
        click.echo(f"best: {tuned.best:.4g}{end}")
