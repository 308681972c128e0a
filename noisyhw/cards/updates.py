"""The schema of how an update reaches the device: which path, and the options of the paths that there are.

The options' models lie here, beside the card that is composed of them; what they mean is said in
:mod:`noisyhw.updates`, where each class names its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticKnownError

from ..errors import UsageError
from ..foreign import Reference, reference
from ..registry import Registry
from .base import Card, Count, Fraction, Positive, Rate

AUTO = "auto"
KINDS: Registry[Any] = Registry("update path", home="noisyhw.updates", group="noisyhw.updates")
"""Known update paths by name, :class:`noisyhw.UpdatePath` each; filled there, so that cards load no tensors."""


class Options(Card):
    """Options of an update path; a path of one's own has a subclass."""

    @classmethod
    def refuse_elsewhere(cls, given: Any, path: str, instead: str | None, users: Sequence[str]) -> None:
        """Refuse these options where another path than theirs is asked for; nothing, if they may stand there.

        Args:
            given: has these options' fields.
            path: the other path.
            instead: what that path has in their place, as a fix; None: nothing.
            users: names of the paths that have these options.

        Raises:
            UsageError: they would change nothing.
        """


class AdamOptions(Options):
    """Of Adam; on other paths they are dropped: one run has one identity, whatever a sweep sets there."""

    beta1: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(0.9, description="adam")
    beta2: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(0.999, description="adam")
    epsilon: Positive = Field(1e-7, description="adam")


class MomentumOptions(Options):
    """Of paths that can run on a mean of past gradients."""

    momentum: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(
        0.0,
        description="sgd, mixed_precision: weight of the past in a running mean of the gradients; 0: none.",
    )

    @classmethod
    def refuse_elsewhere(cls, given: Any, path: str, instead: str | None, users: Sequence[str]) -> None:
        """Refuse momentum on a path without it (see :class:`Options`)."""
        if given.momentum:
            fix = instead or f"leave it at 0, or use {' or '.join(reversed(users))}"
            raise UsageError(f"update.momentum: path '{path}' has no such thing; {fix}")


class Transfer(Card):
    """tiki_taka, tiki_taka_v2, c_ttv2, agad: how what the fast array has gathered reaches the slow one."""

    rate: Rate = Field(
        0.01, description="Share of a fast cell's read-out that a transfer adds to the slow cell."
    )
    every: Count = Field(1, description="Updates from one transfer to the next.")
    columns: Count | None = Field(
        None,
        description="Columns read at a transfer, in turn; empty: all (the papers read one after a few samples).",
    )
    zero_shift: Annotated[int, Field(strict=True, ge=2)] | None = Field(
        None,
        description="Pairs of pulses, up and down, that measure the fast cells' symmetry points before training; "
        "these are then subtracted from every read-out. Empty: not measured, zero.",
    )
    forget_buffer: bool = Field(
        False,
        description="tiki_taka_v2, c_ttv2, agad: whether what is left of a sum after its pulses is dropped, as in "
        "aihwkit by default, or kept.",
    )
    chop_probability: Fraction | None = Field(
        None,
        description="c_ttv2, agad: chance that a column's chopper flips after it was read; empty in c_ttv2: 0.1, "
        "unless it flips regularly.",
    )
    chop_every: Count | None = Field(
        None,
        description="c_ttv2, agad: read-outs of a column from one flip of its chopper to the next, in place of a "
        "chance; empty in agad: 10, unless it flips at random.",
    )
    reference: Literal["recent", "period"] | None = Field(
        None,
        description="agad: what becomes the reference at a flip. recent: a running mean of the read-outs, which weighs "
        "the last ones most; period: the plain mean of those since the last flip. Empty there: recent.",
    )
    reference_rate: Annotated[float, Field(strict=True, gt=0, le=1)] | None = Field(
        None,
        description="agad: weight of a read-out in the running mean; empty there: 5 over the mean number of read-outs "
        "from flip to flip, at most 1.",
    )
    significance: Positive | None = Field(
        None,
        description="agad: a read-out counts only where the cell's mean is this many standard errors from its "
        "reference; empty: always.",
    )

    @model_validator(mode="after")
    def _one_chopper(self) -> Self:
        if self.chop_probability is not None and self.chop_every is not None:
            raise ValueError("'chop_every' takes the place of 'chop_probability'; leave one of them out")
        if self.reference == "period" and self.reference_rate is not None:
            raise ValueError(
                "'reference_rate' is of the running mean; leave it out, or set 'reference: recent'"
            )
        return self


