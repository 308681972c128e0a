"""Safe YAML in which every value remembers where it was written.

The scalars are YAML 1.2's: ``1e-3`` is a number, only ``true`` and ``false`` are booleans, dates are text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from ..errors import CardError

MAX_VALUES = 10_000
MAX_DEPTH = 50
MAX_NUMBER_LENGTH = 300
MAX_PATH_LENGTH = 300

Scalar: TypeAlias = bool | int | float | str | None
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Located:
    """A value and where it was written.

    Args:
        value: a scalar, a list or a mapping of located values.
        origin: ``file:line``, ``--set key=value`` or ``option --name``.
        whole: laid over another mapping, this one replaces it instead of merging with it.
        named_by: fields that say what a mapping is of; laid over one that is of another thing, this one replaces it.
        common: fields of the other mapping that stay all the same.
    """

    value: Scalar | list[Located] | dict[str, Located]
    origin: str
    whole: bool = False
    named_by: tuple[str, ...] = ()
    common: tuple[str, ...] = ()

    @property
    def entries(self) -> dict[str, Located]:
        """The mapping's entries; empty for anything but a mapping."""
        return self.value if isinstance(self.value, dict) else {}

    def plain(self) -> object:
        """Return the value without origins."""
        if isinstance(self.value, dict):
            return {key: inner.plain() for key, inner in self.value.items()}
        if isinstance(self.value, list):
            return [inner.plain() for inner in self.value]
        return self.value


def located(value: object, origin: str) -> Located:
    """Wrap a Python value, all of it from one origin; anything but YAML's own types becomes text."""
    if isinstance(value, Mapping):
        return Located({str(key): located(inner, origin) for key, inner in value.items()}, origin)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Located([located(inner, origin) for inner in value], origin)
    if value is None or isinstance(value, bool | int | float | str):
        return Located(value, origin)
    return Located(str(value), origin)


def shown_path(path: Path) -> str:
    """Return the path as a message names it: relative where it lies under the working directory."""
    full = Path(os.path.abspath(path))
    here = Path.cwd()
    text = str(full.relative_to(here) if full.is_relative_to(here) else full)
    return text if text.isprintable() and len(text) < MAX_PATH_LENGTH else shorten(repr(text))


def read_mapping(path: Path) -> Located:
    """Read a card file.

    Raises:
        CardError: the file cannot be read, is not UTF-8 YAML, is empty or is not a mapping.
    """
    name = shown_path(path)
    card = parse(_text(path, name), name)
    if card is None:
        raise CardError(f"{name}: the file is empty; a card is a mapping (key: value)")
    if not isinstance(card.value, dict):
        raise CardError(f"{card.origin}: a card is a mapping (key: value), got {shown(card)}")
    return card


def _text(path: Path, name: str) -> str:
    try:
        if path.exists() and not path.is_file():
            raise CardError(f"{name}: is a directory or device, not a card file")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise CardError(f"{name}: no such file") from None
    except UnicodeDecodeError as error:
        raise CardError(f"{name}: is not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CardError(f"{name}: cannot be read: {reason}") from None


def parse(text: str, source: str, *, lines: bool = True) -> Located | None:
    """Parse one YAML document; None if it is empty.

    Args:
        text: the document.
        source: the file's name, or the origin itself if ``lines`` is False.
        lines: origins are ``source:line``.

    Raises:
        CardError: broken YAML, a repeated key, a tag, a merge key, or too many or too deeply nested values.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except RecursionError:
        raise CardError(f"{source}: nested too deeply (more than {MAX_DEPTH} levels)") from None
    except yaml.MarkedYAMLError as error:
        raise CardError(_broken(error, source, lines)) from None
    except yaml.reader.ReaderError as error:
        raise CardError(f"{source}: not valid YAML: character {error.position} is unprintable") from None
    return None if root is None else _Conversion(source, lines).locate(root, root, 0)


def _broken(error: yaml.MarkedYAMLError, source: str, lines: bool) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{source}:{mark.line + 1}:{mark.column + 1}" if lines and mark else source
    reason = ", ".join(part for part in (error.context, error.problem) if part)
    hint = "; indent with spaces" if "'\\t'" in reason else ""
    return f"{where}: not valid YAML: {reason}{hint}"


def shown(node: Located) -> str:
    """Return the value as a message names it."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    words = {None: "null", True: "true", False: "false"}
    if node.value is None or isinstance(node.value, bool):
        return words[node.value]
    return shorten(repr(node.value))


def shorten(text: str, width: int = 80) -> str:
    """Cut a text that is too long for a message."""
    return text if len(text) <= width else text[: width - 3] + "..."


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars as YAML 1.2's core schema does."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (as PyYAML declares it)


for _name, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), _first)


class _Conversion:
    """One document's way from PyYAML's nodes to located values, counted so that aliases cannot explode."""

    def __init__(self, source: str, lines: bool) -> None:
        self.source = source
        self.lines = lines
        self.values = 0

    def origin(self, node: yaml.Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}" if self.lines else self.source

    def locate(self, node: yaml.Node, at: yaml.Node, depth: int) -> Located:
        """Convert ``node``; its origin is the line of ``at``, the key that it belongs to."""
        origin = self.origin(at)
        self.values += 1
        if self.values > MAX_VALUES:
            raise CardError(f"{origin}: more than {MAX_VALUES} values, aliases expanded")
        if depth > MAX_DEPTH:
            raise CardError(f"{origin}: nested too deeply (more than {MAX_DEPTH} levels)")
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return Located(self.mapping(node, depth), origin)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return Located([self.locate(item, item, depth + 1) for item in node.value], origin)
        return Located(self.scalar(node, origin), origin)

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Located]:
        entries: dict[str, Located] = {}
        keys: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node)
            if key in keys:
                raise CardError(
                    f"{self.origin(key_node)}: key '{key}' appears twice in one block; "
                    f"it is already on line {keys[key].start_mark.line + 1}"
                )
            keys[key] = key_node
            entries[key] = self.locate(value_node, key_node, depth + 1)
        return entries

    def key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise CardError(f"{self.origin(node)}: a key must be a word, not a list or a mapping")
        if node.value == "<<":
            raise CardError(f"{self.origin(node)}: merge keys (<<) are not supported; use 'extends'")
        self.check_text(node)
        return str(node.value)

    def check_text(self, node: yaml.Node) -> None:
        try:
            node.value.encode()
        except UnicodeEncodeError:
            raise CardError(f"{self.origin(node)}: text holds half a character (a lone surrogate)") from None

    def scalar(self, node: yaml.Node, origin: str) -> Scalar:
        kind = node.tag.removeprefix(_TAG)
        if not isinstance(node, yaml.ScalarNode) or kind not in ("null", "bool", "int", "float", "str"):
            raise CardError(f"{origin}: the tag '{shorten(node.tag)}' is not supported; write a plain value")
        self.check_text(node)
        try:
            return _scalar(kind, node.value)
        except ValueError:
            raise CardError(
                f"{origin}: not valid YAML: {shorten(node.value)!r} is not of type {kind}"
            ) from None


def _scalar(kind: str, text: str) -> Scalar:
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return ("false", "true").index(text.lower()) == 1
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError
    if kind == "int":
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
