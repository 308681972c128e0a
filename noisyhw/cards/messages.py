"""pydantic's findings told as this project tells errors: where, which field, what is wrong, what to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel, ValidationError

from ..errors import CardError
from .base import REASONS
from .device import DeviceCard
from .experiment import Experiment
from .yaml_lines import Located, shorten, shown

MAX_SHOWN = 5

Block: TypeAlias = type[BaseModel]
Key: TypeAlias = str | int

_EXPECTED = {
    "greater_than": "> {gt}",
    "greater_than_equal": ">= {ge}",
    "less_than": "< {lt}",
    "less_than_equal": "<= {le}",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_pattern_mismatch": "a short name of letters, digits, . + - and _",
    "string_too_short": "text that is not empty",
    "tuple_type": "a list",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
}


@dataclass(frozen=True)
class Place:
    """Where a finding leads in a card: the keys, the value, its possible schemas, and the keys not there."""

    keys: tuple[Key, ...]
    node: Located
    blocks: tuple[Block, ...]
    rest: tuple[Key, ...]


def at(origin: str, text: str) -> str:
    """Put the origin, if any, before the text."""
    return f"{origin}: {text}" if origin else text


def validation_error(error: ValidationError, model: Block, tree: Located) -> CardError:
    """Turn all findings of one validation into one error, a line each, ``origin: field: what is wrong``.

    Args:
        error: what pydantic found.
        model: the card's schema.
        tree: the card that was checked.
    """
    findings: dict[tuple[Key, ...], list[Any]] = {}
    places: dict[tuple[Key, ...], Place] = {}
    for finding in error.errors(include_url=False):
        place = follow(model, tree, finding["loc"])
        field = place.keys + (place.rest if finding["type"] == "missing" else ())
        findings.setdefault(field, []).append(finding)
        places[field] = place
    lines = [_line(field, places[field], found, model, tree) for field, found in findings.items()]
    more = [f"and {len(lines) - MAX_SHOWN} more"] if len(lines) > MAX_SHOWN else []
    return CardError("\n".join(lines[:MAX_SHOWN] + more))


def _line(field: tuple[Key, ...], place: Place, found: list[Any], model: Block, tree: Located) -> str:
    kind = found[0]["type"]
    if kind == "missing":
        return at(place.node.origin, f"{dotted(field)}: {_missing(str(field[-1]), place.blocks)}")
    if kind == "extra_forbidden":
        owner = follow(model, tree, found[0]["loc"][:-1])
        return at(place.node.origin, f"{dotted(field)}: {_unknown(str(field[-1]), owner.blocks)}")
    if kind in ("union_tag_invalid", "union_tag_not_found") and place.node.entries:
        return _wrong_kind(field, place)
    text = _own(found) or f"must be {_expected(found)}, got {shown(place.node)}"
    return at(place.node.origin, f"{dotted(field)}: {text}" if field else text)


def _missing(key: str, blocks: Sequence[Block]) -> str:
    about = [block.model_fields[key].description for block in blocks if key in block.model_fields]
    meaning = f" ({about[0].rstrip('.')})" if about and about[0] else ""
    return f"is missing and has no default{meaning}"


def _unknown(key: str, blocks: Sequence[Block]) -> str:
    choices = [name for block in blocks for name in block.model_fields]
    choices += ["extends"] if any(block in (DeviceCard, Experiment) for block in blocks) else []
    near = get_close_matches(key, choices, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"unknown key{hint} Choices: {', '.join(choices)}"


def _wrong_kind(field: tuple[Key, ...], place: Place) -> str:
    choices = ", ".join(kind for block in place.blocks for kind in _kinds(block))
    given = place.node.entries.get("kind")
    where = dotted((*field, "kind"))
    if given is None:
        return at(place.node.origin, f"{where}: is missing; choices: {choices}")
    return at(given.origin, f"{where}: must be one of {choices}, got {shown(given)}")


def _own(found: list[Any]) -> str:
    """Return the text of our own validators, empty if the findings are pydantic's."""
    texts = [str(one["ctx"]["error"]) for one in found if one["type"] == "value_error"]
    return "; ".join(texts)


def _expected(found: list[Any]) -> str:
    """Say what a field takes; a union's branches are joined."""
    if any(one["type"].startswith("union_tag") for one in found):
        return _EXPECTED["model_type"]
    words = [_words(one) for one in found if one["type"] != "literal_error"]
    literals = [word for one in found if one["type"] == "literal_error" for word in _literals(one)]
    if len(literals) == 1:
        words.append(f"'{literals[0]}'")
    elif literals:
        words.append("one of " + ", ".join(literals))
    return " or ".join(dict.fromkeys(words))


def _words(finding: Any) -> str:
    template = _EXPECTED.get(finding["type"])
    if template is None:
        return str(finding["msg"]).removeprefix("Input should be ")
    limits = finding.get("ctx", {})
    text = template.format(**{key: _number(value) for key, value in limits.items()})
    reasons = [REASONS[value] for value in limits.values() if isinstance(value, float) and value in REASONS]
    return f"{text} ({reasons[0]})" if reasons else text


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _literals(finding: Any) -> list[str]:
    return [part.strip("'") for part in str(finding["ctx"]["expected"]).replace(" or ", ", ").split(", ")]


def dotted(keys: Sequence[Key]) -> str:
    """Write keys as a path: ``source[0].paper``."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{_printable(key)}"
    return text.removeprefix(".")


def _printable(key: str) -> str:
    return shorten(key if key.isprintable() else repr(key))


def follow(model: Block, tree: Located, location: Sequence[Key]) -> Place:
    """Walk from a card's root along pydantic's location, leaving out its tags for a union's branches."""
    place = Place((), tree, (model,), ())
    for index, key in enumerate(location):
        if len(place.blocks) > 1 and key == _kind(place.node):
            place = replace(place, blocks=choose_block(place.blocks, place.node))
            continue
        inner = _child(place.node, key)
        if inner is None:
            return replace(place, rest=tuple(location[index:]))
        blocks = place.blocks if isinstance(key, int) else inner_blocks(place.blocks, key)
        place = Place((*place.keys, key), inner, blocks, ())
    return place


def _child(node: Located, key: Key) -> Located | None:
    if isinstance(key, int):
        return node.value[key] if isinstance(node.value, list) and key < len(node.value) else None
    return node.entries.get(key)


def _kind(node: Located) -> object:
    kind = node.entries.get("kind")
    return kind.value if kind else None


def inner_blocks(blocks: Sequence[Block], key: str) -> tuple[Block, ...]:
    """Return the schemas that a field's value may have; none for a field of plain values."""
    return tuple(inner for block in blocks for inner in _field_blocks(block, key))


@cache
def _field_blocks(block: Block, key: str) -> tuple[Block, ...]:
    return tuple(_models(block.model_fields[key].annotation)) if key in block.model_fields else ()


def choose_block(blocks: Sequence[Block], node: Located) -> tuple[Block, ...]:
    """Return the one schema that the value's ``kind`` picks, where there is more than one."""
    if len(blocks) < 2:
        return tuple(blocks)
    return tuple(block for block in blocks if _kind(node) in _kinds(block))


def _kinds(block: Block) -> tuple[str, ...]:
    return get_args(block.model_fields["kind"].annotation)


def _models(annotation: object) -> Iterator[Block]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
