"""Four rules on the shipped devices by every update path, and backpropagation on the ideal one: tables over seeds.

    python reports/devices.py digits [--seeds 3] [--epochs N] [--workers 2]
    python reports/devices.py sarcos --data-dir DATA
    python reports/devices.py cifar10 --data-dir DATA --seeds 1 --paths mixed_precision --rates anp=0.003 np=0.0003

The runs are a sweep, kept under runs/reports/devices-TASK-Nepochs/; finished ones are not repeated. Writes
reports/devices-TASK.md, with its learning curves as PNG and SVG. A run that diverges is shown as such.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import noisyhw
from noisyhw.cards import load_experiment
from noisyhw.cards.experiment import TaskCard
from noisyhw.characterize.figures import save_figure
from noisyhw.reporting.errors import Images, bernoulli, error_of, images_of
from noisyhw.reporting.tables import told_errors
from noisyhw.reproduce.drawing import draw_bands
from noisyhw.tasks import load_data
from noisyhw.training.effort import forward_passes, passes_per_sample
from noisyhw.training.resolve import resolve
from noisyhw.updates import PATHS

HERE = Path(__file__).parent
DEVICES = ("rram", "pcm", "ecram", "smtj")
RULES = ("danp", "dnp", "anp", "np")
ORACLE = ("ideal", "bp")
EPOCHS = {"digits": 300, "sarcos": 10, "cifar10": 5}
METRIC = {"digits": "test_accuracy", "sarcos": "test_loss", "cifar10": "test_accuracy"}
Key = tuple[str, str, str]
Values = dict[Key, list[float | str]]


def main() -> None:
    """Train what is missing and write the page."""
    asked = arguments()
    epochs = asked.epochs or EPOCHS[asked.task]
    keys = [*itertools.product(DEVICES, asked.paths, asked.rules)]
    keys += [(ORACLE[0], path, ORACLE[1]) for path in asked.paths]
    points = [
        {"device": device, "update.path": path, "rule": rule} | rate_of(asked, rule)
        for device, path, rule in keys
    ]
    card = {
        "title": f"Rules by device and update path: {asked.task}",
        "experiment": {"task": task_of(asked), "epochs": epochs},
        "list": points,
        "seeds": asked.seeds,
        "keep": "folders" if asked.task == "cifar10" else "rows",
    }
    out = Path("runs/reports") / f"devices-{asked.task}-{epochs}epochs"
    found = noisyhw.sweep(card, out=out, workers=asked.workers, data_dir=asked.data_dir)
    metric, name = METRIC[asked.task], f"devices-{asked.task}"
    here = {point.identity for point in noisyhw.sweeps.plan(card, data_dir=asked.data_dir).points}
    runs, curves = (table[table["identity"].isin(here)] for table in (found.table, found.curves))
    final, best, pulses = values(runs, curves, metric)
    draw(asked, curves, metric, HERE / name)
    (HERE / f"{name}.md").write_text("\n".join(page(asked, epochs, final, best, pulses)))


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=sorted(EPOCHS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES)
    parser.add_argument("--paths", nargs="+", choices=list(PATHS), default=tuple(PATHS))
    parser.add_argument(
        "--rates", nargs="+", default=[], metavar="RULE=RATE", help="learning rates that are not the task's"
    )
    asked = parser.parse_args()
    asked.rates = {rule: float(rate) for rule, rate in (text.split("=") for text in asked.rates)}
    return asked


def task_of(asked: argparse.Namespace) -> dict[str, Any]:
    """The task; on digits every seed tests on a part of the images of its own, so that all are tested."""
    folds = {"folds": asked.seeds} if asked.task == "digits" and asked.seeds > 1 else {}
    return {"name": asked.task, **folds}


def rate_of(asked: argparse.Namespace, rule: str) -> dict[str, float]:
    """The learning rate that was asked for, where it is not the task's."""
    return {"update.learning_rate": asked.rates[rule]} if rule in asked.rates else {}


