"""Sweep folders whose runs were never computed: what a report is made of, made up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from noisyhw.sweeps.lines import Lines
from noisyhw.sweeps.store import Store

Settings = Mapping[str, Any]
VERSIONS = "noisyhw 0.1.0, arithmetic 2, torch 2.13.0"


def make_sweep(
    folder: Path,
    settings: Iterable[Settings],
    result: Callable[[Settings], float | str | None],
    *,
    metric: str = "test_accuracy",
    epochs: int = 3,
    experiment: Callable[[Settings], dict[str, Any]] | None = None,
    asked: Mapping[str, str] | None = None,
) -> Path:
    """Write a sweep's folder.

    Args:
        folder: where.
        settings: of each run: task, device, rule, what is swept, seed.
        result: of a run: the metric; a reason for which it "diverged: ..." or "failed: ..."; None: it is to do.
        metric: test_accuracy or test_loss.
        epochs: of each curve, which is flat.
        experiment: what each run's record tells of it.
        asked: title, command and card.
    """
    store = Store.create(folder)
    points, records, curves = [], [], []
    for one in settings:
        identity = hashlib.sha256(json.dumps(dict(one), sort_keys=True).encode()).hexdigest()
        points.append({"identity": identity, "settings": dict(one)})
        found = result(one)
        if found is None:
            continue
        status, _, reason = found.partition(": ") if isinstance(found, str) else ("done", "", None)
        value = 0.1 if isinstance(found, str) else found
        row = {
            "epoch": epochs,
            "step": 4 * epochs,
            "train_loss": 1.0,
            "train_accuracy": None,
            "test_loss": 1.0,
        }
        row |= {"test_accuracy": None} | {metric: value}
        told = _plain(one) if experiment is None else experiment(one)
        records.append(_record(identity, status, reason, row, told))
        columns = {key: [entry] * epochs for key, entry in row.items()} | {"seconds": [0.1] * epochs}
        curves.append({"identity": identity} | columns | {"epoch": list(range(1, epochs + 1))})
    with store.locked():
        for name, entries in (("points", points), ("records", records), ("curves", curves)):
            Lines(folder / f"{name}.jsonl").append(entries)
        Lines(folder / "asked.jsonl").append([] if asked is None else [dict(asked)])
        environment = {"versions": {"noisyhw": "0.1.0"}, "cpu": "A processor", "cores": 4}
        Lines(folder / "environments.jsonl").append([environment])
    return folder


def _plain(settings: Settings) -> dict[str, Any]:
    return {"device": {"name": settings["device"]}, "rule": {"name": settings["rule"]}, "epochs": 3}


def _record(
    identity: str, status: str, reason: str | None, metrics: dict[str, Any], experiment: dict[str, Any]
) -> dict[str, Any]:
    return {
        "identity": identity,
        "status": status,
        "reason": reason,
        "metrics": metrics if status != "failed" else {},
        "perturbation_std": None,
        "seconds": 1.5,
        "finished": "2026-01-02T03:04:05+00:00",
        "experiment": experiment,
        "notes": [],
        "versions": VERSIONS,
    }


SCALE = "device.read_noise.scale"
NOISE = (0, 1, 2, 4, 8)


def grid(
    devices: Iterable[str] = ("rram", "pcm"),
    rules: Iterable[str] = ("np", "danp"),
    noise: Iterable[float] = NOISE,
    seeds: int = 3,
    task: str = "digits",
) -> list[Settings]:
    """Every combination, as a sweep card's grid has them."""
    return [
        {"task": task, "device": device, "rule": rule, SCALE: level, "seed": seed}
        for device in devices
        for rule in rules
        for level in noise
        for seed in range(seeds)
    ]


def falling(one: Settings) -> float:
    """0.9 up to a noise of 2, then 0.3; a hundredth more for each seed."""
    return (0.9 if one[SCALE] <= 2 else 0.3) + 0.01 * one["seed"]