class TransferOptions(Options):
    """Of paths that gather on a fast array and transfer from it."""

    transfer: Transfer | None = Field(None, description="The tiki_taka family; empty there: the defaults.")

    @classmethod
    def refuse_elsewhere(cls, given: Any, path: str, instead: str | None, users: Sequence[str]) -> None:
        """Refuse a transfer on a path without one (see :class:`Options`)."""
        if given.transfer is not None:
            fix = instead or f"leave it out, or use one of {', '.join(users)}"
            raise UsageError(f"update.transfer: path '{path}' transfers nothing; {fix}")


SHARED: tuple[type[Options], ...] = (AdamOptions, MomentumOptions, TransferOptions)
"""Options that stand beside ``path`` by their own names, whichever path is chosen."""


class _Path(Card):
    """Which path, and its rate."""

    path: str = Field(
        AUTO,
        description="auto: mixed_precision where the card writes by pulses or programming, else adam. "
        "./my_update.py:Mine: a class in a file.",
        json_schema_extra=lambda schema: schema.update(_path_schema()),
    )
    learning_rate: Rate | None = Field(None, description="Empty: the task's, for this path.")

    @field_validator("path", mode="after")
    @classmethod
    def _known(cls, path: str) -> str:
        where = reference(path)
        if where is not None:
            return written(where)
        if path != AUTO and path not in KINDS:
            names = [repr(name) for name in (*KINDS, AUTO)]
            expected = f"{', '.join(names[:-1])} or {names[-1]}"
            raise PydanticKnownError("literal_error", {"expected": expected})
        return path


class UpdateChoice(TransferOptions, MomentumOptions, AdamOptions, _Path):
    """How an update reaches the device."""

    options: dict[str, Any] = Field(
        {}, description="Options of a path that is not shipped; they may stand beside 'path' as well."
    )
    code: str = Field("", description="Filled in: names the code of a path that is not shipped.")

    @model_validator(mode="before")
    @classmethod
    def _own_options(cls, given: Any) -> Any:
        """Gather what stands beside a path that is not shipped and is no field here; its class checks it later."""
        if not isinstance(given, dict) or not _is_foreign(given.get("path")):
            return given
        own = {key: value for key, value in given.items() if key not in cls.model_fields}
        options = given.get("options") or {}
        if not own or not isinstance(options, dict):
            return given
        own = options | {key: value for key, value in own.items() if value is not None}
        if given["path"] in KINDS:
            KINDS[given["path"]].options.model_validate(own)
        return {key: value for key, value in given.items() if key in cls.model_fields} | {"options": own}

    @model_validator(mode="after")
    def _options_of_a_foreign_path(self) -> Self:
        if self.options and not _is_foreign(self.path):
            raise ValueError(f"'options' are of paths that are not shipped; '{self.path}' has its own fields")
        return self

    @property
    def formed_by_device(self) -> bool:
        """Whether the device itself forms the outer products, so that their physics matters; of a file's path: yes."""
        if self.path == AUTO:
            return False
        return self.path not in KINDS or bool(KINDS[self.path].formed_by_device)

    @property
    def file(self) -> Reference | None:
        """The file that the path's class is in; None: it is known by its name."""
        return reference(self.path)


def written(where: Reference) -> str:
    """Return a class in a file as a card writes it, with the whole path."""
    return str(where.file) if where.name is None else f"{where.file}:{where.name}"


def _is_foreign(path: Any) -> bool:
    """Whether a path is of a file or another package: it has options that this card does not know."""
    if not isinstance(path, str):
        return False
    return reference(path) is not None or (path in KINDS and KINDS[path].options not in (Options, *SHARED))


def _path_schema() -> dict[str, Any]:
    file = {"pattern": r"\.py(:\w+)?$", "type": "string"}
    known = {"enum": list(KINDS), "type": "string"}
    return {"anyOf": [known, {"const": AUTO, "type": "string"}, file], "type": "string"}
