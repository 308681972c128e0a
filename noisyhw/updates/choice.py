"""From a card's choice to the class of an update path, with its options checked and filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from .. import foreign
from ..cards.updates import AUTO, SHARED, UpdateChoice, written
from ..errors import UsageError
from ..tiles.base import Tile
from . import PATHS
from .base import UpdatePath

if TYPE_CHECKING:
    from ..device import Device

OWN = ("path", "learning_rate", "options", "code")
"""Fields of a choice that are no path's options."""


def class_of(choice: UpdateChoice) -> type[UpdatePath]:
    """Return the class that a card asks for.

    Raises:
        UsageError: its file may not run or has no such class, or its code is not that of the run.
    """
    base: Any = UpdatePath
    kind: type[UpdatePath] = (
        PATHS[choice.path] if choice.file is None else foreign.load(choice.file, base, "update")
    )
    if choice.code and choice.code != foreign.code_of(kind):
        raise UsageError(
            f"update: the code of {kind.__name__} has changed since this run began; put it back, or start again with "
            "--fresh"
        )
    return kind


def options_of(choice: UpdateChoice, kind: type[UpdatePath]) -> Any:
    """Return the class's own options as the card says them.

    Raises:
        UsageError: they do not fit the class's model.
    """
    shared = {
        name: getattr(choice, name)
        for name in kind.options.model_fields.keys() & (UpdateChoice.model_fields.keys() - set(OWN))
        if getattr(choice, name) != UpdateChoice.model_fields[name].default
    }
    try:
        return kind.options.model_validate(shared | choice.options)
    except ValidationError as error:
        raise UsageError(_told(error, kind)) from None


def make_path(tile: Tile, rate: float, choice: UpdateChoice) -> UpdatePath:
    """Return the update path of a tile, as a resolved choice says."""
    kind = class_of(choice)
    return kind(tile, rate, options_of(choice, kind))


def resolved(choice: UpdateChoice, device: Device, rates: Mapping[str, float]) -> dict[str, Any]:
    """Return the fields of a choice with everything filled in; what other paths alone have is at its default.

    Args:
        choice: as the card says.
        device: of the run.
        rates: the task's, by path.

    Raises:
        UsageError: the path and its options contradict each other, or cannot be carried out on the device.
    """
    path = device.default_path() if choice.path == AUTO else choice.path
    choice = choice.model_copy(update={"path": path})
    kind = class_of(choice)
    device.check_path(path)
    for shared in SHARED:
        if not issubclass(kind.options, shared):
            _refuse_elsewhere(shared, choice, kind)
    options = options_of(choice, kind)
    kind.check(options, device)
    own = kind.filled(options).model_dump(exclude_defaults=True)
    fields = {name: own.pop(name) for name in own.keys() & (UpdateChoice.model_fields.keys() - set(OWN))}
    rate = rate_for(kind, rates) if choice.learning_rate is None else choice.learning_rate
    if choice.file is not None:
        path = written(foreign.Reference(choice.file.file, kind.__name__))
    return {
        "path": path,
        "learning_rate": rate,
        "options": own,
        "code": foreign.code_of(kind),
        **{name: value.model_fields[name].default for value in SHARED for name in value.model_fields},
        **fields,
    }


def rate_for(kind: type[UpdatePath], rates: Mapping[str, float]) -> float:
    """Return a task's learning rate for a path: its own, or that of the first known path of the same family.

    Raises:
        UsageError: there is neither.
    """
    family = [name for name, one in PATHS.items() if one.family == kind.family]
    known = [] if PATHS.get(getattr(kind, "name", "")) is not kind else [kind.name]
    for name in (*known, *family):
        if name in rates:
            return rates[name]
    raise UsageError(f"update.learning_rate: the task has none for paths like {kind.__name__}; give one")


def _refuse_elsewhere(shared: Any, choice: UpdateChoice, kind: type[UpdatePath]) -> None:
    users = [name for name, one in PATHS.items() if issubclass(one.options, shared)]
    instead = next((kind.instead[name] for name in shared.model_fields if name in kind.instead), None)
    shared.refuse_elsewhere(choice, getattr(kind, "name", kind.__name__), instead, users)


def _told(error: ValidationError, kind: type[UpdatePath]) -> str:
    """All findings, a line each."""
    lines = []
    for found in error.errors(include_url=False):
        field = ".".join(map(str, ("update", *found["loc"])))
        if found["type"] == "extra_forbidden":
            choices = ", ".join(kind.options.model_fields) or "none"
            lines.append(f"{field}: {kind.__name__} has no such option; choices: {choices}")
        else:
            lines.append(f"{field}: {found['msg'].removeprefix('Value error, ')}, got {found['input']!r}")
    return "\n".join(lines)
