"""The page and figure of reports/beyond.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Protocol

from beyond_alignment import HIDDEN, ITERATIONS, STD
from matplotlib.figure import Figure

WORDS = Path(__file__).parent / "beyond_words.md"
OUT = Path(__file__).parent / "beyond-the-paper"
Row = dict[str, Any]


class Measured(Protocol):
    """What the page needs to know of a bench."""

    title: str
    rates: tuple[float, ...]
    passes: int
    variants: Mapping[str, Any]


def write_page(
    benches: Mapping[str, Measured],
    rows: Sequence[Row],
    angles: Mapping[str, list[list[float]]],
    seeds: int,
    made_with: str,
) -> None:
    """Draw what was measured, and write it down."""
    done = {name: chosen(rows, name, bench) for name, bench in benches.items()}
    done = {name: one for name, one in done.items() if one}
    draw(benches, done)
    words = read_words()
    lines = ["# Options beyond the paper, against plain DANP with as many forward passes", ""]
    lines += [f"![final test loss by option]({OUT.name}.png)", "", words["opening"], ""]
    lines += angle_table(angles)
    for name, variants in done.items():
        lines += section(benches[name], variants, words.get(name, ""))
    missing = [bench.title for name, bench in benches.items() if name not in done]
    lines += [
        words["closing"],
        "",
        *(f"Not measured yet: {title}.\n" for title in missing),
        f"Made with {made_with}, by",
        "",
        "```",
    ]
    lines += [f"python reports/beyond.py --data-dir DATA --seeds {seeds}", "```", ""]
    OUT.with_suffix(".md").write_text("\n".join(lines))


def read_words() -> dict[str, str]:
    """The page's paragraphs, by what stands after ``@@``."""
    parts = WORDS.read_text().split("@@ ")[1:]
    return {part.split("\n", 1)[0].strip(): part.split("\n", 1)[1].strip() for part in parts}


def chosen(rows: Sequence[Row], name: str, bench: Measured) -> dict[str, list[Row]]:
    """By variant, the runs at the rate that was chosen."""
    found = {}
    for label in bench.variants:
        own = [row for row in rows if row["bench"] == name and row["label"] == label]
        first = [row for row in own if row["seed"] == 0]
        if len(first) < len(bench.rates):
            continue
        rate = best_rate(rows, name, label)
        found[label] = [row for row in own if row["rate"] == rate]
    return found


def best_rate(rows: Sequence[Row], bench: str, label: str) -> float:
    """The learning rate with the lowest training loss of the first seed's last epoch, of those where none diverged."""
    own = [row for row in rows if (row["bench"], row["label"]) == (bench, label)]
    bad = {row["rate"] for row in own if not math.isfinite(row["train_loss"])}
    first = [row for row in own if row["seed"] == 0 and row["rate"] not in bad]
    return float(min(first, key=lambda row: row["train_loss"])["rate"])


def section(bench: Measured, variants: Mapping[str, list[Row]], note: str) -> list[str]:
    """One bench: its table and what to make of it."""
    classes = any(row["test_accuracy"] is not None for runs in variants.values() for row in runs)
    head = "| | n | learning rate | training loss | test loss | "
    head += ("test accuracy | " if classes else "") + "pulses a cell |"
    lines = [f"## {bench.title}", ""]
    lines += [f"Every sample is shown in {bench.passes} forward passes in all.", ""]
    lines += [head, "|---|" + "---|" * (head.count("|") - 2)]
    for label, runs in variants.items():
        cells = [label, str(len(runs)), f"{runs[0]['rate']:g}"]
        cells += [spread(runs, "train_loss"), spread(runs, "test_loss")]
        cells += [spread(runs, "test_accuracy")] if classes else []
        cells.append(f"{mean(row.get('pulses_per_cell', math.nan) for row in runs):.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    grid = ", ".join(f"{rate:g}" for rate in bench.rates)
    return [*lines, "", f"Learning rates tried: {grid}.", "", note, ""]


def spread(runs: Sequence[Row], key: str) -> str:
    """Mean (low to high)."""
    values = [row[key] for row in runs]
    return f"{mean(values):.4g} ({min(values):.4g} to {max(values):.4g})"


def angle_table(angles: Mapping[str, list[list[float]]]) -> list[str]:
    """Angles by rule and number of iterations."""
    net = "-".join(map(str, (64, *HIDDEN, 10)))
    seeds = len(next(iter(angles.values())))
    lines = [
        f"Angle to BP's update in degrees (digits, {net} with random weights, exact device, 400 samples,"
    ]
    lines += [f"injected std {STD:g}; mean and range of {seeds} seeds):", ""]
    lines += ["| noise iterations | " + " | ".join(map(str, ITERATIONS)) + " |"]
    lines += ["|---|" + "---|" * len(ITERATIONS)]
    for rule, by_seed in angles.items():
        cells = [
            f"{mean(column):.1f} ({min(column):.1f} to {max(column):.1f})"
            for column in zip(*by_seed, strict=True)
        ]
        lines.append(f"| {rule} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def draw(benches: Mapping[str, Measured], done: Mapping[str, Mapping[str, list[Row]]]) -> None:
    """One panel a bench: mean and range of the final test loss of every variant."""
    heights = [len(variants) + 1.5 for variants in done.values()]
    figure = Figure(figsize=(7.2, 0.27 * sum(heights) + 0.6), dpi=150, layout="constrained")
    panels = figure.subplots(len(done), 1, height_ratios=heights, squeeze=False)
    for axes, (name, variants) in zip(panels[:, 0], done.items(), strict=True):
        plain = mean(row["test_loss"] for row in variants["plain danp"])
        axes.axvline(plain, color="0.6", lw=1, ls="--")
        for place, runs in enumerate(variants.values()):
            losses = [row["test_loss"] for row in runs]
            if math.isfinite(max(losses)):
                axes.plot([min(losses), max(losses)], [place, place], color="C0", lw=2)
                axes.plot(mean(losses), place, "o", color="C0", ms=5)
        axes.set_yticks(range(len(variants)), list(variants), fontsize=7)
        axes.invert_yaxis()
        axes.grid(alpha=0.3, axis="x")
        axes.set_title(benches[name].title, fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
    panels[-1, 0].set_xlabel("final test loss: mean and range of the seeds; dashed: plain danp", fontsize=8)
    figure.savefig(OUT.with_suffix(".png"))
    figure.savefig(OUT.with_suffix(".svg"), metadata={"Date": None})
