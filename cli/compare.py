"""`noisyhw compare`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .sweep import engine_options
from .sweep_progress import SweepProgress


@click.command()
@click.option("--device", required=True, metavar="NAME|FILE", help="Device card.")
@click.option(
    "--task", default="digits", show_default=True, metavar="NAME|FILE", help="Task, or a file of data."
)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="NAME|FILE",
    help="A rule; may be given again.  [default: all granted]",
)
@click.option("--path", "paths", multiple=True, metavar="NAME", help="Update path; may be given again.")
@click.option("--epochs", type=click.IntRange(min=1), help="Of every run.  [default: the task's]")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Measured runs of each rule."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: runs/compare-DEVICE-TASK]")
@engine_options
def compare(
    device: str,
    task: str,
    rules: tuple[str, ...],
    paths: tuple[str, ...],
    epochs: int | None,
    seeds: int,
    out: Path | None,
    workers: int | None,
    engine: str,
    address: str | None,
    data_dir: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Say which rule trains on a device: all that it grants, each tuned by one search, in one table and figure.

    The learning rate of each rule is searched for among the same factors on the task's own, by training samples that
    are held out for it. Runs that are done already are not done again.
    """
    from noisyhw.reporting import report
    from noisyhw.reporting.comparison import save
    from noisyhw.sweeps.compare import compare as run

    with SweepProgress(quiet=quiet or as_json) as watcher:
        found = run(
            device,
            task,
            rules=rules or None,
            paths=paths or ("auto",),
            epochs=epochs,
            seeds=seeds,
            sets=sets,
            out=out,
            workers=workers,
            engine=engine,
            address=address,
            data_dir=data_dir,
            watcher=watcher,
        )
    page = report([found.sweep.path], found.sweep.path / "report", data_dir=data_dir)
    figure = save(found.table, found.metric, found.sweep.path)
    if as_json:
        rows = json.loads(found.table.to_json(orient="records"))
        click.echo(
            json.dumps(
                {
                    "rows": rows,
                    "left_out": dict(found.left_out),
                    "figure": str(figure),
                    "page": str(page.html),
                },
                indent=2,
            )
        )
        return 0
    click.echo(found.told())
    click.echo(f"figure: {figure}")
    click.echo(f"page: {page.html}")
    return 0
