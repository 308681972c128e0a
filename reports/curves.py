"""Draw the learning curves of finished runs, and write their table: mean, lowest and highest over seeds.

    python reports/curves.py RUN... --by rule|device|folder --title TITLE --out reports/NAME

Runs that share a label are the seeds of one curve. Writes NAME.png, NAME.svg and NAME.md; the table says n, and every
run's folder keeps its own config, environment and identity.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path

import pandas as pd
import yaml
from matplotlib.figure import Figure

from noisyhw import Run


def main() -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--by", choices=("rule", "device", "folder"), default="rule")
    parser.add_argument("--title", required=True)
    parser.add_argument("--command", required=True, help="what made the runs; is written under the table")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    curves: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for path in arguments.runs:
        run = Run.open(path)
        if run.status != "done":
            print(f"left out, {run.status}: {path} {run.reason or ''}")
            continue
        curves[label(path, arguments.by)].append(run.metrics.set_index("epoch"))
    metric = "test_loss" if next(iter(curves.values()))[0]["test_accuracy"].isna().all() else "test_accuracy"
    draw(curves, metric, arguments.title, arguments.out)
    write_table(curves, metric, arguments)


def label(path: Path, by: str) -> str:
    """What a run's curve is called: its rule, its device, or its folder's name without the seed."""
    if by == "folder":
        return re.sub(r"-(seed)?\d+$", "", path.name)
    config = yaml.safe_load((path / "config.yaml").read_text())
    return str(config[by]["name"])


def draw(curves: dict[str, list[pd.DataFrame]], metric: str, title: str, out: Path) -> None:
    """One line a curve, with a band from the lowest to the highest seed."""
    figure = Figure(figsize=(6.4, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for name, runs in curves.items():
        table = pd.concat([run[metric] for run in runs], axis=1)
        line = axes.plot(table.index, table.mean(axis=1), label=f"{name} (n={len(runs)})")[0]
        axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), alpha=0.2, color=line.get_color(), lw=0)
    axes.set(title=title, xlabel="epoch", ylabel=metric.replace("_", " "))
    if metric == "test_loss":
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    for kind in ("png", "svg"):
        figure.savefig(out.with_suffix(f".{kind}"), metadata={"Date": None} if kind == "svg" else None)


def write_table(curves: dict[str, list[pd.DataFrame]], metric: str, arguments: argparse.Namespace) -> None:
    """A Markdown page with the picture, the last epoch's figures and the command."""
    best = max if metric == "test_accuracy" else min
    lines = [f"# {arguments.title}", "", f"![learning curves]({arguments.out.name}.png)", ""]
    lines += [f"| | n | epochs | final {metric.replace('_', ' ')}: mean | low | high | best of all seeds and epochs |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for name, runs in curves.items():
        final = [float(run[metric].iloc[-1]) for run in runs]
        peak = best(best(run[metric]) for run in runs)
        figures = " | ".join(f"{value:.4g}" for value in (sum(final) / len(final), min(final), max(final), peak))
        lines.append(f"| {name} | {len(runs)} | {len(runs[0])} | {figures} |")
    lines += ["", "n is the number of seeds; bands and low/high are the lowest and highest of them.", ""]
    lines += ["Made by", "", "```", *arguments.command.strip().splitlines(), "```", ""]
    arguments.out.with_suffix(".md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
