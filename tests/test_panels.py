"""Panels from outside the package, on a report's page and among a device's figures: one new file, no edit elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report_support import grid, make_sweep
from support import make_card

from noisyhw import characterize
from noisyhw.characterize.figures import plot_device
from noisyhw.registry import Registry
from noisyhw.reporting import PANELS, Findings, Panel, Picture, report

SEEDS = """
from noisyhw.reporting import Panel, Picture
from noisyhw.reporting.canvas import panels

class Seeds(Panel):
    name, title = "seeds", "Runs by seed"

    def applies(self, found):
        return found.runs["seed"].nunique() > 1

    def draw(self, found):
        figure, [place] = panels(1)
        place.plot(found.runs["seed"], found.runs["test_accuracy"], "o")
        yield Picture("by seed", f"{found.metric} by seed", f"All of them; {found.n}.", figure)

class Fails(Seeds):
    name = "fails"

    def draw(self, found):
        yield from super().draw(found)
        raise KeyError("no such column")

class NoFigure(Seeds):
    name = "no-figure"

    def draw(self, found):
        yield Picture("nothing", "nothing", "nothing", None)

class SameName(Seeds):
    name = "same-name"

    def draw(self, found):
        for picture in super().draw(found):
            yield Picture("map-1", picture.title, picture.caption, picture.figure)

class Second(Seeds):
    name = "swept"

class Half(Panel):
    name, title = "half", "draws nothing"
    applies = None

def function(found):
    return []

from noisyhw import characterize

def _prepare(card, seed):
    return lambda axes: axes.plot([0, 1], [seed, card.weights.max or 0.0])

def _broken(card, seed):
    return lambda axes: axes.plot([0, 1], [0])

cells = characterize.Panel("my-cells", "Cells of my own", _prepare)
broken = characterize.Panel("my-broken", "Cells of my own", _broken)
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Make a module `odd_panels` importable, with the entry points given as group -> lines; asked when it is made."""
    before: list[tuple[Registry[Any], dict[str, Any]]] = [
        (one, dict(one)) for one in (PANELS, characterize.PANELS)
    ]
    site = tmp_path / "site"
    info = site / "odd_panels-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "odd_panels.py").write_text(SEEDS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-panels\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))

    def make(**groups: str) -> None:
        parts = [f"[noisyhw.{group}]\none = odd_panels:{value}" for group, value in groups.items()]
        (info / "entry_points.txt").write_text("\n".join(parts) + "\n")
        for registry, _ in before:
            registry.ask_plugins()

    yield make
    for registry, held in before:
        registry.clear()
        registry.update(held)
    sys.modules.pop("odd_panels", None)


@pytest.fixture(scope="module")
def sweep_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = grid(devices=["rram"], rules=["np", "danp"])
    return make_sweep(tmp_path_factory.mktemp("sweep") / "s", rows, lambda one: 0.5 + 0.1 * one["seed"])


SHIPPED_PICTURES = ["1-s-robustness-1", "1-s-map-1", "1-s-curves"]


def drawn(sweep_folder: Path, out: Path) -> list[str]:
    return [file.stem for file in report([sweep_folder], out).figures if file.suffix == ".svg"]


def test_the_shipped_panels_come_in_their_order(sweep_folder: Path, tmp_path: Path) -> None:
    assert list(PANELS) == ["swept", "cost", "sampled", "curves"]
    assert drawn(sweep_folder, tmp_path / "page") == SHIPPED_PICTURES


def test_a_panel_of_another_package_is_on_the_page(
    lab: Callable[..., None], sweep_folder: Path, tmp_path: Path
) -> None:
    lab(panels="Seeds")
    made = report([sweep_folder], tmp_path / "page")
    assert [file.stem for file in made.figures[::2]] == [*SHIPPED_PICTURES, "1-s-by-seed"]
    page = made.html.read_text(encoding="utf-8")
    assert '<figure id="1-s-by-seed">' in page
    assert "<h3>test accuracy by seed</h3>" in page
    assert "All of them; n = 3 runs a point." in page
    assert "![test accuracy by seed](figures/1-s-by-seed.png)" in made.markdown.read_text(encoding="utf-8")
    assert (tmp_path / "page" / "figures" / "1-s-by-seed.png").stat().st_size > 1000


def test_a_panel_that_is_added_by_a_call_is_on_the_page_and_heeds_what_it_applies_to(
    lab: Callable[..., None], sweep_folder: Path, tmp_path: Path
) -> None:
    class Count(Panel):
        name, title = "count", "Number of runs"

        def applies(self, found: Findings) -> bool:
            return len(found.runs) < 5

        def draw(self, found: Findings) -> Iterator[Picture]:
            from matplotlib.figure import Figure

            yield Picture("count", "Runs", f"{len(found.runs)} of them.", Figure())

    PANELS.add(Count())
    assert drawn(sweep_folder, tmp_path / "many") == SHIPPED_PICTURES
    few = make_sweep(tmp_path / "s", grid(devices=["rram"], rules=["np"])[:3], lambda one: 0.5)
    assert "1-s-count" in drawn(few, tmp_path / "few")
    with pytest.raises(ValueError, match="panel 'count' is there already"):
        PANELS.add(Count())


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("Fails", "noisyhw: panel 'fails' is left out: KeyError: 'no such column'"),
        ("NoFigure", "noisyhw: panel 'no-figure' is left out: AttributeError: "),
        ("SameName", "noisyhw: panel 'same-name': picture 'map-1' is there already"),
        ("Second", "noisyhw.panels = odd_panels:Second): panel 'swept' is there already"),
        ("Half", "noisyhw.panels = odd_panels:Half): TypeError: "),
        ("function", "is neither a noisyhw.reporting.Panel nor a subclass of it"),
        ("nowhere", "noisyhw.panels = odd_panels:nowhere): AttributeError: "),
    ],
)
def test_a_panel_that_cannot_be_drawn_is_told_in_one_line_and_the_page_is_as_without_it(
    lab: Callable[..., None],
    sweep_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    value: str,
    told: str,
) -> None:
    with caplog.at_level(logging.WARNING, "noisyhw"):
        lab(panels=value)
        assert drawn(sweep_folder, tmp_path / "page") == SHIPPED_PICTURES
    [message] = caplog.messages
    assert told in message
    assert len(message.splitlines()) == 1


def test_a_device_panel_of_another_package_is_drawn(lab: Callable[..., None], tmp_path: Path) -> None:
    lab(device_panels="cells")
    files, _ = plot_device(make_card(), tmp_path)
    assert [file.name for file in files if file.suffix == ".svg"][-1] == "my-cells.svg"
    assert "Cells of my own" in (tmp_path / "device.svg").read_text(encoding="utf-8")


def test_a_device_panel_that_fails_is_left_out_with_its_reason(
    lab: Callable[..., None], tmp_path: Path
) -> None:
    lab(device_panels="broken")
    files, left_out = plot_device(make_card(), tmp_path)
    assert not [file for file in files if "broken" in file.name]
    [line] = [line for line in left_out if line.startswith("my-broken")]
    assert line.startswith("my-broken: left out, it fails with ValueError: ")
    assert len(line.splitlines()) == 1


def test_the_device_panels_come_in_their_order() -> None:
    assert list(characterize.PANELS) == [
        "read-noise",
        "noise-spectrum",
        "pulse-response",
        "converters",
        "bounds",
        "steps",
        "ageing",
        "ir-drop",
    ]
