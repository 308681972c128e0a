"""Where a card's numbers come from: each follows from what a source states, or is named as assumed."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from aihwkit_support import needs_aihwkit

from noisyhw.cards import DeviceCard, load_device, shipped_devices
from noisyhw.cards.derived import Derivation, agrees, numbers
from noisyhw.cards.device import PROVENANCE
from noisyhw.errors import CardError

CARDS = sorted(shipped_devices())
ENTRIES = [(name, entry) for name in CARDS for entry in load_device(name).derived]
IDS = [f"{name} {entry.field}" for name, entry in ENTRIES]


@pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=IDS)
def test_a_shipped_number_is_what_its_sources_number_scale_and_formula_give(
    name: str, entry: Derivation
) -> None:
    """Recomputed by Python itself; the card's own evaluator must find the same."""
    card = load_device(name)
    names = {name: getattr(math, name) for name in ("sqrt", "exp", "log", "log2")}
    expected = float(eval(entry.rule, names, dict(entry.given)))
    assert entry.value() == pytest.approx(expected, rel=1e-12)
    stated = numbers(card, PROVENANCE)[entry.field]
    assert agrees(stated, expected), f"{entry.field}: the card says {stated}, its sources give {expected}"
    assert entry.source <= len(card.source)


@pytest.mark.parametrize("name", CARDS)
def test_no_number_of_a_shipped_card_is_without_provenance(name: str) -> None:
    card = load_device(name)
    derived = {entry.field for entry in card.derived}
    assumed = set(re.findall(r"[a-z_]+(?:\.[a-z_]+)+", " ".join(card.assumed)))
    lacking = [
        field
        for field in numbers(card, PROVENANCE)
        if field not in derived and not any(field == one or field.startswith(f"{one}.") for one in assumed)
    ]
    assert lacking == []


@pytest.mark.parametrize("name", CARDS)
def test_no_number_of_a_shipped_card_is_derived_twice(name: str) -> None:
    fields = [entry.field for entry in load_device(name).derived]
    assert len(fields) == len(set(fields))


@pytest.mark.parametrize("name", CARDS)
def test_shipped_cards_that_take_trains_say_how_long_these_are(name: str) -> None:
    card = load_device(name)
    assert ("update.pulses_per_update" in numbers(card, PROVENANCE)) == card.is_pulsed


def test_cards_at_the_same_scale_of_weights_have_the_same_periphery() -> None:
    """Gokmen and Vlasov say bound 12 and noise 0.06 for weights up to 0.6; all cards here reach 1 or more."""
    for name in CARDS:
        periphery, white = load_device(name).periphery, load_device(name).read_noise.white
        if periphery.adc is not None:
            assert white is not None
            assert (periphery.adc.range, white.std) == (20.0, 0.1), name


OWN_NAMES = {"w", "step"}
"""In formulas with aihwkit's numbers: a weight, and this card's own step."""


def stated_in_aihwkit(text: str) -> list[Any]:
    """An instance of every class of aihwkit that a source's text names."""
    from aihwkit.simulator import parameters
    from aihwkit.simulator.configs import devices
    from aihwkit.simulator.presets import compounds, utils
    from aihwkit.simulator.presets import devices as presets

    modules = (presets, compounds, utils, parameters, devices)
    found = {
        word: next((getattr(m, word) for m in modules if hasattr(m, word)), None) for word in words(text)
    }
    return [one() for one in found.values() if isinstance(one, type)]


def words(text: str) -> list[str]:
    """Names of aihwkit's classes in a source's text."""
    found = [word for word in re.findall(r"\w+", text) if word.endswith(("Device", "Cell", "Parameters"))]
    return found if "aihwkit" in text else []


OF_AIHWKIT = [
    (name, entry)
    for name, entry in ENTRIES
    if words(" ".join(filter(None, (load_device(name).source[entry.source - 1].model_dump().values()))))
]


@needs_aihwkit
@pytest.mark.parametrize(
    ("name", "entry"), OF_AIHWKIT, ids=[f"{name} {entry.field}" for name, entry in OF_AIHWKIT]
)
def test_what_a_card_says_that_aihwkit_states_is_what_aihwkit_states(name: str, entry: Derivation) -> None:
    source = load_device(name).source[entry.source - 1]
    objects = stated_in_aihwkit(f"{source.paper} {source.figure} {source.gives}")
    for key, value in entry.given.items():
        found = [getattr(one, key) for one in objects if hasattr(one, key)]
        assert found or key in OWN_NAMES, f"{key} is in none of the classes that source {entry.source} names"
        assert not found or value == pytest.approx(found[0], rel=1e-7)


