"""The report's page in a real browser: quiet, alone, sorted and filtered, printed, on a phone, and in the dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browser, find_browser
from report_support import SCALE, Settings, falling, grid, make_sweep

from noisyhw.reporting import report
from noisyhw.sweeps import plan
from noisyhw.sweeps.record import told

PROGRAM = find_browser()
pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here; scripts/browser.sh installs it"),
    pytest.mark.slow,
]


def result(one: Settings) -> float | str:
    return "diverged: a loss is not a number" if one[SCALE] == 8 and one["seed"] == 1 else falling(one)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a sweep with lost runs and names that do not fit a phone, and on a second one."""
    folder = tmp_path_factory.mktemp("report")
    asked = {
        "title": "Noise",
        "command": f"noisyhw sweep {'a-long-name-' * 12}.yaml",
        "card": "title: " + "x" * 300,
    }
    rows = grid(
        devices=["rram", "a-device-with-quite-a-long-name", "pcm"], rules=["np", "anp", "dnp", "danp"]
    )
    first = make_sweep(folder / "first", rows, result, asked=asked)
    passes = [
        {"task": "digits", "device": "rram", "rule": rule, "perturbation.passes": passes, "seed": seed}
        for rule in ("np", "danp")
        for passes in (1, 2, 4)
        for seed in (0, 1)
    ]
    second = make_sweep(folder / "second", passes, lambda one: 0.2 * one["perturbation.passes"])
    return report([first, second], folder / "page").html


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    assert PROGRAM is not None
    with browser(PROGRAM, tmp_path_factory.mktemp("profile")) as found:
        yield found


def test_the_page_loads_without_complaints_and_asks_for_itself_alone(running: Browser, page: Path) -> None:
    running.open(page)
    assert running.evaluate("document.querySelectorAll('figure svg').length") == 7
    assert running.complaints == []
    outside = [url for url in running.requests if not url.startswith("data:")]
    assert outside == [page.resolve().as_uri()]


def column(running: Browser, table: str, number: int) -> list[str]:
    script = f"Array.from(document.querySelector('#{table}').tBodies[0].rows)"
    found: list[str] = running.evaluate(
        f"{script}.filter(r => !r.hidden).map(r => r.cells[{number}].textContent)"
    )
    return found


def click(running: Browser, table: str, number: int) -> Any:
    return running.evaluate(f"document.querySelectorAll('#{table} th button')[{number}].click()")


def test_a_click_sorts_numbers_as_numbers_and_a_second_one_turns_them_round(
    running: Browser, page: Path
) -> None:
    running.open(page)
    table = "points-1-first"
    before = column(running, table, 2)
    assert sorted(set(before), key=float) == ["0", "1", "2", "4", "8"]
    click(running, table, 2)
    assert column(running, table, 2) == sorted(before, key=float)
    click(running, table, 2)
    assert column(running, table, 2) == sorted(before, key=float, reverse=True)
    assert running.evaluate(f"document.querySelectorAll('#{table} th')[2].ariaSort") == "descending"
    click(running, table, 1)
    assert column(running, table, 1) == sorted(column(running, table, 1))
    assert running.evaluate(f"document.querySelectorAll('#{table} [aria-sort]').length") == 1


def test_typing_filters_rows_and_tells_how_many_are_left(running: Browser, page: Path) -> None:
    running.open(page)
    table = "points-1-first"
    total = len(column(running, table, 0))
    tools = f"document.querySelector('#{table}').parentElement.previousElementSibling"
    filled = "box.value = 'PCM danp'; box.dispatchEvent(new Event('input'))"
    running.evaluate(f"(() => {{ const box = {tools}.querySelector('input'); {filled} }})()")
    assert column(running, table, 0) == ["pcm"] * 5
    assert running.evaluate(f"{tools}.textContent") == f"5 of {total} rows"
    running.evaluate(
        f"(() => {{ const box = {tools}.querySelector('input'); {filled.replace('PCM danp', '')} }})()"
    )
    assert len(column(running, table, 0)) == total


