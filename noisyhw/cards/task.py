"""The schema of a task: which one, where its file lies, and beside these the options that its own class brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..foreign import Reference, reference
from .base import Card
from .data_file import FileOptions
from .registered import TASKS
from .task_options import TaskOptions, options_error

OWN = "arrays"
"""What a run's identity calls every task of somebody's own data."""
FORMERLY: Mapping[str, Any] = {"split": "usual", "scaling": "standard"}
"""Defaults that the config of an older run says, whatever its task; a task without such options heeds none."""


def named(value: Any) -> Any:
    """``task: digits`` is short for ``task: {name: digits}``."""
    return {"name": value} if isinstance(value, str) else value


class TaskCard(Card):
    """Which task, and its own options beside these."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: str = Field("digits", description="Of a shipped task or a plug-in's, or of a class in the file.")
    file: str | None = Field(None, description="A file of data, or a Python file with the task's class.")
    version: str = Field(
        "", description="Filled in for data that were given as an object: names their content."
    )
    code: str = Field("", description="Filled in: names the content of a task that is not shipped.")
    held_out: Annotated[float, Field(strict=True, gt=0, lt=1)] | None = Field(
        None,
        description="Share of the training samples that are not trained on and take the place of the test samples, "
        "which are then not looked at: for choosing settings. Empty: train on all and test on the test samples.",
    )

    _short = model_validator(mode="before")(staticmethod(named))

    @property
    def options(self) -> dict[str, Any]:
        """The task's own options, as the card says them."""
        return dict(self.model_extra or {})

    @property
    def code_file(self) -> Reference | None:
        """The Python file with the task's class; None: it is known by its name, or its data lie in a file."""
        where = None if self.file is None else reference(self.file)
        return None if where is None else Reference(where.file, self.name or None)

    @property
    def data_file(self) -> Path | None:
        """The file with the data; None: the task has a class that knows where they are."""
        return None if self.file is None or self.code_file is not None else Path(self.file)

    @property
    def is_own(self) -> bool:
        """Whether the data are somebody's own, given as an object or in a file."""
        return bool(self.version) or self.data_file is not None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        """Drop options that are null: so they take their default, as all fields do."""
        if not isinstance(given, dict):
            return given
        own = given.keys() - cls.model_fields.keys()
        heeded = {key: value for key, value in given.items() if key not in own or value is not None}
        model = _options_of(given)
        if model is None:
            return heeded
        return {key: value for key, value in heeded.items() if not _said_by_an_older_run(key, value, model)}

    @model_validator(mode="after")
    def _options_of_its_own(self) -> TaskCard:
        """Check the options by the model of the task's class; code in a file is not run for it (see `resolve`)."""
        model = _options_of(self.model_dump()) if self.options else None
        error = None if model is None else options_error(model, self.options, self.name)
        if error is not None:
            raise error
        return self


def _options_of(given: Mapping[str, Any]) -> type[BaseModel] | None:
    """The model of a task's options, where it can be told from a card alone; None: it cannot."""
    file, name = given.get("file"), given.get("name", "digits")
    if isinstance(file, str):
        return None if reference(file) is not None else FileOptions
    if given.get("version"):
        return TaskOptions
    if given.keys() <= TaskCard.model_fields.keys() or not isinstance(name, str) or name not in TASKS:
        return None
    model: type[BaseModel] = TASKS[name].options_model
    return model


def _said_by_an_older_run(key: str, value: Any, model: type[BaseModel]) -> bool:
    return key not in model.model_fields and key in FORMERLY and value == FORMERLY[key]