def values(runs: pd.DataFrame, curves: pd.DataFrame, metric: str) -> tuple[Values, Values, Values]:
    """The last and the best epoch's metric of each seed, and its pulses a weight; or why there are none."""
    best = extremes(curves, metric)
    final, peak, pulses = Values(), Values(), Values()
    for row in runs.to_dict("records"):
        key = row["device"], row["update.path"], row["rule"]
        ended = row["status"] == "done"
        lost = f"{row['status']}: {row['reason']}"
        final.setdefault(key, []).append(row[metric] if ended else lost)
        peak.setdefault(key, []).append(best[row["identity"]] if ended else lost)
        pulses.setdefault(key, []).append(row["pulses_per_weight"] if ended else lost)
    return final, peak, pulses


def extremes(curves: pd.DataFrame, metric: str) -> dict[str, float]:
    """By run, the highest accuracy or lowest loss of its epochs."""
    runs = curves.groupby("identity")[metric]
    best = runs.max() if metric.endswith("accuracy") else runs.min()
    return {str(identity): float(value) for identity, value in best.items()}


def draw(asked: argparse.Namespace, curves: pd.DataFrame, metric: str, out: Path) -> None:
    """A panel for each device and rule, a line for each update path: the mean with a band from low to high."""
    figure = Figure(figsize=(3.2 * len(asked.rules), 10), dpi=110, layout="constrained")
    grid = figure.subplots(len(DEVICES), len(asked.rules), sharex=True, sharey="row", squeeze=False)
    for place, (device, rule) in zip(grid.flat, itertools.product(DEVICES, asked.rules), strict=True):
        here = curves[(curves["device"] == device) & (curves["rule"] == rule)]
        by_path = {path: here[here["update.path"] == path] for path in asked.paths}
        bands = {
            path: runs.pivot(index="epoch", columns="seed", values=metric) for path, runs in by_path.items()
        }
        draw_bands(place, bands, metric.replace("_", " "), log=metric.endswith("loss"), counted=False)
        place.set_title(f"{device}, {rule}", fontsize=9)
        place.grid(alpha=0.3)
        place.label_outer()
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    for kind in (".png", ".svg"):
        save_figure(figure, out.with_suffix(kind))


def page(asked: argparse.Namespace, epochs: int, final: Values, best: Values, pulses: Values) -> list[str]:
    """The lines of the page."""
    what = METRIC[asked.task].replace("_", " ")
    top = "Peak" if what.endswith("accuracy") else "Lowest"
    seeds = f"mean (low to high) of {asked.seeds} seeds" if asked.seeds > 1 else "a single seed"
    images = images_of([{"task": task_of(asked)}], METRIC[asked.task])
    remarks: list[str] = []
    lines = [f"# Rules by device and update path: {asked.task}, {epochs} epochs", ""]
    lines += [f"![learning curves](devices-{asked.task}.png)", "", "Bands: lowest and highest seed.", ""]
    lines += [
        f"Final {what}: {seeds.replace('mean', 'mean ± standard error')}. {told_errors(images)}",
        "",
        "Noise is on in training and in test. Network, batch and learning rates are the",
    ]
    own = (
        ", but " + " and ".join(f"{rule} {rate:g}" for rule, rate in asked.rates.items())
        if asked.rates
        else ""
    )
    lines += [f"task's, chosen for danp and the same for all rules and devices{own}: they were"]
    lines += ["not searched for, and what tells two rules apart here may be that.", ""]
    lines += table(final, DEVICES, asked.paths, asked.rules, remarks, images=images)
    lines += [
        "",
        f"{top} {what} of any epoch, the test itself being noisy: {seeds}, of those that ended.",
        "",
    ]
    lines += table(best, DEVICES, asked.paths, asked.rules, [])
    lines += [
        "",
        "Pulses and programming events in the whole run, of all crossbars, divided by the number of weights:",
    ]
    lines += [
        f"{seeds}, of those that ended; a dash: the device takes any change at once, or did not count.",
        "",
    ]
    lines += table(pulses, DEVICES, asked.paths, asked.rules, [], digits=0)
    device, rule = ORACLE
    lines += ["", f"For comparison, {rule} on the {device} device: final, and of any epoch.", ""]
    lines += ["| update path | final | " + top.lower() + " |", "|---|---|---|"]
    for path in asked.paths:
        key = device, path, rule
        lines.append(f"| {path} | {cell(final[key], remarks)} | {cell(best[key], [])} |")
    lines += ["", *effort(asked, epochs), "", *dict.fromkeys(remarks)]
    return [*lines, "", "Made by", "", "```", command(asked, epochs), "```", ""]


