"""Options of a task's own: how its class says which there are, and what is told of a wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails

from .base import Card

BESIDE = ("name", "file", "held_out")
"""Fields that every task's card has beside the options."""


class TaskOptions(Card):
    """Options of a task's own, checked like a card; a task without any has this."""

    def for_seed(self, seed: int) -> TaskOptions:
        """Return the options as a run of that seed has them: other ones where its samples follow from the seed."""
        return self


def options_error(model: type[BaseModel], given: Mapping[str, Any], task: str) -> ValidationError | None:
    """Return what is wrong with a task's options; None: they are as their model says.

    Args:
        model: of the task's class.
        given: option -> value.
        task: its name, for messages.
    """
    try:
        model.model_validate(dict(given))
    except ValidationError as error:
        findings = [_finding(one, model, task) for one in error.errors(include_url=False)]
        return ValidationError.from_exception_data("task", findings)
    return None


def _finding(one: Any, model: type[BaseModel], task: str) -> InitErrorDetails:
    kind, context = one["type"], one.get("ctx", {})
    if kind == "extra_forbidden" and len(one["loc"]) == 1:
        kind, context = "value_error", {"error": ValueError(_no_such(str(one["loc"][0]), model, task))}
    return {"type": kind, "loc": one["loc"], "input": one["input"], "ctx": context}


def _no_such(option: str, model: type[BaseModel], task: str) -> str:
    choices = [*model.model_fields, *BESIDE]
    near = get_close_matches(option, choices, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "leave it out."
    return f"task '{task}' has no such option; {hint} Choices: {', '.join(choices)}"
