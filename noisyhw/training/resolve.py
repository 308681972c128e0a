"""Filling in what an experiment leaves open, and refusing what contradicts itself."""

from __future__ import annotations

from typing import TypeVar

from ..cards.device import ProgrammedUpdate
from ..cards.experiment import (
    FORMED_BY_THE_DEVICE,
    MOMENTUM_PATHS,
    TRANSFER_PATHS,
    TRANSFER_USERS,
    Experiment,
    TaskCard,
    Transfer,
    UpdateChoice,
)
from ..chip.build import bound_to_fill
from ..devices.device import Device
from ..errors import UsageError
from ..rules import Knows, Rule, get_rule
from ..tasks import Task, get_task
from ..tasks.base import Recipe

T = TypeVar("T")

ADAM_DEFAULTS = UpdateChoice().model_dump(include={"beta1", "beta2", "epsilon"})
"""Other paths have no such thing: one run has one identity, whatever a sweep sets there."""


def resolve(experiment: Experiment) -> Experiment:
    """Return the experiment with every empty field filled from its task's recipe.

    Raises:
        UsageError: the rule asks for more than the device grants, or a setting would change nothing.
    """
    task, device = get_task(experiment.task.name), Device(experiment.device)
    rule, decorrelated = get_rule(experiment.rule.name)
    _check_rule(experiment, rule, device)
    _check_task(experiment.task, task)
    if experiment.decorrelation.on == "tile" and not decorrelated:
        raise UsageError(
            f"decorrelation.on: {rule.name} does not decorrelate; leave it at digital, or use d{rule.name}"
        )
    if experiment.decorrelation.mean_rate and not decorrelated:
        raise UsageError(
            f"decorrelation.mean_rate: {rule.name} does not decorrelate; leave it at 0, or use d{rule.name}"
        )
    path = experiment.update.path
    if path == "auto":
        path = device.default_path()
    device.check_path(path)
    if experiment.update.momentum and path not in MOMENTUM_PATHS:
        raise UsageError(_no_momentum(path))
    transfer = _transfer(experiment.update.transfer, path)
    recipe = task.recipe
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
            "hidden": _or(experiment.network.hidden, recipe.hidden),
            "weight_scaling": _weight_scaling(experiment.network.weight_scaling, recipe, device),
        },
        "loss": loss,
        "decorrelation": {"rate": _or(rate, recipe.decorrelation_rate) if decorrelated else None},
        "update": {
            "path": path,
            "learning_rate": _or(experiment.update.learning_rate, recipe.learning_rate[path]),
            "transfer": transfer,
        }
        | ({} if path == "adam" else ADAM_DEFAULTS),
        "batch": _or(experiment.batch, recipe.batch),
        "epochs": _or(experiment.epochs, recipe.epochs),
    }
    content = experiment.model_dump()
    for key, value in filled.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    if isinstance(experiment.device.update, ProgrammedUpdate):
        content["device"]["update"]["reference"] = _reference(experiment.device.update, path)
    return Experiment.model_validate(content)


def _reference(update: ProgrammedUpdate, path: str) -> str:
    """Return what a change of a programmed cell starts from; without the card's word, no path keeps targets unasked."""
    if update.reference != "auto":
        return update.reference
    return "cell" if path in FORMED_BY_THE_DEVICE else "target"


def _weight_scaling(given: float | None, recipe: Recipe, device: Device) -> float | None:
    default = None if device.bound is None else recipe.weight_scaling
    if given is None:
        return default
    if given:
        bound_to_fill(device)  # refuses a device that has none
    if given == 0 and default is None:
        return None  # as if it were empty: nothing would be scaled anyway
    return given


def _no_momentum(path: str) -> str:
    fix = "set beta1" if path == "adam" else f"leave it at 0, or use {' or '.join(MOMENTUM_PATHS)}"
    return f"update.momentum: path '{path}' has no such thing; {fix}"


def _or(given: T | None, default: T) -> T:
    return default if given is None else given


