"""`noisyhw train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .progress import Progress


@click.command()
@click.argument("experiment", required=False, metavar="[EXPERIMENT]")
@click.option(
    "--device",
    help="Shipped device card, or a card file.  [default: rram, or what EXPERIMENT says]",
    metavar="NAME|FILE",
)
@click.option(
    "--rule",
    help="Learning rule, see 'noisyhw rules'; or a class in a file, ./my_rule.py:MyRule.  [default: danp, or what "
    "EXPERIMENT says]",
    metavar="NAME|FILE",
)
@click.option(
    "--task",
    metavar="NAME|FILE",
    help="Task, see 'noisyhw tasks'; a file of data, ./data.npz or ./table.csv; or a class in a file, "
    "./my_task.py:MyTask.  [default: digits, or what EXPERIMENT says]",
)
@click.option(
    "--network",
    metavar="FILE",
    help="A torch.nn.Module: a class in a file, ./my_net.py:MyNet.  [default: the task's, or what EXPERIMENT says]",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Passes through the training set.  [default: the task's]"
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all that is drawn.  [default: 0]")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: a new one under runs/]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the data set is.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change any field, e.g. update.path=adam."
)
@click.option(
    "--resume", "resumed", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run folder."
)
@click.option("--fresh", is_flag=True, help="Start again where the folder holds a run already.")
@click.option("--trust", is_flag=True, help="Run code in files that a card or run names.")
@click.option(
    "--accelerator",
    type=click.Choice(("cpu", "cuda", "auto")),
    default="cpu",
    show_default=True,
    help="Where to compute; auto: on a CUDA device if there is one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="Print the result only.")
def train(
    experiment: str | None,
    device: str | None,
    rule: str | None,
    task: str | None,
    network: str | None,
    epochs: int | None,
    seed: int | None,
    out: Path | None,
    data_dir: Path | None,
    sets: tuple[str, ...],
    resumed: Path | None,
    fresh: bool,
    trust: bool,
    accelerator: str,
    as_json: bool,
    quiet: bool,
) -> int:
    """Train a network on a device.

    EXPERIMENT is an experiment card: a YAML file, or the name of a shipped one.
    """
    from noisyhw.errors import UsageError
    from noisyhw.training.run import Run, resume
    from noisyhw.training.run import train as run_training

    watcher = Progress(quiet=quiet or as_json)
    with watcher:
        if resumed is not None:
            if any((experiment, device, rule, task, network, epochs, seed is not None, out, sets, fresh)):
                raise UsageError(
                    "--resume: a run goes on as it was started; give only --data-dir and --trust with it"
                )
            run: Run = resume(resumed, data_dir, watcher, trust=trust)
        else:
            run = run_training(
                experiment,
                device=device,
                rule=rule,
                task=task,
                network=network,
                epochs=epochs,
                seed=seed,
                sets=sets,
                out=out,
                data_dir=data_dir,
                fresh=fresh,
                trust=trust,
                accelerator=accelerator,
                watcher=watcher,
            )
    if as_json:
        click.echo(json.dumps(summary(run), indent=2))
    else:
        _tell(run, watcher.worked)
    return 1 if run.status == "diverged" else 0


def summary(run: Any) -> dict[str, Any]:
    """The run's standing and its last row, as plain values."""
    metrics = run.metrics
    last = {} if metrics.empty else metrics.to_dict("records")[-1]
    return {"run": str(run.path), "status": run.status, "reason": run.reason, "identity": run.identity} | last


def _tell(run: Any, worked: bool) -> None:
    last = summary(run)
    if run.status == "diverged":
        click.echo(f"diverged: {run.reason}", err=True)
    elif not worked:
        click.echo("This run is done already (--fresh starts it again).")
    if last.get("test_accuracy") is not None:
        click.echo(
            f"test accuracy {last['test_accuracy']:.4f}, test loss {last['test_loss']:.4g} after epoch {last['epoch']}"
        )
    elif "test_loss" in last:
        click.echo(f"test loss {last['test_loss']:.4g} after epoch {last['epoch']}")
    click.echo(f"run folder: {run.path}")