def table(
    found: Values,
    devices: Iterable[str],
    paths: Sequence[str],
    rules: Sequence[str],
    remarks: list[str],
    digits: int = 3,
    images: Images | None = None,
) -> list[str]:
    """A line for each device and path, a column for each rule."""
    lines = ["| device | update path | " + " | ".join(rules) + " |", "|---|---|" + "---|" * len(rules)]
    for device, path in itertools.product(devices, paths):
        cells = [cell(found[device, path, rule], remarks, digits, images) for rule in rules]
        lines.append(f"| {device} | {path} | " + " | ".join(cells) + " |")
    return lines


def cell(seeds: list[float | str], remarks: list[str], digits: int = 3, images: Images | None = None) -> str:
    """Say the mean, its standard error where images are given (low to high), and how many did not end."""
    ended = [value for value in seeds if isinstance(value, float)]
    remarks += [f"- {value}" for value in seeds if isinstance(value, str)]
    lost = len(seeds) - len(ended)
    if not ended:
        return f"none of {len(seeds)} ended"
    ended = [value for value in ended if not math.isnan(value)]
    if not ended:
        return "-"
    mean, low, high = (f"{value:.{digits}f}" for value in (sum(ended) / len(ended), min(ended), max(ended)))
    mean += "" if images is None else told_error(ended, images, digits)
    text = f"{mean} ({low} to {high})" if len(seeds) > 1 else mean
    return text + (f", {lost} of {len(seeds)} did not end" if lost else "")


def told_error(values: Sequence[float], images: Images, digits: int) -> str:
    """Say a mean's standard error, where there is one."""
    error = error_of(values, bernoulli(sum(values) / len(values)), images).standard
    return "" if math.isnan(error) else f" ± {error:.{digits}f}"


def effort(asked: argparse.Namespace, epochs: int) -> list[str]:
    """What a run of each rule asks of the device: the same on all of them."""
    samples = len(load_data(TaskCard.model_validate(task_of(asked)), asked.data_dir).train_x)
    lines = ["| rule | forward passes a sample and step | forward passes in training |", "|---|---|---|"]
    for rule in (*asked.rules, ORACLE[1]):
        options: dict[str, Any] = {"device": "ideal", "task.name": asked.task, "rule.name": rule}
        one = resolve(load_experiment(None, options | {"epochs": epochs}))
        lines.append(f"| {rule} | {passes_per_sample(one)} | {forward_passes(one, samples):,} |")
    return lines


def command(asked: argparse.Namespace, epochs: int) -> str:
    """What makes this page again."""
    text = f"python reports/devices.py {asked.task} --seeds {asked.seeds} --epochs {epochs}"
    text += " --data-dir DATA" if asked.data_dir else ""
    text += "" if asked.rules == RULES else " --rules " + " ".join(asked.rules)
    text += (
        " --rates " + " ".join(f"{rule}={rate:g}" for rule, rate in asked.rates.items())
        if asked.rates
        else ""
    )
    return text + ("" if tuple(asked.paths) == tuple(PATHS) else " --paths " + " ".join(asked.paths))


if __name__ == "__main__":
    main()
