"""Writing a report: one self-contained HTML page, the same as Markdown with figures, and the tables as CSV."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..errors import RunError
from ..sweeps.store import MARK
from ..training.files import write_atomically, write_text
from ..version import __version__
from .panel import Picture
from .source import read_sources
from .study import Study, studies
from .style import DARK, FAINT, INK, LIGHT, inlined, styled, svg_text

HTML, MARKDOWN = "index.html", "report.md"
FIGURES = "figures"


@dataclass(frozen=True)
class Report:
    """A report's files."""

    html: Path
    markdown: Path
    figures: tuple[Path, ...]


def report(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    title: str = "",
    data_dir: str | Path | None = None,
) -> Report:
    """Write a report on sweeps and runs.

    Args:
        folders: of sweeps and of runs.
        out: the report's own folder; it is made if need be, and files of an earlier report are replaced.
        title: of the page; empty: the sweep's.
        data_dir: where data is looked for; only the break points of a regression need it.

    Raises:
        RunError: a folder is neither a sweep nor a run, nothing is finished yet, or out cannot be written.
    """
    if not folders:
        raise RunError("report: give the folder of a sweep or of a run, such as runs/sweep-noise-level")
    sources = read_sources(folders)
    if not any((source.table["status"] != "to do").any() for source in sources):
        again = next((one for source in sources for one in source.commands), "noisyhw sweep CARD")
        raise RunError(f"{folders[0]}: no run is finished yet; compute some first: {again}")
    target = _folder(Path(out).expanduser())
    found = studies(sources, None if data_dir is None else Path(data_dir))
    command = shlex.join(["noisyhw", "report", *(Path(one).name for one in folders), "--out", target.name])
    facts = {
        "title": title or (found[0].title if len(found) == 1 else f"{len(found)} studies"),
        "studies": found,
        "command": command,
        "version": __version__,
    }
    files = tuple(file for study in found for one in study.pictures for file in _save(one, target / FIGURES))
    _write_tables(found, target)
    write_text(target / HTML, _html(found, facts))
    write_text(target / MARKDOWN, _environment(False).get_template("page.md").render(facts))
    return Report(target / HTML, target / MARKDOWN, files)


def _folder(path: Path) -> Path:
    for mark in (MARK, "run.json"):
        if (path / mark).is_file():
            raise RunError(f"{path}: holds runs; choose another --out for the report")
    try:
        (path / FIGURES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be made ({error.strerror}); choose another --out") from None
    return path


def _html(found: Sequence[Study], facts: Mapping[str, Any]) -> str:
    drawn = {
        one.name: Markup(inlined(svg_text(one.figure), f"f{study}-{number}", f"{one.title}. {one.caption}"))
        for study, of in enumerate(found)
        for number, one in enumerate(of.pictures)
    }
    schemes = {
        name: {"ink": ink, "faint": faint} | {f"line{index}": colour for index, colour in enumerate(colours)}
        for name, colours, ink, faint in (("light", LIGHT, INK, FAINT), ("dark", DARK, "#e4e6ea", "#7d838c"))
    }
    return _environment(True).get_template("page.html").render(facts, drawn=drawn, schemes=schemes)


def _environment(escape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("noisyhw.reporting"),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown_text
    environment.filters["fenced"] = fenced
    return environment


def markdown_text(text: object) -> str:
    """Return text that Markdown shows as it is, in a paragraph or in a table's cell."""
    said = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]|#" else letter for letter in said)


def fenced(text: str) -> str:
    """Return a code block, whatever the text holds."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text.rstrip()}\n{fence}"


@styled
def _save(picture: Picture, folder: Path) -> list[Path]:
    files = [folder / f"{picture.name}.{kind}" for kind in ("svg", "png")]
    picture.figure.patch.set(alpha=1, facecolor="white")
    write_text(files[0], svg_text(picture.figure))
    write_atomically(files[1], lambda file: picture.figure.savefig(file, format="png"))
    picture.figure.patch.set_alpha(0)  # on the page it has the page's colour
    return files


def _write_tables(found: Sequence[Study], target: Path) -> None:
    for name in ("points", "runs"):
        for study in found:
            table = study.table if name == "points" else study.runs
            file = target / (f"{name}.csv" if len(found) == 1 else f"{study.name}-{name}.csv")
            write_text(file, table.to_csv(index=False))
