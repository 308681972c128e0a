"""Filling in what an experiment leaves open, and refusing what contradicts itself."""

from __future__ import annotations

from typing import Any, TypeVar

from ..cards.device import ProgrammedUpdate
from ..cards.experiment import Experiment, Resolved, RuleCard, TaskCard
from ..cards.updates import UpdateChoice
from ..chip.build import bound_to_fill
from ..device import Device
from ..errors import UsageError
from ..foreign import code_of
from ..network import card as network_card
from ..rules import Knows, Rule, named, rule_of
from ..rules.base import lives_on_noise, needs_injection
from ..tasks import Task, task_of
from ..tasks.base import Recipe
from ..updates.choice import class_of, resolved

T = TypeVar("T")


def resolve(experiment: Experiment) -> Resolved:
    """Return the experiment with every empty field filled from its task's recipe.

    Raises:
        UsageError: the rule asks for more than the device grants, or a setting would change nothing.
    """
    task, device = task_of(experiment.task), Device(experiment.device)
    rule, decorrelated = rule_of(experiment.rule)
    _check_rule(experiment, rule, device)
    if experiment.decorrelation.on == "tile" and not decorrelated:
        raise UsageError(
            f"decorrelation.on: {rule.name} does not decorrelate; leave it at digital, or use d{rule.name}"
        )
    if experiment.decorrelation.mean_rate and not decorrelated:
        raise UsageError(
            f"decorrelation.mean_rate: {rule.name} does not decorrelate; leave it at 0, or use d{rule.name}"
        )
    recipe, network = task.recipe, network_card.resolved(experiment.network)
    update = resolved(experiment.update, device, recipe.learning_rate)
    rate = experiment.decorrelation.rate
    loss = experiment.loss
    if loss == "auto":
        loss = "cross_entropy" if task.kind == "classification" else "squared_error"
    if loss == "cross_entropy" and task.kind == "regression":
        raise UsageError(
            f"loss: 'cross_entropy' needs classes, and {task.name} is a regression; use squared_error"
        )
    filled = {
        "network": {
            "hidden": None
            if experiment.network.has_module
            else _or(experiment.network.hidden, recipe.hidden),
            "weight_scaling": _weight_scaling(experiment.network.weight_scaling, recipe, device),
        }
        | network,
        "task": _task(experiment.task, task),
        "rule": _rule(experiment.rule, rule),
        "loss": loss,
        "decorrelation": {"rate": _or(rate, recipe.decorrelation_rate) if decorrelated else None},
        "update": update,
        "batch": _or(experiment.batch, recipe.batch),
        "epochs": _or(experiment.epochs, recipe.epochs),
    }
    content = experiment.model_dump()
    content["rule"], content["task"] = {}, {}  # with the options that their classes have checked
    for key, value in filled.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    if isinstance(experiment.device.update, ProgrammedUpdate):
        content["device"]["update"]["reference"] = _reference(experiment.device.update, update)
    return Resolved.model_validate(content)


def _rule(card: RuleCard, rule: Rule) -> dict[str, Any]:
    """The card with the rule's checked options, and with what names its code where it is not shipped.

    One rule is written in one way: ``anp`` that is to decorrelate is ``danp``.
    """
    kind, decorrelate = type(rule), card.decorrelate
    name = kind.__name__
    if card.file is None and card.object is None:
        name = card.name
        spelled = ("d" if decorrelate else "") + kind.name
        if decorrelate is not None and not kind.decorrelated and named(spelled)[0] is kind:  # dfa is not fa
            name, decorrelate = spelled, None
    if decorrelate == kind.decorrelated and name in (kind.name, kind.__name__):
        decorrelate = None
    own = rule.written_options()
    fixed = {"name": name, "file": card.file, "object": card.object, "oracle": card.oracle}
    return fixed | {"code": code_of(kind), "decorrelate": decorrelate} | own


def _reference(update: ProgrammedUpdate, path: dict[str, Any]) -> str:
    """Return what a change of a programmed cell starts from; without the card's word, no path keeps targets unasked."""
    if update.reference != "auto":
        return update.reference
    return "cell" if class_of(UpdateChoice.model_validate(path)).formed_by_device else "target"