@needs_aihwkit
def test_the_pcm_cards_source_numbers_are_those_of_aihwkits_model() -> None:
    from aihwkit.inference.noise.pcm import PCMLikeNoiseModel

    model = PCMLikeNoiseModel(g_max=25.0)
    stated = dict(zip(("c0", "c1", "c2"), model.prog_coeff, strict=True))
    stated |= {"g_max": model.prog_coeff_g_max_reference, "t": model.t_0, "t_read": model.t_read}
    given = {
        key: value for e in load_device("pcm").derived if e.source == 3 for key, value in e.given.items()
    }
    assert {key: given[key] for key in stated} == stated


def test_a_derivation_is_computed_by_arithmetic_alone() -> None:
    entry = Derivation(
        field="x", source=1, given={"a": 3.0, "b": 2}, formula="-sqrt(a / b) ** 2 + exp(0) * 1e1"
    )
    assert entry.value() == pytest.approx(-1.5 + 10)
    assert Derivation(field="x", source=1, given={"a": 3.0}).value() == 3.0


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("given: {a: 1, b: 2}", "'formula' is missing: update.step has 2 given numbers, not one"),
        ("given: {a: 1}, formula: a * c", "names c are not in both"),
        ("given: {a: 1, b: 2}, formula: a", "names b are not in both"),
        (
            "given: {a: 1}, formula: a.real",
            "'a.real' is more than numbers, + - * / ** and sqrt, exp, log, log2",
        ),
        ("given: {a: 0}, formula: 1 / a", "division by zero"),
        ("given: {a: -1}, formula: a ** 0.5", "a root of a negative number"),
        ("given: {a: 1000.0}, formula: exp(a)", "math range error"),
        ("given: {a: 1}, formula: a +", "invalid syntax"),
        ("given: {a: 1}, formula: 'sqrt(a, a)'", "is more than numbers"),
    ],
)
def test_a_derivation_that_cannot_be_computed_is_refused_with_file_field_and_reason(
    tmp_path: Path, entry: str, told: str
) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(f"title: x\nderived:\n  - {{field: update.step, source: 1, {entry}}}\n")
    with pytest.raises(CardError) as caught:
        load_device(path)
    assert "card.yaml:3: derived[0]: " in str(caught.value)
    assert told in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "derived", "same"),
    [
        (0.0368, 0.036818, True),
        (0.0368, 0.036852, False),
        (0.112, 56 * 0.002, True),
        (0.112, 0.1127, False),
        (20.0, 20.0, True),
        (20.0, 12.0, False),
        (7, 7.0000001, True),
        (7, 7.01, False),
        (0.0, 0.0, True),
        (0.0, 0.001, False),
        (-1.0, -1.0, True),
    ],
)
def test_a_number_agrees_with_its_derivation_to_the_digits_that_it_has(
    stated: float, derived: float, same: bool
) -> None:
    assert agrees(stated, derived) is same


def test_provenance_does_not_change_a_run_and_keeps_cards_hashable() -> None:
    card = load_device("rram")
    assert hash(card) == hash(load_device("rram"))
    without = DeviceCard.model_validate(card.model_dump(exclude={"derived"}))
    assert card.physics() == without.physics()
    assert card.derived


def test_derived_is_a_list_in_the_yaml_that_anybody_can_read() -> None:
    text = yaml.safe_load(shipped_devices()["rram"].read_text())
    assert {"field": "update.step", "source": 2, "given": {"dw_min": 0.002}} in text["derived"]


def test_equal_derivations_are_one_and_a_formula_too_long_to_read_is_refused() -> None:
    one = Derivation(field="x", source=1, given={"a": 1.0, "b": 2.0}, formula="a + b")
    other = Derivation(field="x", source=1, given={"b": 2.0, "a": 1.0}, formula="a + b")
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(ValueError, match="do not fit"):
        Derivation(field="x", source=1, given={"a": 1.0, "b": 2.0}, formula="a" + "+b" * 2000)
