"""``--fresh``: what a sweep's folder holds of the runs is forgotten, and they are computed anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cli_support import said_by
from sweep_support import SMALL, assert_same_results

import noisyhw
from noisyhw.errors import RunError
from noisyhw.sweeps import load, load_curves, plan
from noisyhw.sweeps.record import Job, outcome
from noisyhw.sweeps.store import Store

CARD: dict[str, Any] = {"experiment": SMALL | {"device": "ideal", "rule": "anp"}, "seeds": 2}


def swept(out: Path, **given: Any) -> pd.DataFrame:
    return noisyhw.sweep(CARD | given.pop("card", {}), out=out, engine="serial", **given).table


def wrong(store: Store, seed: int) -> None:
    """Put a result into the store that is not the run's."""
    point = plan(CARD).points[seed]
    store.add(outcome(Job(point.identity, point.experiment), "failed", "not this run's"))


def test_what_the_store_holds_of_these_runs_is_computed_anew_and_the_rest_stays(tmp_path: Path) -> None:
    first = swept(tmp_path)
    other = swept(tmp_path, sets=["batch=300"])
    wrong(Store.open(tmp_path), 0)
    assert set(swept(tmp_path)["status"]) == {"failed", "done"}
    lines = (tmp_path / "records.jsonl").read_text().count("\n")
    again = swept(tmp_path, fresh=True)
    same = again[again["identity"].isin(first["identity"])]
    assert_same_results(same[first.columns].reset_index(drop=True), first)
    assert (tmp_path / "records.jsonl").read_text().count("\n") == lines + 2
    assert set(other["identity"]) <= set(Store.open(tmp_path).records)
    assert len(load_curves(tmp_path)) == 2 * 4
    swept(tmp_path)
    assert (tmp_path / "records.jsonl").read_text().count("\n") == lines + 2


def test_a_fresh_sweep_that_was_stopped_goes_on_without_the_old_results(tmp_path: Path) -> None:
    first = swept(tmp_path)
    runs = list(plan(CARD).runs)
    Store.open(tmp_path).forget(runs)
    assert load(tmp_path).empty
    assert load_curves(tmp_path).empty
    open_before = Store.open(tmp_path)
    assert_same_results(swept(tmp_path), first)
    open_before.refresh()
    assert set(open_before.records) == set(runs)


def test_another_process_s_store_forgets_too_and_a_run_that_it_computes_stays(tmp_path: Path) -> None:
    swept(tmp_path)
    looking, one = Store.open(tmp_path), Store.open(tmp_path)
    runs = list(plan(CARD).runs)
    one.forget(runs[:1])
    looking.refresh()
    assert set(looking.records) == set(one.records) == set(runs[1:])


def test_run_folders_are_forgotten_too(tmp_path: Path) -> None:
    card = {"keep": "folders"}
    first = swept(tmp_path, card=card)
    folders = sorted((tmp_path / "runs").iterdir())
    record = json.loads((folders[0] / "run.json").read_text())
    assert record["status"] == "done"
    marked = folders[0] / "mark"
    marked.write_text("of the first time")
    assert_same_results(swept(tmp_path, card=card, fresh=True), first)
    assert not marked.exists()


def test_a_damaged_line_of_forgotten_runs_is_told(tmp_path: Path) -> None:
    swept(tmp_path)
    (tmp_path / "forgotten.jsonl").write_text('{"identity": 3}\n')
    with pytest.raises(RunError, match=r"forgotten\.jsonl:1: not a line of this version"):
        Store.open(tmp_path)


def test_the_command_computes_anew_and_its_dry_run_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "card.yaml"
    card.write_text(
        "experiment: {device: ideal, rule: anp, epochs: 1, batch: 900, network: {hidden: [4]}}\nseeds: 1\n"
    )
    command = ["sweep", card, "--out", tmp_path / "out", "--engine", "serial"]
    assert said_by(capsys, *command).code == 0
    assert "0 left" in said_by(capsys, *command, "--dry-run").out
    assert "1 left" in said_by(capsys, *command, "--dry-run", "--fresh").out
    assert said_by(capsys, *command, "--fresh").code == 0
    assert (tmp_path / "out" / "records.jsonl").read_text().count("\n") == 2
