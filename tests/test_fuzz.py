"""Mutated cards and experiments (see :mod:`fuzz`): refused with a message, or sound."""

from __future__ import annotations

import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import fuzz
import pytest
import torch
from fuzz import device_cards, mutant
from mutations import GONE, Mutation, limits_of, mutated, mutations

SHARE = 0.25
"""Least share of mutants that the schema lets through: one that is refused tests the schema alone."""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number"), [("cards", 200), ("experiments", 100)])
def test_a_mutated_card_is_refused_with_a_message_or_gives_finite_numbers(kind: str, number: int) -> None:
    """The command itself, in a process of its own: checks of shapes at every call would take most of the time."""
    script = Path(fuzz.__file__)
    command = [sys.executable, str(script), kind, "--number", str(number), "--seed", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ends = {
        end: int(count)
        for count, end in re.findall(r"(\d+) (worked|refused|failures)", done.stdout.splitlines()[-1])
    }
    assert ends["failures"] == 0
    assert min(ends["worked"], ends["refused"]) > SHARE * number


def test_a_mutant_depends_on_kind_seed_and_index_alone() -> None:
    first = [mutant("cards", 3, index) for index in range(30)]
    assert repr(first) == repr([mutant("cards", 3, index) for index in range(30)])
    assert len({repr(one) for one in first}) > 25


def test_mutations_leave_the_shipped_card_as_it_is() -> None:
    card = device_cards()["rram"]
    before = repr(card)
    for seed in range(50):
        changes = mutations(card, [card], {}, random.Random(seed))
        mutated(card, [change for change in changes if not change.typed])
    assert repr(card) == before


def test_a_mutation_sets_or_takes_away_one_field_and_skips_a_place_that_is_gone() -> None:
    card = {"update": {"step": 0.1, "kind": "pulsed"}}
    changes = [
        Mutation(("update", "step"), 0.2),
        Mutation(("update", "kind"), GONE),
        Mutation(("no", "where"), 1),
    ]
    assert mutated(card, changes) == {"update": {"step": 0.2}}


def test_the_limits_of_a_schema_are_found_by_field_name() -> None:
    block = {"properties": {"step": {"minimum": 1e-15, "maximum": 1e3}, "std": {"anyOf": [{"maximum": 5}]}}}
    assert limits_of({"properties": {"bits": {"minimum": 2}}, "$defs": {"Block": block}}) == {
        "bits": [2],
        "step": [1e-15, 1e3],
        "std": [5],
    }


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_fuzzer_sees_a_number_that_is_not_finite(value: float) -> None:
    with pytest.raises(fuzz.NotFinite, match="read"):
        fuzz._finite("read", torch.tensor([1.0, value]))


def test_the_fuzzer_tells_the_mutations_that_a_failure_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    needed, other = Mutation(("age",), "bad"), Mutation(("title",), "x")
    monkeypatch.setattr(
        fuzz, "outcome", lambda kind, base, changes: ("", "bad" if needed in changes else None)
    )
    assert fuzz.minimal("cards", "rram", (other, needed), "bad") == (needed,)
