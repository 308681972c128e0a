"""What lies between devices and learning rules: a rule learns what it declared, and nothing else."""

from __future__ import annotations

import ast
import dataclasses

import pytest
import torch
from import_graph import FILES, imports
from support import make_card, make_chip, normal
from torch import Tensor

from noisyhw.chip.chip import Chip
from noisyhw.observation import Injection, Observation
from noisyhw.rules import RULES, Knows, get_rule
from noisyhw.rules.base import LayerShape, Rule

FORBIDDEN = {"devices", "tiles", "chip", "updates", "training", "cards", "tasks"}
WIDTHS = (6, 7, 5, 4)
X, TARGET = normal(3, 6), torch.tensor([0, 3, 1])


def reachable(start: set[str]) -> set[str]:
    """All modules of the package that the given ones import, directly or not (its bare __init__ aside)."""
    seen: set[str] = set()
    waiting = set(start)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        parents = {".".join(name.split(".")[:n]) for n in range(2, name.count(".") + 1)}
        waiting |= ((imports(FILES[name]) | parents) & FILES.keys()) - seen - {"noisyhw"}
    return seen


def test_rules_import_no_device_tile_or_chip_however_indirectly() -> None:
    rules = {name for name in FILES if name.split(".")[1:2] == ["rules"]}
    assert len(rules) >= 5
    loaded = reachable(rules)
    assert {"noisyhw.observation", "noisyhw.errors"} <= loaded
    assert {name for name in loaded if name.split(".")[1] in FORBIDDEN} == set()


def test_the_import_walk_would_see_a_forbidden_import() -> None:
    assert "noisyhw.devices.cells" in reachable({"noisyhw.chip.build"})


def test_rules_import_nothing_by_name_at_run_time() -> None:
    for name, path in FILES.items():
        if name.startswith("noisyhw.rules"):
            names = {
                node.id for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Name)
            }
            assert not names & {"__import__", "eval", "exec", "importlib"}


def test_only_the_aihwkit_backend_imports_aihwkit() -> None:
    importers = {
        name for name, path in FILES.items() if any(i.split(".")[0] == "aihwkit" for i in imports(path))
    }
    assert importers <= {"noisyhw.tiles.aihwkit"}


def observed(name: str, std: float = 0.01, chip: Chip | None = None) -> tuple[Rule, Observation]:
    rule, _ = get_rule(name)
    return rule, (chip or make_chip(WIDTHS)).observe(X, TARGET, rule, std, 2)


def learned(rule: Rule, seen: Observation) -> list[Tensor]:
    """What a rule hands back for a batch, and its memory after it, from the memory that it starts with."""
    shapes = tuple(LayerShape(*widths) for widths in zip(WIDTHS[1:], WIDTHS[:-1], strict=True))
    handed_back, memory = rule.learn(seen, rule.init(shapes, torch.Generator().manual_seed(0)))
    return [*tensors(handed_back), *tensors(memory)]


def tensors(value: object) -> list[Tensor]:
    if dataclasses.is_dataclass(value):
        value = tuple(getattr(value, field.name) for field in dataclasses.fields(value))
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in tensors(item)]
    return [value] if isinstance(value, Tensor) else []


def test_an_observation_has_the_declared_fields_and_no_other() -> None:
    names = [field.name for field in dataclasses.fields(Observation)]
    assert names == [
        *("pre_activations", "losses", "inputs", "outputs", "injected", "gradient"),
        *("output_error", "slopes"),
    ]
    injected = [field.name for field in dataclasses.fields(Injection)]
    assert injected == ["std", "noise", "passes", "weights", "weight_passes"]
    _, seen = observed("np")
    assert set(vars(seen)) == set(names)


@pytest.mark.parametrize("name", RULES)
def test_an_observation_holds_plain_tensors_of_the_promised_shapes(name: str) -> None:
    rule, seen = observed(name)
    passes = 1 + 2 * len(rule.probes(3))
    assert [tuple(a.shape) for a in seen.pre_activations] == [(passes, 3, width) for width in WIDTHS[1:]]
    assert [tuple(x.shape) for x in seen.inputs] == [(3, width) for width in WIDTHS[:-1]]
    assert seen.losses.shape == (passes, 3)
    for tensor in tensors(seen):
        assert type(tensor) is Tensor
        assert tensor.grad_fn is None
        assert not tensor.requires_grad


