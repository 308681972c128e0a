"""A commented card to start from, generated from the schema, so that it can never fall behind."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from ..cards.device import DeviceCard
from ..cards.loading import device_json_schema

Schema: TypeAlias = Mapping[str, Any]

WIDTH = 100
INHERITED = ("source", "derived", "fitted", "assumed", "not_modelled")
"""Provenance: that of the card that is extended stays true for what is left as it is."""
LIMITS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
TINY, HUGE = 1e-12, 1e9
"""Limits that stand for 'not zero' and 'finite'."""
HEADER = """\
{name}: a device card of your own. It builds on '{extends}' and says the same, field by field; change what differs.
A line that starts with # and no space is switched off: to switch it on, delete that # in all lines of its block.
Check it with 'noisyhw devices check FILE', look at it with 'noisyhw devices plot FILE --out DIR'."""


def card_template(name: str, extends: str, card: DeviceCard) -> str:
    """Write a card that extends another and says the same, with every field of the schema and what it means.

    Args:
        name: of the new card.
        extends: name or path of the card that it builds on.
        card: that card.
    """
    schema = device_json_schema()
    values = card.model_dump(mode="json") | {"extends": extends, "name": name} | dict.fromkeys(INHERITED)
    header = [f"# {line}" for line in HEADER.format(name=name, extends=extends).splitlines()]
    body = _Writer(schema["$defs"]).block(schema, values)
    return "\n".join([*header, "", *(line.rstrip() for line in body)]) + "\n"


class _Writer:
    """Turns blocks of the JSON Schema into lines of YAML."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self.definitions = definitions

    def block(self, schema: Schema, values: Mapping[str, Any] | None) -> Iterator[str]:
        """The fields of one block; without values, as they are when the block is switched on."""
        required = schema.get("required", ())
        for key, field in schema["properties"].items():
            value = field.get("default", field.get("const")) if values is None else values.get(key)
            yield from self.field(key, field, value, key in required)

    def field(self, key: str, field: Schema, value: Any, required: bool) -> Iterator[str]:
        """One field: what it means as a comment, then its value, or switched off."""
        choices = list(self.choices(field))
        blocks = [choice for choice in choices if "properties" in choice]
        items = next((choice["items"] for choice in choices if choice.get("type") == "array"), None)
        if "const" not in field:
            yield from _comment(_meaning(field, blocks, choices, required))
        if value is None and required:
            yield f"{key}:"
        elif items is not None and value is None:
            yield from _off(self.list_of(key, items))
        elif not blocks:
            line = f"{key}:" if value is None else f"{key}: {json.dumps(value, ensure_ascii=False)}"
            yield from _off([line]) if value is None else [line]
        else:
            yield from self.nested(key, blocks, value)

    def nested(self, key: str, blocks: list[Schema], value: Any) -> Iterator[str]:
        """A block, the one of several that ``kind`` picks, and the others switched off."""
        chosen = next((block for block in blocks if _is(block, value)), None)
        if chosen is not None:
            yield f"{key}:"
            yield from _indented(self.block(chosen, value))
        for block in blocks:
            if block is chosen:
                continue
            if len(blocks) > 1:
                yield from _comment(
                    f"{'Or' if chosen else 'Either'}, {_kind(block)}: {block.get('description', '')}"
                )
            yield from _off([f"{key}:", *_indented(self.block(block, None))])

    def list_of(self, key: str, items: Schema) -> Iterator[str]:
        """A list, empty or with one item to fill in."""
        [item, *_] = self.choices(items)
        if "properties" not in item:
            yield f"{key}: []"
            return
        yield f"{key}:"
        yield "  -"
        yield from (f"    {line}" for line in self.block(item, None))

    def choices(self, field: Schema) -> Iterator[Schema]:
        """What a field may be, references followed; null is left out."""
        if "$ref" in field:
            yield from self.choices(self.definitions[field["$ref"].rsplit("/", 1)[1]])
        elif inner := field.get("anyOf") or field.get("oneOf") or field.get("allOf"):
            for one in inner:
                yield from self.choices(one)
        elif field.get("type") != "null":
            yield field


def _kind(block: Schema) -> str:
    kind = block["properties"].get("kind", {})
    return f"kind {kind['const']}" if "const" in kind else "this block"


def _is(block: Schema, value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    kind = block["properties"].get("kind", {})
    return "const" not in kind or bool(value.get("kind") == kind["const"])


def _meaning(field: Schema, blocks: list[Schema], choices: list[Schema], required: bool) -> str:
    """Description, type, limits and default of a field."""
    about = field.get("description") or " ".join(block.get("description", "") for block in blocks[:1])
    kinds = [_kind(block).removeprefix("kind ") for block in blocks]
    facts = [f"one of {', '.join(kinds)}"] if len(blocks) > 1 else []
    facts += [_takes(choice) for choice in choices if "properties" not in choice]
    if not blocks or field.get("default", 0) is None:
        facts.append("required" if required else f"default: {_shown(field.get('default'))}")
    return f"{about} ({'; '.join(facts)})".strip() if facts else about


def _takes(choice: Schema) -> str:
    """What values a field takes."""
    if "enum" in choice:
        return "one of " + ", ".join(map(str, choice["enum"]))
    words = {"array": "list", "string": "text", "integer": "whole number", "boolean": "true or false"}
    kind = words.get(choice.get("type", ""), str(choice.get("type", "value")))
    limits = {sign: choice[limit] for limit, sign in LIMITS.items() if limit in choice}
    told = [f"{sign} {value:g}" for sign, value in limits.items() if TINY < abs(value) < HUGE or value == 0]
    positive = ["> 0"] if 0 < limits.get(">=", 0) <= TINY else []
    return " ".join([kind, ", ".join(positive + told)]).strip()


def _shown(value: Any) -> str:
    return "empty" if value in (None, "", []) else json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> Iterator[str]:
    lines = textwrap.wrap(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
    return (f"# {line}" for line in lines)


def _off(lines: Iterator[str] | list[str]) -> Iterator[str]:
    return (f"#{line}" for line in lines)


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
