"""Figures 2, 7 and 8: measuring their angles, a CSV file for every rule and seed, so that a stopped one goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import KW_ONLY, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Final

import pandas as pd
import torch

from ..streams import stream
from ..tasks import Data, get_task
from ..training.files import write_text
from ..training.threads import computing_with
from .alignment import RULES, Angle, Bench, Precision, drawn_batch, measure
from .pages import make_folder

COLUMNS: Final = [field.name for field in fields(Angle)]
SYNTHETIC: Final = "synthetic"
CIFAR10: Final = "cifar10"
PAPERS_INPUTS: Final = {"figure2": SYNTHETIC, "figure8": CIFAR10}
"""What the paper measures on (Section 3.1, which does not describe its synthetic data; Appendix H)."""
BATCHES: Final = 10
"""Of synthetic data, from which every seed draws its own."""


@dataclass(frozen=True)
class AngleStudy:
    """What is measured.

    Attributes:
        iterations: rising numbers of noise iterations.
        variances: of the perturbation, sigma^2.
        seeds: networks and batches.
        inputs: where the batch comes from: a task, or ``synthetic``: standard normal inputs of CIFAR-10's size and
            random classes.
        samples: in the batch.
        hidden: hidden layer widths.
        precision: of matrix products.
    """

    name: str
    iterations: tuple[int, ...]
    variances: tuple[float, ...]
    inputs: str
    _: KW_ONLY
    seeds: int = 3
    samples: int = 1000
    hidden: tuple[int, ...] = (1024, 1024, 1024)
    precision: Precision = "float32"

    @property
    def page(self) -> str:
        """The name of its page and files."""
        suffix = "" if self.inputs == PAPERS_INPUTS[self.name] else f"-{self.inputs}"
        suffix += "" if self.precision == "float32" else f"-{self.precision}"
        return self.name.replace("figure", "figure-") + suffix

    def key(self, version: str) -> str:
        """Names everything that the measurement depends on."""
        content = asdict(replace(self, seeds=0)) | {"data": version}
        content["task"] = content.pop("inputs")  # the name that it has in files of earlier versions
        if self.precision == "float32":
            del content["precision"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


STUDIES: Final = {
    "figure2": AngleStudy("figure2", (1, 4, 16, 64, 256), (1e-6,), PAPERS_INPUTS["figure2"]),
    "figure8": AngleStudy(
        "figure8", (10,), tuple(10.0**power for power in range(-10, 0)), PAPERS_INPUTS["figure8"]
    ),
}
"""Figure 2's iterations are powers of the number of layers: rules meet at the same numbers of passes (Figure 7)."""


def run_angles(
    study: AngleStudy, runs: Path, data_dir: Path | None, tell: Callable[[str], None] = lambda text: None
) -> pd.DataFrame:
    """Measure what is not yet measured; one row an angle.

    Args:
        study: what to measure.
        runs: where measured parts are kept.
        data_dir: where the data is.
        tell: is told of every part.
    """
    data = synthetic(study) if study.inputs == SYNTHETIC else get_task(study.inputs).load(data_dir=data_dir)
    make_folder(runs)
    parts = []
    for seed in range(study.seeds):
        x, target = drawn_batch(data.train_x, data.train_y, study.samples, seed)
        bench = Bench(x, target, study.hidden, int(data.train_y.max()) + 1, seed, study.precision)
        for rule in RULES:
            path = runs / f"{rule}-seed{seed}-{study.key(data.version)}.csv"
            if not path.is_file():
                tell(f"{study.name}: {rule}, seed {seed}")
                _measure_part(study, bench, rule, path)
            parts.append(pd.read_csv(path))
    return pd.concat(parts, ignore_index=True)


def _measure_part(study: AngleStudy, bench: Bench, rule: str, path: Path) -> None:
    with computing_with(1):
        rows = [
            asdict(found)
            for variance in study.variances
            for found in measure(bench, rule, variance, study.iterations)
        ]
    write_text(path, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False))


def synthetic(study: AngleStudy) -> Data:
    """Standard normal inputs of CIFAR-10's size, and random classes."""
    generator, task = stream(0, "alignment", SYNTHETIC), get_task(CIFAR10)
    samples = BATCHES * study.samples
    x = torch.randn(samples, task.inputs, generator=generator)
    y = torch.randint(task.outputs, (samples,), generator=generator)
    return Data(x, y, x, y, version=f"{SYNTHETIC}, {BATCHES} batches")