@pytest.mark.parametrize("name", RULES)
def test_a_rule_sees_the_injection_or_the_gradient_only_if_it_declared_so(name: str) -> None:
    rule, seen = observed(name)
    assert (seen.injected is not None) == bool({Knows.INJECTED, Knows.INJECTED_WEIGHTS} & rule.knows)
    assert (seen.gradient is not None) == (Knows.GRADIENT in rule.knows)
    assert (seen.output_error is not None) == (Knows.OUTPUT_ERROR in rule.knows)
    assert (seen.slopes is not None) == (Knows.OUTPUT_ERROR in rule.knows)


def test_each_rule_declares_what_its_algorithm_needs() -> None:
    assert {name: {*rule.knows} for name, rule in RULES.items()} == {
        "bp": {Knows.GRADIENT},
        "np": {Knows.INJECTED},
        "anp": {Knows.ACTIVITIES},
        "inp": {Knows.INJECTED},
        "alf": {Knows.ACTIVITIES, Knows.OUTPUT_ERROR},
        "dfa": {Knows.OUTPUT_ERROR},
        "fa": {Knows.OUTPUT_ERROR},
        "mirror": {Knows.ACTIVITIES, Knows.OUTPUT_ERROR},
        "wp": {Knows.INJECTED_WEIGHTS},
    }


def test_anp_does_not_learn_what_was_injected_although_it_acts() -> None:
    _, quiet = observed("anp", 0.0)
    _, perturbed = observed("anp", 0.01)
    assert perturbed.injected is None
    assert torch.equal(quiet.pre_activations[0][0], quiet.pre_activations[0][1])
    assert not torch.equal(perturbed.pre_activations[0][0], perturbed.pre_activations[0][1])


@pytest.mark.parametrize("name", ["np", "inp"])
def test_the_injection_tells_the_learners_own_noise_and_not_the_devices(name: str) -> None:
    chip = make_chip(WIDTHS, make_card(read_noise={"white": {"std": 0.5}}))
    rule, seen = observed(name, 0.01, chip)
    assert seen.injected is not None
    for noise in seen.injected.noise:
        assert float(noise.abs().max()) < 0.01 * 5
    probes = rule.probes(3) * 2
    for place, passes in enumerate(seen.injected.passes):
        assert passes == tuple(p for p, probe in enumerate(probes) if probe[place])


@pytest.mark.parametrize("name", RULES)
def test_no_tensor_of_an_observation_shares_memory_with_what_the_chip_holds(name: str) -> None:
    chip = make_chip(WIDTHS, decorrelated=True, bias=True)
    _, seen = observed(name, 0.01, chip)
    held = [
        t
        for layer in chip.layers
        for t in (layer.tile.cells.weight, layer.bias, layer.r)  # type: ignore[attr-defined]
    ]
    addresses = {t.untyped_storage().data_ptr() for t in held if t is not None}
    assert len(addresses) == 9
    assert not addresses & {t.untyped_storage().data_ptr() for t in tensors(seen)}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_a_pure_function_of_its_observation(name: str) -> None:
    rule, seen = observed(name)
    before = [t.clone() for t in tensors(seen)]
    first, second = learned(rule, seen), learned(rule, seen)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, tensors(seen), strict=True))


@pytest.mark.parametrize("name", ["np", "inp"])
def test_a_rule_that_needs_its_injection_refuses_an_observation_without_it(name: str) -> None:
    rule, seen = observed(name)
    with pytest.raises(ValueError, match="no injected perturbation"):
        rule.signals(dataclasses.replace(seen, injected=None))


@pytest.mark.parametrize("name", ["alf", "dfa", "fa", "mirror"])
def test_a_rule_that_needs_the_output_error_refuses_an_observation_without_it(name: str) -> None:
    rule, seen = observed(name)
    with pytest.raises(ValueError, match="no output error"):
        learned(rule, dataclasses.replace(seen, output_error=None))


def test_bp_refuses_an_observation_without_a_gradient() -> None:
    rule, seen = observed("bp")
    with pytest.raises(ValueError, match="no gradient"):
        rule.signals(dataclasses.replace(seen, gradient=None))
