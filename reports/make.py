"""Make a report: train what is missing, then draw learning curves and write the table of mean, low and high over seeds.

    python reports/make.py digits-rram
    python reports/make.py sarcos-usual sarcos-blocks --data-dir DATA
    python reports/make.py cifar10-five-epochs cifar10-options --data-dir DATA [--seeds 3]

Finished runs (under runs/reports/) are not trained again, unfinished ones go on. Writes reports/NAME.png, .svg and .md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import noisyhw
from noisyhw.cards import load_experiment
from noisyhw.reporting.errors import bernoulli, error_of, images_of
from noisyhw.reproduce.drawing import draw_bands

HERE = Path(__file__).parent
EIGHT_RULES = ("bp", "dbp", "np", "dnp", "anp", "danp", "inp", "dinp")


@dataclass(frozen=True)
class Study:
    """What is compared: one curve a label, each with the arguments of :func:`noisyhw.train`."""

    title: str
    curves: Mapping[str, Mapping[str, Any]]
    metric: str
    note: str = ""


def sarcos(split: str, note: str) -> Study:
    """Eight rules on the ideal device."""
    curves = {
        rule: {"task": "sarcos", "device": "ideal", "rule": rule, "sets": [f"task.split={split}"]}
        for rule in EIGHT_RULES
    }
    note += " Width, batch and learning rate (0.004, adam) were chosen for danp, and all rules use the same."
    title = f"SARCOS, {split} split: mean squared error over 7 torques, original units"
    return Study(title, curves, "test_loss", note)


NOISY_DNP = ["perturbation.std=1e-3"]
FOLDS = ["task.folds=3"]
"""Three seeds test on every image once."""
EXACT_GRADIENT = ["rule.oracle=true", "perturbation.passes=1", "perturbation.reference=first"]
STUDIES = {
    "digits-rram": Study(
        "Digits on the RRAM card, read noise on in training and test",
        {rule: {"device": "rram", "rule": rule, "sets": FOLDS} for rule in ("danp", "dnp", "anp", "np")},
        "test_accuracy",
        "Outer products are summed in digital memory and whole pulses are sent when due (mixed_precision); biases "
        "and decorrelation are digital. Width (256), batch (400) and learning rate (0.03) were chosen for danp on this "
        "card, and the other rules use the same: they were not searched for. Each seed tests on a third of all 1,797 "
        "images.",
    ),
    "digits-rram-pulses": Study(
        "Digits on the RRAM card by pulses alone (Tiki-Taka, no digital memory of gradients)",
        {
            "danp, about the mean": {"experiment": "digits-rram-pulses"},
            "dbp, exact gradient": {
                "experiment": "digits-rram-pulses",
                "rule": "dbp",
                "sets": EXACT_GRADIENT,
            },
        },
        "test_accuracy",
        "Outer products are pulsed into a fast array, whose read-outs are pulsed into the slow one at once "
        "(tiki_taka); biases and decorrelation are digital. danp: 101 passes a batch, compared with their mean. dbp: "
        "a digital twin's gradient, to see what the device and its pulses alone allow.",
    ),
    "sarcos-usual": sarcos(
        "usual", "The usual test file's rows are every 10th row of the usual training file."
    ),
    "sarcos-blocks": sarcos(
        "blocks", "Tested on blocks of the trajectory that were held out, with 1 s between."
    ),
    "cifar10-options": Study(
        "CIFAR-10, 3 hidden layers of 1024, DANP: R from a share of each batch, first five epochs",
        {
            "all samples": {"experiment": "cifar10-3x1024", "epochs": 5},
            "a tenth of the samples": {
                "experiment": "cifar10-3x1024",
                "epochs": 5,
                "sets": ["decorrelation.sample_fraction=0.1"],
            },
        },
        "test_accuracy",
        "What the decorrelation matrices learn from: every sample of a batch, or its first tenth.",
    ),
    "cifar10-five-epochs": Study(
        "CIFAR-10, 3 hidden layers of 1024, first five epochs",
        {
            "danp, clean baseline": {"experiment": "cifar10-3x1024", "epochs": 5},
            "danp, noisy baseline": {"experiment": "cifar10-3x1024-noisy", "epochs": 5},
            "dnp, clean baseline": {"experiment": "cifar10-3x1024", "rule": "dnp", "epochs": 5},
            "dnp, noisy baseline": {
                "experiment": "cifar10-3x1024-noisy",
                "rule": "dnp",
                "epochs": 5,
                "sets": NOISY_DNP,
            },
        },
        "test_accuracy",
        "Clean: a noise-free baseline pass, and an injected perturbation of std 1e-3 in the other. Noisy: white read "
        "noise of std 1e-3 in every pass; danp injects nothing, dnp injects a known perturbation of std 1e-3 on top.",
    ),
}


def main() -> None:
    """Make the reports that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "studies", nargs="+", choices=sorted(STUDIES), metavar="NAME", help=", ".join(sorted(STUDIES))
    )
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.studies:
        study = STUDIES[name]
        runs = {label: [] for label in study.curves}
        for seed in range(arguments.seeds):
            for label, options in study.curves.items():
                out = Path("runs/reports") / name / f"{label.replace(', ', '-').replace(' ', '-')}-{seed}"
                run = noisyhw.train(**options, seed=seed, out=out, data_dir=arguments.data_dir)
                print(f"{name}: {label}, seed {seed}: {run.status} {run.reason or ''}", flush=True)
                runs[label].append(run)
        draw(study, runs, HERE / name)
        write_table(study, runs, HERE / name, arguments)


