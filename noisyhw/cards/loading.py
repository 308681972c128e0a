"""Finding cards, merging them with what they extend, with options and with ``--set``, and checking them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import CardError, choose
from ..foreign import allow, reference
from . import plugged, shipped
from .data_file import PATHS, is_data_file, stem
from .device import DeviceCard
from .experiment import Experiment
from .kinds import MODELS, Family, belongs_elsewhere, other_kind
from .messages import Block, at, choose_block, inner_blocks, validation_error
from .sweep import SweepCard
from .updates import written
from .yaml_lines import Located, located, parse, read_mapping, shorten, shown, shown_path

Setting: TypeAlias = tuple[list[str], Located]
Model = TypeVar("Model", bound=BaseModel)

_SHORT = ("task", "rule")
_TASK = ("task", "task.name", "task.file")
NAMES_CODE = ("rule", "rule.name", "rule.file", "update.path", "network.module", *_TASK)
"""Fields that may name a file with code."""
NAMES_DATA = (*_TASK, *(f"task.{option}" for option in PATHS))
"""Fields that may name a file with data."""


def load_device(name_or_path: str | Path, sets: Sequence[str] = ()) -> DeviceCard:
    """Return a checked device card.

    Args:
        name_or_path: a shipped device's name, or a path (with a separator or ending in .yaml or .yml).
        sets: ``key.path=value``, laid over the card.

    Raises:
        CardError: there is no such card, or it (with what it extends, and ``sets``) is wrong.
    """
    card = _read("device", _reference(name_or_path), Path(), ())
    return _checked(DeviceCard, _lay_over(card, _overlay(map(setting, sets))))


def load_experiment(
    path: str | Path | None = None,
    options: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
) -> Experiment:
    """Return a checked experiment; ``sets`` win over ``options``, and these over the file.

    Args:
        path: a card's path, or a shipped experiment's name; None: only options and sets.
        options: dotted key -> value, e.g. ``{"device": "rram", "rule.name": "danp"}``; None is left out.
        sets: ``key.path=value``.

    Raises:
        CardError: a card is not there, or the outcome is wrong.
    """
    empty = Located({}, "experiment")
    card = empty if path is None else _read("experiment", _reference(path), Path(), ())
    given = [_option(key, value) for key, value in (options or {}).items() if value is not None]
    card = _lay_over(card, _overlay(given, expand=True))
    return _checked(Experiment, _lay_over(card, _overlay(map(setting, sets), expand=True)))


def read_sweep(card: str | Path | Mapping[str, object]) -> tuple[SweepCard, Located, Path | None]:
    """Return a checked sweep card, the tree that it was written as, and its file (None: it was a mapping).

    Raises:
        CardError: there is no such card, or it is wrong; what a field's values mean is seen only in planning.
    """
    if isinstance(card, Mapping):
        path, tree = None, located(card, "")
    else:
        path = _find("sweep", _reference(card), Path())
        tree = _of_kind("sweep", read_mapping(path), path)
    return _checked(SweepCard, tree), tree, path


def read_base(node: Located | None, folder: Path) -> Located:
    """Return the tree of what all runs of a sweep share: of a named card, or of fields (with ``extends``)."""
    if node is None or node.value is None:
        return Located({}, "experiment")
    if isinstance(node.value, str):
        return _read("experiment", node, folder, ())
    if not isinstance(node.value, dict):
        raise CardError(at(node.origin, f"experiment: must be a name, a path or fields, got {shown(node)}"))
    return _inherited("experiment", _expanded(node, folder), folder, ())


def checked_experiment(tree: Located) -> Experiment:
    """Return the experiment that a tree says.

    Raises:
        CardError: it is wrong.
    """
    return _checked(Experiment, tree)


def checked_device(tree: Located) -> DeviceCard:
    """Return the device card that a tree says.

    Raises:
        CardError: it is wrong.
    """
    return _checked(DeviceCard, tree)


def overlaid(tree: Located, sets: Sequence[str]) -> Located:
    """Return a card's tree with ``key.path=value`` laid over it.

    Raises:
        CardError: one of ``sets`` is not of that form.
    """
    return _lay_over(tree, _overlay(map(setting, sets)))


def known_devices() -> dict[str, Path]:
    """Return the cards that a name can stand for: the shipped ones and those of plug-ins, name -> path."""
    return shipped.shipped_devices() | plugged.device_cards()


def _reference(name_or_path: str | Path) -> Located:
    """A Path is a path even without a separator; a string may be a name."""
    is_name = isinstance(name_or_path, str)
    return Located(str(name_or_path) if is_name else os.path.join(os.curdir, name_or_path), "")


def _is_path(text: str) -> bool:
    return Path(text).name != text or text.endswith((".yaml", ".yml"))


def _find(family: Family, reference: Located, folder: Path) -> Path:
    text = reference.value
    if not isinstance(text, str):
        raise CardError(at(reference.origin, f"a {family} is a name or a path, got {shown(reference)}"))
    if text and _is_path(text):
        return folder / text
    known = _known(family)
    if text not in known:
        other = next((one for one in MODELS if text in _known(one)), None)
        told = f"{choose(family, text, list(known))}; or a path to a .yaml file"
        told = told if other is None else f"'{text}' {belongs_elsewhere(family, other)}"
        raise CardError(at(reference.origin, told))
    return known[text]


def _of_kind(family: Family, card: Located, path: Path) -> Located:
    other = other_kind(family, card.entries)
    if other is not None:
        raise CardError(f"{shown_path(path)}: {belongs_elsewhere(family, other)}")
    return card


def _known(family: Family) -> dict[str, Path]:
    if family == "device":
        return known_devices()
    return shipped.shipped_sweeps() if family == "sweep" else shipped.shipped_experiments()


def _read(family: Family, reference: Located, folder: Path, trail: tuple[Path, ...]) -> Located:
    """Read the card that ``reference``, written in ``folder``, names, and merge it with what it extends.

    Args:
        family: what kind of card it is.
        reference: a name or path, and where it was written.
        folder: what a relative path is relative to.
        trail: the cards that extend this one.
    """
    path = _find(family, reference, folder)
    real = _real(path)
    if real in trail:
        circle = " -> ".join(shown_path(step) for step in (*trail[trail.index(real) :], real))
        raise CardError(at(reference.origin, f"extends: goes in a circle: {circle}"))
    try:
        card = _of_kind(family, read_mapping(path), path)
    except CardError as error:
        raise CardError(at(reference.origin, str(error))) from None
    card = _named(card, path) if family == "device" else _expanded(card, path.parent)
    return _inherited(family, card, path.parent, (*trail, real))


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return path


def _inherited(family: Family, card: Located, folder: Path, trail: tuple[Path, ...]) -> Located:
    entries = dict(card.entries)
    extends = entries.pop("extends", None)
    if extends is None or extends.value is None:
        return replace(card, value=entries)
    parent = _read(family, extends, folder, trail)
    return merged(parent, replace(card, value=entries))


def _named(card: Located, path: Path) -> Located:
    """A device card without a name is called after its file."""
    name = card.entries.get("name")
    if name is not None and name.value is not None:
        return card
    return replace(card, value={**card.entries, "name": Located(path.stem, card.origin)})


def _expanded(card: Located, folder: Path) -> Located:
    """Write out an experiment's short forms: ``task: digits``, ``rule: danp``, ``device: rram``."""
    entries = dict(card.entries)
    for key in _SHORT:
        if key in entries and isinstance(entries[key].value, str):
            entries[key] = Located({"name": entries[key]}, entries[key].origin)
    for block, field in (("update", "path"), ("network", "module")):
        if block in entries:
            entries[block] = _with_path(entries[block], field, folder)
    if "rule" in entries:
        entries["rule"] = _with_file(entries["rule"], folder)
    if "task" in entries:
        entries["task"] = _task(entries["task"], folder)
    if "device" in entries:
        entries["device"] = _device(entries["device"], folder)
    return replace(card, value=entries)