def _weight_scaling(given: float | None, recipe: Recipe, device: Device) -> float | None:
    default = None if device.bound is None else recipe.weight_scaling
    if given is None:
        return default
    if given:
        bound_to_fill(device)  # refuses a device that has none
    if given == 0 and default is None:
        return None  # as if it were empty: nothing would be scaled anyway
    return given


def _or(given: T | None, default: T) -> T:
    return default if given is None else given


def _check_rule(experiment: Experiment, rule: Rule, device: Device) -> None:
    name = experiment.rule.name
    if Knows.GRADIENT in rule.knows:
        _check_gradient_rule(experiment, device)
    elif experiment.rule.oracle:
        raise UsageError(f"rule.oracle: only bp and dbp ask a digital twin; {name} knows {rule.told}")
    if not rule.probes(2):
        _check_without_passes(experiment)
    if experiment.perturbation.auto_factor != 1 and experiment.perturbation.std != "auto":
        raise UsageError(
            "perturbation.auto_factor: multiplies what std auto chooses, and perturbation.std is a number; leave one "
            "of them out"
        )
    if experiment.perturbation.reference == "mean":
        _check_mean_reference(experiment, rule)
    if experiment.perturbation.antithetic:
        _check_antithetic(experiment, rule)
    if needs_injection(rule) and experiment.perturbation.std == 0:
        raise UsageError(
            f"perturbation.std: {name} learns from its own perturbation; give a std above 0, or auto"
        )


def _check_mean_reference(experiment: Experiment, rule: Rule) -> None:
    if not lives_on_noise(rule):
        raise UsageError(
            f"perturbation.reference: only anp and danp compare passes with their mean; {experiment.rule.name} knows "
            f"{rule.told}. Leave it at first"
        )
    if experiment.perturbation.passes < 2:
        raise UsageError(
            "perturbation.reference: about the mean, one noisy pass tells what it tells about the first; ask for two "
            "passes or more (perturbation.passes)"
        )


def _check_antithetic(experiment: Experiment, rule: Rule) -> None:
    name = experiment.rule.name
    if any(any(probe) for probe in rule.weight_probes(2)):
        raise UsageError(
            f"perturbation.antithetic: {name} perturbs weights, and only perturbed activities are negated; leave it out"
        )
    if Knows.GRADIENT in rule.knows or len(rule.probes(2)) != 1:
        raise UsageError(
            f"perturbation.antithetic: {name} has no one noisy pass to negate; leave it out, or use np or anp"
        )
    if experiment.perturbation.passes != 1:
        raise UsageError(
            "perturbation.antithetic: a pair is two passes, and more passes share a baseline, which costs less; leave "
            "perturbation.passes at 1"
        )


def _check_gradient_rule(experiment: Experiment, device: Device) -> None:
    name = experiment.rule.name
    if not (device.ideal or experiment.rule.oracle):
        raise UsageError(
            f"rule: {name} needs the gradient, and device '{experiment.device.name}' does not grant it. Use device "
            "'ideal', or ask a noise-free digital twin by name: --set rule.oracle=true"
        )


def _check_without_passes(experiment: Experiment) -> None:
    name = experiment.rule.name
    if experiment.perturbation.passes != 1:
        raise UsageError(f"perturbation.passes: {name} has no noisy pass; leave it at 1")
    if experiment.perturbation.std != "auto":
        raise UsageError(f"perturbation.std: {name} perturbs nothing; leave it at auto")
    if experiment.perturbation.auto_factor != 1:
        raise UsageError(f"perturbation.auto_factor: {name} perturbs nothing; leave it at 1")


def _task(card: TaskCard, task: Task) -> dict[str, Any]:
    """The card with the task's checked options, and with what names its code where it is not shipped."""
    own: dict[str, Any] = task.options_of(card).model_dump(mode="json", exclude_defaults=True)
    fixed = card.model_dump(include=set(TaskCard.model_fields))
    name = card.name if card.code_file is None else type(task).__name__
    return fixed | {"name": name, "code": code_of(type(task))} | own