def tables(study: Study, runs: list[noisyhw.Run]) -> pd.DataFrame:
    """The metric by epoch, one column a seed that ended well."""
    done = [run.metrics.set_index("epoch")[study.metric] for run in runs if run.status == "done"]
    return pd.concat(done, axis=1) if done else pd.DataFrame()


def draw(study: Study, runs: dict[str, list[noisyhw.Run]], out: Path) -> None:
    """One line a curve, with a band from the lowest to the highest seed."""
    figure = Figure(figsize=(6.8, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    curves = {label: tables(study, seeds) for label, seeds in runs.items()}
    draw_bands(axes, curves, study.metric.replace("_", " "), log=study.metric == "test_loss")
    axes.set_title(study.title)
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(out.with_suffix(".png"))
    figure.savefig(out.with_suffix(".svg"), metadata={"Date": None})


def write_table(
    study: Study, runs: dict[str, list[noisyhw.Run]], out: Path, arguments: argparse.Namespace
) -> None:
    """A Markdown page: picture, last epoch's figures, runs that diverged, versions and the command."""
    best = max if study.metric == "test_accuracy" else min
    what = study.metric.replace("_", " ")
    lines = [f"# {study.title}", "", f"![learning curves]({out.name}.png)", ""]
    lines += [
        f"| | n | epochs | final {what}: mean | s.e. | low | high | best of all seeds and epochs, chosen on test "
        "data |",
        "|---|" + "---|" * 7,
    ]
    for label, seeds in runs.items():
        table = tables(study, seeds)
        final = table.iloc[-1]
        error = standard_error(final, seeds, study.metric)
        figures = (final.mean(), error, final.min(), final.max(), best(table.to_numpy().ravel()))
        lines.append(
            f"| {label} | {table.shape[1]} | {len(table)} | "
            + " | ".join(f"{value:.4g}" for value in figures)
            + " |"
        )
    lines += [
        "",
        "n is the number of seeds; low and high, and the bands, are the lowest and highest of them. S.e. is the mean's "
        "standard error, from the seeds' spread and the number of test images (docs/sweeps.md, Errors).",
    ]
    lines += [study.note] if study.note else []
    every = [run for seeds in runs.values() for run in seeds]
    lines += [f"{run.path.name} {run.status}: {run.reason}." for run in every if run.status != "done"]
    notes = {note for run in every for note in run.record["notes"]}
    lines += ["", *sorted(notes)]
    machine = {environment_of(run) for run in every}
    seeds = f" --seeds {arguments.seeds}"
    data = " --data-dir DATA" if arguments.data_dir else ""
    lines += [
        "",
        "Made with " + "; ".join(sorted(machine)) + ", by",
        "",
        "```",
        f"python reports/make.py {out.name}{data}{seeds}",
        "```",
        "",
    ]
    out.with_suffix(".md").write_text("\n".join(lines))


def standard_error(final: pd.Series, runs: list[noisyhw.Run], metric: str) -> float:
    """Of the mean over seeds, from their spread and from the number of test images."""
    experiments = [{"task": load_experiment(run.path / "config.yaml").task.model_dump()} for run in runs]
    return error_of(final.tolist(), bernoulli(final.mean()), images_of(experiments, metric)).standard


def environment_of(run: noisyhw.Run) -> str:
    """Versions and hardware of a run, in one line."""
    import json

    facts = json.loads((run.path / "environment.json").read_text())
    return f"noisyhw {facts['versions']['noisyhw']}, torch {facts['versions']['torch']}, {facts['cpu']}"


if __name__ == "__main__":
    main()