def _task(task: Located, folder: Path) -> Located:
    """Data that were given replace another task as a whole; a name or a file also says that it is no data given."""
    if "version" in task.entries:
        return replace(task, whole=True)
    fields = {key: _data_path(key, node, folder) for key, node in task.entries.items()}
    name, file = fields.get("name"), fields.get("file")
    if name is None and file is None:
        return replace(task, value=fields) if fields else task
    fields |= _in_file(name, file, folder)
    nothing = Located(None, task.origin)
    return replace(task, value={"version": nothing, "file": nothing, "code": nothing, **fields})


def _in_file(name: Located | None, file: Located | None, folder: Path) -> dict[str, Located]:
    """``task: ./data.csv`` and ``task: ./my_task.py:MyTask`` are short for a file and a name."""
    source = name if file is None else file
    if source is None or not isinstance(source.value, str):
        return {}
    code = reference(source.value, folder)
    if code is not None:
        found, called = str(code.file), code.name or ""
    elif file is not None or is_data_file(source.value):
        found = os.path.abspath(folder / Path(source.value).expanduser())
        called = stem(found)
    else:
        return {}
    said = None if name is None or name is source or (code is not None and code.name) else name.value
    return {"file": Located(found, source.origin), "name": Located(said or called, source.origin)}


def _data_path(key: str, node: Located, folder: Path) -> Located:
    """A further file of data is relative to the card that names it."""
    if key not in PATHS or not isinstance(node.value, str) or not is_data_file(node.value):
        return node
    return replace(node, value=os.path.abspath(folder / Path(node.value).expanduser()))


