"""`noisyhw reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click


def _split(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


@click.command()
@click.argument("experiment", required=False, metavar="[EXPERIMENT]")
@click.option("--list", "listing", is_flag=True, help="Show all experiments, and what was run of each.")
@click.option("--nets", callback=_split, metavar="A,B", help="These networks only.")
@click.option("--rows", callback=_split, metavar="A,B", help="These rows only, e.g. danp,dnp.")
@click.option(
    "--seeds", type=click.IntRange(min=1), help="The first so many.  [default: as many as the paper]"
)
@click.option("--epochs", type=click.IntRange(min=1), help="Stop there; more can follow.  [default: all]")
@click.option("--variant", help="A reading of what the paper leaves open; see --list.  [default: the first]")
@click.option("--iterations", callback=_split, metavar="1,10", help="figure2, figure8: noise iterations.")
@click.option(
    "--inputs",
    type=click.Choice(["synthetic", "cifar10"]),
    help="figure2, figure8: normal numbers, or CIFAR-10.  [default: as in the paper]",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "tf32"]),
    default="float32",
    show_default=True,
    help="figure2, figure8: of matrix products; tf32 as many graphics processors have it.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the data sets are.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs/reproduce"),
    show_default=True,
    help="Where runs are kept.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reports"),
    show_default=True,
    help="Folder of the page.",
)
@click.option("--page-only", is_flag=True, help="Train nothing; write the page from the runs that are there.")
@click.option("--quiet", is_flag=True, help="Print the page's path only.")
def reproduce(
    experiment: str | None,
    listing: bool,
    nets: tuple[str, ...],
    rows: tuple[str, ...],
    seeds: int | None,
    epochs: int | None,
    variant: str | None,
    iterations: tuple[str, ...],
    inputs: str | None,
    precision: Literal["float32", "tf32"],
    data_dir: Path | None,
    runs: Path,
    out: Path,
    page_only: bool,
    quiet: bool,
) -> None:
    """Repeat an experiment of the paper and write a page that compares both.

    EXPERIMENT is table3, figure5, sarcos, table4, figure2 or figure8. Runs are kept and go on where they
    ended, so a long experiment can be done in several sittings.
    """
    from noisyhw.errors import UsageError
    from noisyhw.reproduce.command import Request, reproduce, tell_all

    from .progress import Progress

    if listing:
        click.echo("\n".join(tell_all(runs)))
        return
    if experiment is None:
        raise UsageError("reproduce: name an experiment, e.g. 'noisyhw reproduce table3'; --list shows all")
    request = Request(
        experiment,
        nets=nets,
        rows=rows,
        seeds=seeds,
        epochs=epochs,
        variant=variant,
        iterations=iterations,
        inputs=inputs,
        precision=precision,
        data_dir=data_dir,
        runs=runs,
        out=out,
        page_only=page_only,
    )
    say = (lambda text: None) if quiet else (lambda text: click.echo(text, err=True))
    click.echo(reproduce(request, say, lambda: Progress(quiet)))
