"""What rules make of two passes of a batch on CIFAR-10: white noise with exact writes, and the RRAM card by two paths.

    python reports/feedback.py --data-dir DATA [--workers 2]

The runs are the shipped sweeps feedback-cifar10 and feedback-cifar10-white, under runs/sweeps/; finished ones are not
repeated. Writes reports/feedback-cifar10.md, with a figure as PNG and SVG and the curves as CSV.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import noisyhw
from noisyhw.characterize.figures import save_figure
from noisyhw.reporting.canvas import common_labels, entry, legend, look, panels
from noisyhw.reporting.style import FAINT, styled

HERE = Path(__file__).parent
SWEEPS = ("feedback-cifar10-white", "feedback-cifar10")
RULES = ("dbp (oracle=True)", "dmirror", "dalf", "danp")
PANELS = {
    "exact": "exact writes, white read noise 0.06",
    "mixed_precision": "RRAM, gradients summed in digital",
    "on_tile": "RRAM, by pulses alone",
}
PAPER_BP = 0.515
"""Source: Dalm, van Gerven & Ahmad, arXiv 2310.00965, Table 3: BP, three hidden layers, clean device, 50 epochs."""

INTRO = """# What rules make of two passes: CIFAR-10, three hidden layers of 1024, ten epochs

`python reports/feedback.py --data-dir DATA`. One seed, noise on in training and in the test. All rules but dbp see the
same: two noisy passes of each batch. danp knows activities and losses. dalf and dmirror also know the derivative of the
loss at the outputs and the slopes of the activations; dalf keeps ten digital numbers a unit, dmirror one for each
weight behind the first layer. dbp asks a noise-free twin for the gradient. Inputs are decorrelated (a tenth of each
batch); learning rates were searched for by one budget of one epoch for each rule and way of writing, on held-out
training images.

![Test accuracy by epoch](feedback-cifar10.png)

"""


def main() -> None:
    """Train what is missing and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs/sweeps"))
    asked = parser.parse_args()
    done = [
        noisyhw.sweep(name, out=asked.runs / name, workers=asked.workers, data_dir=asked.data_dir)
        for name in SWEEPS
    ]
    curves = pd.concat([_kept(one.curves) for one in done], ignore_index=True)
    table = pd.concat([_kept(one.table) for one in done], ignore_index=True)
    curves.to_csv(HERE / "feedback-cifar10.csv", index=False)
    figure = drawn(curves)
    for kind in (".png", ".svg"):
        save_figure(figure, HERE / f"feedback-cifar10{kind}")
    (HERE / "feedback-cifar10.md").write_text(page(table), encoding="utf-8")


def _kept(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that the page needs; the white sweep has one path, of exact writes."""
    path = rows.get("update.path", "exact")
    columns = ["rule", "path", "seed", "epoch", "train_accuracy", "test_accuracy", "pulses_per_weight"]
    tuned = [name for name in ("tuned.update.learning_rate", "tuned.note", "status") if name in rows]
    return rows.assign(path=path)[[*columns, *tuned]]


@styled
def drawn(curves: pd.DataFrame) -> Figure:
    """Draw test accuracy by epoch, a panel for each way of writing."""
    figure, places = panels(3)
    for place, (path, title) in zip(places, PANELS.items(), strict=True):
        for index, rule in enumerate(RULES):
            own = curves[(curves["path"] == path) & (curves["rule"] == rule)]
            place.plot(own["epoch"], own["test_accuracy"], **look(index) | {"markersize": 3})
        place.axhline(0.1, color=FAINT, lw=1, ls=":")
        place.axhline(PAPER_BP, color=FAINT, lw=1, ls="--")
        place.set_title(title)
        place.grid(axis="y")
        place.set_ylim(0, 0.6)
    names = [rule.replace(" (oracle=True)", ": the true gradient") for rule in RULES]
    handles = [entry(name, **look(index)) for index, name in enumerate(names)]
    lines = [
        entry("the paper's BP, clean, 50 epochs", color=FAINT, ls="--"),
        entry("chance", color=FAINT, ls=":"),
    ]
    legend(figure, [*handles, *lines])
    common_labels(figure, "epoch", "test accuracy (noise on)")
    return figure


def page(table: pd.DataFrame) -> str:
    """The page's text."""
    rows = [
        "| writes | rule | test accuracy | train accuracy | pulses a weight | learning rate | |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for path, title in PANELS.items():
        for rule in RULES:
            for row in table[(table["path"] == path) & (table["rule"] == rule)].to_dict("records"):
                pulses = "–" if pd.isna(row["pulses_per_weight"]) else f"{row['pulses_per_weight']:.4g}"
                edge = "rate at the edge of what was tried" if "edge" in str(row["tuned.note"]) else ""
                rows.append(
                    f"| {title} | {rule} | {row['test_accuracy']:.4f} | {row['train_accuracy']:.4f} | {pulses} | "
                    f"{row['tuned.update.learning_rate']:.3g} | {edge} |"
                )
    return INTRO + "\n".join([*rows, ""])


if __name__ == "__main__":
    main()