def _with_path(block: Located, field: str, folder: Path) -> Located:
    """A class's file, ``path: ./my_update.py:Mine``, is relative to the card that names it."""
    path = block.entries.get(field) if isinstance(block.value, dict) else None
    if path is None or not isinstance(path.value, str):
        return block
    where = reference(path.value, folder)
    if where is None:
        return block
    return replace(block, value={**block.entries, field: Located(written(where), path.origin)})


def _with_file(rule: Located, folder: Path) -> Located:
    """``rule: ./my_rule.py:MyRule`` is short for a file and a name; the file is relative to its card."""
    if not isinstance(rule.value, dict):
        return rule
    fields = dict(rule.value)
    name, file = fields.get("name"), fields.get("file")
    if name is not None and isinstance(name.value, str) and (where := reference(name.value, folder)):
        fields["file"] = Located(str(where.file), name.origin)
        fields["name"] = Located(where.name or "", name.origin)
    elif file is not None and isinstance(file.value, str):
        fields["file"] = Located(os.path.abspath(folder / Path(file.value).expanduser()), file.origin)
    if not {"name", "file", "object"} & fields.keys():
        return replace(rule, value=fields)
    return replace(rule, value=fields, named_by=("name", "file", "object"), common=("oracle", "decorrelate"))


def _device(device: Located, folder: Path) -> Located:
    """A named device, or a mapping that extends one, replaces another device as a whole."""
    if isinstance(device.value, str):
        return replace(_read("device", device, folder, ()), whole=True)
    if "extends" in device.entries:
        return replace(_inherited("device", device, folder, ()), whole=True)
    return device


def merged(base: Located, top: Located) -> Located:
    """Lay ``top`` over ``base``: mappings merge, all else replaces, and so does a mapping of another kind."""
    if not isinstance(base.value, dict) or not isinstance(top.value, dict) or top.whole:
        return top
    if _is_another_task(base, top) or _is_another_kind(base, top):
        return top
    entries = dict(base.value)
    if _of_another(base, top):
        entries = {key: value for key, value in entries.items() if key in top.common}
    for key, value in top.value.items():
        entries[key] = merged(entries[key], value) if key in entries else value
    return Located(entries, top.origin, base.whole, top.named_by or base.named_by, top.common or base.common)


def _of_another(base: Located, top: Located) -> bool:
    """Whether both say what they are of, and it is not the same."""
    one, other = (
        [block.entries[field].value if field in block.entries else None for field in top.named_by]
        for block in (base, top)
    )
    return any(value is not None for value in one) and one != other


def _is_another_task(base: Located, top: Located) -> bool:
    """Whether a task that is known by its name is laid over one in a file, or the other way round."""
    if not {"version", "file"} <= top.entries.keys() or "version" not in base.entries:
        return False  # one of them names no task at all: it says options
    below = base.entries.get("file")
    return (top.entries["file"].value is None) != (below is None or below.value is None)


def _is_another_kind(base: Located, top: Located) -> bool:
    """Whether both are blocks that have a kind, say of cells, and these differ; a task's kind is a mere option."""
    kinds = [node.entries["kind"].value for node in (base, top) if "kind" in node.entries]
    return len(kinds) == 2 and kinds[0] != kinds[1] and "file" not in base.entries


