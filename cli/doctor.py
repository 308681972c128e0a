"""`noisyhw doctor`: what works on this machine."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where to look for data sets.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(data_dir: Path | None, as_json: bool) -> int:
    """Check what works here: torch, GPU, a real training step, data sets, extras."""
    checks = examine(data_dir)
    if as_json:
        click.echo(json.dumps(checks, indent=2))
    else:
        for check in checks:
            mark = {True: "ok  ", False: "FAIL", None: "-   "}[check["ok"]]
            click.echo(f"{mark} {check['what']}: {check['finding']}")
    return 1 if any(check["ok"] is False for check in checks) else 0


def examine(data_dir: Path | None) -> list[dict[str, Any]]:
    """All checks: what was looked at, whether it works (None: not there, and not needed), and what was found."""
    from noisyhw.tasks import TASKS
    from noisyhw.training.environment import environment

    facts = environment()
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    checks = [
        _check("versions", True, versions),
        _check("processor", True, f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads"),
        _check(
            "GPU", True if facts["gpu"] else None, facts["gpu"] or "none; everything runs on the processor"
        ),
        _training(),
    ]
    for task in TASKS.values():
        found = task.found(data_dir)
        checks.append(
            _check(
                f"data of {task.name}",
                True if found else None,
                str(found or "not here; downloaded at first use"),
            )
        )
    checks.append(_aihwkit())
    return checks


def _check(what: str, ok: bool | None, finding: str) -> dict[str, Any]:
    return {"what": what, "ok": ok, "finding": finding}


def _aihwkit() -> dict[str, Any]:
    """Read and update one of aihwkit's tiles, for real: one built against another torch imports, and then fails."""
    from noisyhw.errors import UsageError
    from noisyhw.tiles.aihwkit import BUILD, prove, version

    if find_spec("aihwkit") is None:
        return _check("aihwkit", None, f"not installed, not needed; a second backend, built by: {BUILD}")
    try:
        prove()
    except UsageError as error:
        return _check("aihwkit", False, str(error))
    return _check("aihwkit", True, f"{version()}, a forward and an update are right")


def _training() -> dict[str, Any]:
    """Train one batch on every shipped device, for real."""
    from noisyhw.cards import load_experiment, shipped_devices
    from noisyhw.tasks import data_of, load_data
    from noisyhw.training.resolve import resolve
    from noisyhw.training.trainer import Trainer

    names = [name for name in sorted(shipped_devices()) if _runs_here(name)]
    try:
        for name in names:
            experiment = resolve(load_experiment(options={"device": name}))
            Trainer(experiment, load_data(data_of(experiment))).step()
    except Exception as error:
        return _check("a training step", False, f"fails on device '{name}': {type(error).__name__}: {error}")
    return _check("a training step", True, "danp on " + ", ".join(names))


def _runs_here(device: str) -> bool:
    from noisyhw.cards import load_device

    return load_device(device).backend == "noisyhw" or _aihwkit()["ok"] is True
