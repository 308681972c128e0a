"""`noisyhw devices` new, plot, fit, compare: a device of one's own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from noisyhw.characterize import Fitted

MODELS = ("soft_bounds", "linear_step", "constant_step", "read_noise", "telegraph")


@click.command()
@click.argument("name")
@click.option(
    "--from",
    "base",
    default="rram",
    show_default=True,
    metavar="NAME|FILE",
    help="Card to start from; see 'noisyhw devices list'.",
)
@click.option("--out", type=click.Path(path_type=Path), help="File to write.  [default: NAME.yaml]")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def new(name: str, base: str, out: Path | None, force: bool) -> None:
    """Write a card of your own, with every field explained.

    It says the same as the card that it starts from, until you change it.
    """
    from noisyhw.cards import load_device
    from noisyhw.characterize import card_template
    from noisyhw.training.files import write_text

    _check_name(name)
    path = out or Path(f"{name}.yaml")
    card = load_device(base)
    _check_free(path, force)
    write_text(path, card_template(name, _seen_from(path, base), card))
    click.echo(f"{path}: a card like {card.name}; check it with: noisyhw devices check {path}")


def _check_name(name: str) -> None:
    from noisyhw.errors import UsageError

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+_-]*", name):
        raise UsageError(
            f"NAME: must be letters, digits, and . + - _ (its file is set by --out), got {name!r}"
        )


def _check_free(path: Path, force: bool) -> None:
    from noisyhw.errors import UsageError

    if path.exists() and not force:
        raise UsageError(f"{path}: is there already; --force writes over it, --out writes elsewhere")


def _seen_from(path: Path, base: str) -> str:
    """A base card's path as the new card must write it; a name stays."""
    if Path(base).name == base and not base.endswith((".yaml", ".yml")):
        return base
    found = os.path.relpath(base, path.parent)
    return found if found.endswith((".yaml", ".yml")) or os.sep in found else os.path.join(os.curdir, found)


@click.command()
@click.argument("device", metavar="NAME|FILE")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the figures.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all that is simulated."
)
def plot(device: str, out: Path, seed: int) -> None:
    """Draw a device's read noise, writing, converters and spread, as PNG and SVG."""
    from noisyhw.cards import load_device
    from noisyhw.characterize.figures import plot_device

    files, left_out = plot_device(load_device(device), out, seed)
    for line in [*left_out, *map(str, files)]:
        click.echo(line)


@click.command()
@click.argument("measured", type=click.Path(path_type=Path), metavar="MEASURED.csv")
@click.option("--model", required=True, type=click.Choice(MODELS), help="What is fitted.")
@click.option("--out", type=click.Path(path_type=Path), help="Card to write.")
@click.option(
    "--plot",
    "picture",
    type=click.Path(path_type=Path),
    help="Figure to write (.png or .svg): data, model, residuals.",
)
@click.option(
    "--g-min-us", type=float, help="Conductance of weight -1, in uS.  [default: the file's smallest]"
)
@click.option("--g-max-us", type=float, help="Conductance of weight 1, in uS.  [default: the file's largest]")
@click.option("--expected", type=float, help="Noise-free read-out; with it an offset is fitted to reads.")
@click.option(
    "--cycle-noise",
    type=click.Choice(["auto", "scales", "constant"]),
    default="auto",
    show_default=True,
    help="Share of the present step (scales), or of that at weight 0 (constant).",
)
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def fit(
    measured: Path,
    model: str,
    out: Path | None,
    picture: Path | None,
    g_min_us: float | None,
    g_max_us: float | None,
    expected: float | None,
    cycle_noise: Literal["auto", "scales", "constant"],
    force: bool,
    as_json: bool,
) -> None:
    """Fit a card's parameters to measurements.

    Pulse responses have the columns pulse, direction (1 or -1) and conductance_us or weight; reads have read and value.
    A column device tells several devices apart. See docs/your-device.md.
    """
    from noisyhw.characterize import fit as run_fit
    from noisyhw.characterize.fit_figure import draw_fit

    for path in (out, picture):
        if path is not None:
            _check_free(path, force)
    _check_picture(picture)
    fitted = run_fit(
        measured, model, g_min_us=g_min_us, g_max_us=g_max_us, expected=expected, cycle_noise=cycle_noise
    )
    if out is not None:
        _write_card(fitted, out)
    if picture is not None:
        draw_fit(fitted, picture)
    _tell_fit(fitted, [path for path in (out, picture) if path is not None], as_json)


def _check_picture(picture: Path | None) -> None:
    from noisyhw.errors import UsageError

    if picture is not None and picture.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--plot {picture}: must end in .png or .svg")


def _write_card(fitted: Fitted, out: Path) -> None:
    from noisyhw.characterize.fitted_card import fitted_card
    from noisyhw.training.files import write_text

    name = re.sub(r"[^A-Za-z0-9.+_-]", "-", out.stem).lstrip(".+_-") or "fitted"
    write_text(out, fitted_card(fitted, name))


def _tell_fit(fitted: Fitted, files: list[Path], as_json: bool) -> None:
    from noisyhw.characterize.fitted_card import table

    rows = table(fitted)
    if as_json:
        told = {
            "model": fitted.model,
            "file": fitted.file,
            "rows": fitted.rows,
            "devices": list(fitted.devices),
        }
        content = {**told, "estimates": rows, "notes": list(fitted.notes), "written": list(map(str, files))}
        click.echo(json.dumps(content, indent=2))
        return
    count = len(fitted.devices)
    click.echo(f"{fitted.model}, {fitted.rows} rows of {count} device{'s' * (count > 1)}; 95 % intervals")
    for row in rows:
        click.echo(f"{row['parameter']:36} {row['value']:<12.5g} {row['low']:.5g} to {row['high']:.5g}")
    for line in [*(f"note: {note}" for note in fitted.notes), *(f"written: {file}" for file in files)]:
        click.echo(line)


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(first: str, second: str, as_json: bool) -> None:
    """Compare two devices (names or card files): fields that differ, and figures of merit."""
    from noisyhw.cards import load_device
    from noisyhw.characterize import compare as run_compare

    cards = [load_device(name) for name in (first, second)]
    found = run_compare(*cards)
    if as_json:
        click.echo(json.dumps({"devices": [card.name for card in cards], **found}, indent=2))
        return
    rows = [("", *(card.name for card in cards))]
    rows += [(key, *map(_shown, values)) for key, values in found["fields"].items()] or [
        ("no field differs", "", "")
    ]
    rows += [("", "", ""), *((key, *map(_shown, values)) for key, values in found["merit"].items())]
    widths = [max(len(row[place]) for row in rows) for place in (0, 1)]
    for key, one, other in rows:
        click.echo(f"{key:{widths[0]}}  {one:{widths[1]}}  {other}".rstrip())


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
