"""`noisyhw tune`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, cast

import click

from noisyhw.errors import UsageError

from .sweep import engine_options
from .sweep_progress import SweepProgress


@click.command()
@click.argument("experiment", required=False, metavar="[EXPERIMENT]")
@click.option(
    "--task",
    default=None,
    metavar="NAME|FILE",
    help="Task, or its file.  [default: digits, or what EXPERIMENT says]",
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
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="KEY=VALUE,VALUE,...",
    help="Values of any field to try, or KEY.scale=FACTOR,...; repeat for more fields: all combinations are tried, and "
    "judged by training samples held out. Without it the learning rate is doubled.",
)
@click.option(
    "--held-out",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="With --field: share of the training samples that candidates are judged by.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: runs/tune-TASK-DEVICE-RULE]")
@click.option("--trust", is_flag=True, help="Run code in files that EXPERIMENT names.")
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
    fields: tuple[str, ...],
    held_out: float,
    out: Path | None,
    trust: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    data_dir: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Find a learning rate, doubled until learning is unstable; or with --field the best of given values.

    The best rate is the stable one with the lowest final training loss, the best values are those with the best
    accuracy (or loss) on training samples that were held out; test data has no say.
    """
    from noisyhw.foreign import trust_everything
    from noisyhw.sweeps.tune import tune as search
    from noisyhw.sweeps.tune import tune_fields

    if trust:
        trust_everything()
    with SweepProgress(quiet=quiet or as_json, announce=bool(fields)) as watcher:
        options: dict[str, Any] = {
            "task": task,
            "device": device,
            "rule": rule,
            "seeds": seeds,
            "epochs": epochs,
            "sets": sets,
            "out": out,
            "workers": workers,
            "engine": engine,
            "address": address,
            "data_dir": data_dir,
            "watcher": watcher,
        }
        if fields:
            found = tune_fields(experiment, fields=_values(fields), held_out=held_out, **options)
        else:
            tuned = search(experiment, start=start, factor=factor, **options)
    if fields:
        _tell_found(found, as_json)
        return 0 if found.best is not None else 1
    _tell(tuned, as_json)
    return 0 if tuned.best is not None else 1


def _values(fields: tuple[str, ...]) -> dict[str, list[Any]]:
    """Field -> values, as --field says them."""
    from noisyhw.cards.loading import setting

    found: dict[str, list[Any]] = {}
    for text in fields:
        key, equals, values = text.partition("=")
        if not equals or not key or not values:
            raise UsageError(
                f"--field {text}: write it as KEY=VALUE,VALUE,..., e.g. update.learning_rate=0.01,0.03"
            )
        _, node = setting(f"{key}=[{values}]")
        found[key] = cast(list[Any], node.plain())
    return found


def _tell_found(found: Any, as_json: bool) -> None:
    if as_json:
        rows = found.table.astype(object).where(found.table.notna(), None).to_dict("records")
        told = {"best": found.best, "budget": found.budget, "folder": str(found.path), "candidates": rows}
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(found.table.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4g}"))
    click.echo(f"tried: {found.budget}")
    if found.best is None:
        click.echo("no candidate ended well; try other values", err=True)
    else:
        click.echo("best: " + " ".join(f"--set {key}={value}" for key, value in found.best.items()))


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