def _transfer(given: Transfer | None, path: str) -> Transfer | None:
    """Return a transfer where the path has one."""
    if path in TRANSFER_PATHS:
        _check_transfer(given or Transfer(), path)
        return (given or Transfer()).filled(path)
    if given is not None:
        raise UsageError(
            f"update.transfer: path '{path}' transfers nothing; leave it out, or use one of "
            + ", ".join(TRANSFER_PATHS)
        )
    return None


def _check_transfer(given: Transfer, path: str) -> None:
    for field, users in TRANSFER_USERS.items():
        if getattr(given, field) not in (None, False) and path not in users:
            raise UsageError(
                f"update.transfer.{field}: path '{path}' has no such thing; leave it out, or use {', '.join(users)}"
            )
    if path == "agad":
        _check_reference(given)


def _check_reference(given: Transfer) -> None:
    if given.zero_shift is not None:
        raise UsageError(
            "update.transfer.zero_shift: agad finds its reference while it trains; leave it out, or use c_ttv2"
        )
    if given.chop_probability == 0:
        raise UsageError(
            "update.transfer.chop_probability: agad learns from flips; give a chance above 0, or use tiki_taka_v2"
        )
    filled = given.filled("agad")
    always = filled.chop_every == 1 or filled.chop_probability == 1
    single = always if filled.reference == "period" else filled.reference_rate == 1
    if given.significance is not None and single:
        raise UsageError(
            "update.transfer.significance: a mean of one read-out has no standard error; "
            + ("flip less often" if filled.reference == "period" else "give a reference_rate below 1")
        )


def _check_rule(experiment: Experiment, rule: Rule, device: Device) -> None:
    name = experiment.rule.name
    if rule.knows is Knows.GRADIENT:
        _check_gradient_rule(experiment, device)
    elif experiment.rule.oracle:
        raise UsageError(f"rule.oracle: only bp and dbp ask a digital twin; {name} knows {rule.knows.value}")
    if experiment.perturbation.auto_factor != 1 and experiment.perturbation.std != "auto":
        raise UsageError(
            "perturbation.auto_factor: multiplies what std auto chooses, and perturbation.std is a number; leave one "
            "of them out"
        )
    if experiment.perturbation.reference == "mean":
        _check_mean_reference(experiment, rule)
    if experiment.perturbation.antithetic:
        _check_antithetic(experiment, rule)
    if rule.knows is Knows.INJECTED and experiment.perturbation.std == 0:
        raise UsageError(
            f"perturbation.std: {name} learns from its own perturbation; give a std above 0, or auto"
        )


def _check_mean_reference(experiment: Experiment, rule: Rule) -> None:
    if rule.knows is not Knows.ACTIVITIES:
        raise UsageError(
            f"perturbation.reference: only anp and danp compare passes with their mean; {experiment.rule.name} knows "
            f"{rule.knows.value}. Leave it at first"
        )
    if experiment.perturbation.passes < 2:
        raise UsageError(
            "perturbation.reference: about the mean, one noisy pass tells what it tells about the first; ask for two "
            "passes or more (perturbation.passes)"
        )


def _check_antithetic(experiment: Experiment, rule: Rule) -> None:
    name = experiment.rule.name
    if rule.knows is Knows.GRADIENT or len(rule.probes(2)) != 1:
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
    if experiment.perturbation.passes != 1:
        raise UsageError(f"perturbation.passes: {name} has no noisy pass; leave it at 1")
    if experiment.perturbation.std != "auto":
        raise UsageError(f"perturbation.std: {name} perturbs nothing; leave it at auto")
    if experiment.perturbation.auto_factor != 1:
        raise UsageError(f"perturbation.auto_factor: {name} perturbs nothing; leave it at 1")


def _check_task(card: TaskCard, task: Task) -> None:
    plain = TaskCard(name=card.name)
    for option in ("split", "scaling", "folds"):
        if getattr(card, option) != getattr(plain, option) and option not in task.options:
            raise UsageError(f"task.{option}: task '{task.name}' has no such option; leave it out")