def _lay_over(card: Located, overlay: Located) -> Located:
    """Merge options or sets into a card, which stays the origin of the whole."""
    return replace(merged(card, overlay), origin=card.origin)


def _overlay(settings: Iterable[Setting], expand: bool = False) -> Located:
    """Gather settings into one tree, the short keys first: ``device`` before ``device.read_noise.mean``."""
    tree = Located({}, "")
    for keys, node in sorted(settings, key=lambda setting: len(setting[0])):
        tree = merged(tree, nested(keys, node, Path() if expand else None))
    return tree


def nested(keys: Sequence[str], node: Located, folder: Path | None) -> Located:
    """Return the tree that holds ``node`` at the path ``keys``, short forms of an experiment written out.

    Args:
        keys: e.g. ``["device", "read_noise", "mean"]``.
        node: the value.
        folder: what a device's relative path is relative to; None: leave short forms as they are.
    """
    for key in reversed(keys):
        node = Located({key: node}, node.origin)
    return node if folder is None else _expanded(node, folder)


def _option(key: str, value: object) -> Setting:
    flag = key.removesuffix(".name").replace("_", "-")
    keys = key.split(".")
    return keys, _named_file(keys, located(value, f"option {key}" if "." in flag else f"option --{flag}"))


def setting(text: str) -> Setting:
    """Return what ``key.path=value`` sets.

    Raises:
        CardError: it is not of that form.
    """
    origin = shorten(f"--set {text}")
    key, equals, written = text.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise CardError(f"{origin}: write it as key.path=value, e.g. --set epochs=5")
    value = parse(written, origin, lines=False)
    if value is None:
        raise CardError(f"{origin}: no value after '='; null stands for the default")
    return keys, _named_file(keys, value)


def _named_file(keys: Sequence[str], value: Located) -> Located:
    """What a person names by hand may run, and is relative to where they are."""
    field = ".".join(keys)
    if not isinstance(value.value, str):
        return value
    where = reference(value.value) if field in NAMES_CODE else None
    if where is not None:
        allow(where.file)
        return replace(value, value=written(where))
    if field in NAMES_DATA and (is_data_file(value.value) or field == "task.file"):
        return replace(value, value=os.path.abspath(Path(value.value).expanduser()))
    return value


def _checked(model: type[Model], tree: Located) -> Model:
    tree = _without_nulls(tree, (model,)) if _has_null(tree) else tree
    try:
        return model.model_validate(tree.plain())
    except ValidationError as error:
        raise validation_error(error, model, tree) from None


def _has_null(tree: Located) -> bool:
    value = tree.value
    if isinstance(value, dict | list):
        return any(map(_has_null, value.values() if isinstance(value, dict) else value))
    return value is None


def _without_nulls(tree: Located, blocks: Sequence[Block]) -> Located:
    """Drop known fields that are null, so that they take their default; unknown keys stay, to be refused."""
    if isinstance(tree.value, list):
        return replace(tree, value=[_without_nulls(item, blocks) for item in tree.value])
    blocks = choose_block(blocks, tree)
    return replace(tree, value=_kept(tree.value, blocks)) if isinstance(tree.value, dict) else tree


def _kept(entries: dict[str, Located], blocks: Sequence[Block]) -> dict[str, Located]:
    known = {key for block in blocks for key in block.model_fields}
    return {
        key: _without_nulls(value, inner_blocks(blocks, key))
        for key, value in entries.items()
        if value.value is not None or key not in known
    }


def device_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a device card's file, for editors."""
    return _file_schema(DeviceCard.model_json_schema(), "noisyhw device card")


def experiment_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of an experiment card's file, for editors."""
    schema = _file_schema(Experiment.model_json_schema(), "noisyhw experiment card")
    _inheriting(schema["$defs"]["DeviceCard"])
    for key in ("device", *_SHORT):
        schema["properties"][key] = {"anyOf": [{"type": "string"}, schema["properties"][key]]}
    return schema


def _file_schema(schema: dict[str, Any], title: str) -> dict[str, Any]:
    _inheriting(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def _inheriting(schema: dict[str, Any]) -> None:
    """Allow ``extends``; what a card does not say itself may come from there, or from its file's name."""
    schema["properties"] = {
        "extends": {"type": "string", "description": "Name or path of the card that this one builds on."},
        **schema["properties"],
    }
    schema.pop("required", None)