def test_without_scripts_all_rows_are_there_and_no_dead_tools(running: Browser, page: Path) -> None:
    running.open(page, scripts=False)
    dom = running.call("DOM.getDocument", depth=-1)
    html = running.call("DOM.getOuterHTML", nodeId=dom["root"]["nodeId"])["outerHTML"]
    assert html.count("<tr>") > 60
    assert "<button" not in html
    assert "<input" not in html


@pytest.mark.parametrize("width", [390, 1000])
def test_no_page_is_wider_than_its_screen(running: Browser, page: Path, width: int) -> None:
    running.open(page, width=width)
    assert running.evaluate("document.documentElement.scrollWidth") <= width
    beyond = (
        "Array.from(document.querySelectorAll('body *')).filter(e => !e.closest('.wide, pre')"
        " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert running.evaluate(beyond) == []


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_page_and_figures_follow_the_colour_scheme(
    running: Browser, page: Path, scheme: str, dark: bool
) -> None:
    running.open(page, scheme=scheme)
    paper = brightness(running.evaluate("getComputedStyle(document.body).backgroundColor"))
    ink = brightness(running.evaluate("getComputedStyle(document.body).color"))
    text = brightness(running.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill"))
    assert (paper < 0.2, ink > 0.8, text > 0.8) == (dark, dark, dark)


def test_lines_stand_out_from_the_page_on_light_and_on_dark(running: Browser, page: Path) -> None:
    for scheme in ("light", "dark"):
        running.open(page, scheme=scheme)
        paper = luminance(running.evaluate("getComputedStyle(document.body).backgroundColor"))
        for number in range(8):
            colour = running.evaluate(
                "(() => { const e = document.body.appendChild(document.createElement('i'));"
                f"e.style.color = 'var(--line{number})'; return getComputedStyle(e).color; }})()"
            )
            low, high = sorted((paper, luminance(colour)))
            assert (high + 0.05) / (low + 0.05) >= 3, (scheme, number, colour)


def channels(colour: str) -> list[float]:
    return [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]


def brightness(colour: str) -> float:
    return sum(channels(colour)) / 3


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels(colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


OVERLAPPING = """
const upright = (svg) => Array.from(svg.querySelectorAll('text')).filter((text) => {
  const turn = text.getCTM();
  return Math.min(Math.abs(turn.a), Math.abs(turn.b)) < 1e-3;
});
Array.from(document.querySelectorAll('figure svg')).flatMap((svg) => {
  const boxes = Array.from(upright(svg), (t) => [t.textContent.trim(), t.getBoundingClientRect()]);
  const found = [];
  boxes.forEach(([a, r], i) => boxes.slice(i + 1).forEach(([b, s]) => {
    const wide = Math.min(r.right, s.right) - Math.max(r.left, s.left);
    const high = Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top);
    if (wide > 1 && high > Math.min(r.height, s.height) * 0.4) found.push(a + ' / ' + b);
  }));
  return found;
})
"""
"""Pairs of texts of one figure that cover each other; of slanted ones the boxes would, so they are left out."""


def test_no_two_texts_of_a_figure_overlap(running: Browser, page: Path) -> None:
    running.open(page)
    assert running.evaluate(OVERLAPPING) == []


@pytest.mark.slow
def test_reports_of_the_shipped_sweeps_have_no_overlapping_texts(running: Browser, tmp_path: Path) -> None:
    folders = []
    for name in ("noise-structure", "drift-age", "stuck-cells", "depth", "adc-bits", "passes"):
        points = plan(name, ["epochs=2"]).points
        told_of = {id(point.settings): told(point.experiment) for point in points}
        rows = [point.settings for point in points]
        made = make_sweep(
            tmp_path / name,
            rows,
            lambda one: 0.3 + 0.1 * one["seed"],
            experiment=lambda one, of=told_of: of[id(one)],
        )
        folders.append(made)
    running.open(report(folders, tmp_path / "page").html)
    assert running.evaluate("document.querySelectorAll('figure svg').length") > 12
    assert running.evaluate(OVERLAPPING) == []
    assert running.complaints == []


def test_the_page_prints(running: Browser, page: Path) -> None:
    running.open(page)
    printed = running.pdf()
    assert printed.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert 3 <= pages <= 16
