"""`noisyhw report`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where the page goes.  [default: runs/report-FOLDER]"
)
@click.option("--title", default="", help="Of the page.  [default: the sweep's]")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Where the data sets are (for the break points of regressions).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the files as JSON.")
def report(
    folders: tuple[Path, ...], out: Path | None, title: str, data_dir: Path | None, as_json: bool
) -> None:
    """Make a page of sweeps and runs: figures, break points, tables, and how they were made.

    One HTML file that needs nothing else, the same as Markdown with PNG and SVG figures, and the tables as CSV.
    """
    from noisyhw.reporting import report as write

    name = folders[0].resolve().name.removeprefix("sweep-")
    made = write(folders, out or Path("runs") / f"report-{name}", title=title, data_dir=data_dir)
    if as_json:
        files = {
            "html": str(made.html),
            "markdown": str(made.markdown),
            "figures": [str(one) for one in made.figures],
        }
        click.echo(json.dumps(files, indent=2))
        return
    click.echo(f"page: {made.html}")
    click.echo(f"Markdown: {made.markdown}, with {len(made.figures)} figures beside it")
