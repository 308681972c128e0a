"""The files of code that a file of Python imports, as its text says, anywhere in it: also inside of functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def files_beside(file: Path, module: str = "") -> list[Path]:
    """Return the files that a file imports, and that these import: those beside it, or of its package, in order.

    What is installed elsewhere is not among them.

    Args:
        file: with Python code.
        module: the file's name as a module; with a dot in it, the file is one of a package.
    """
    package = module.split(".")[0] if "." in module else ""
    root = file.parent
    for _ in range(module.count(".") + (file.name == "__init__.py") if package else 0):
        root = root.parent
    found, waiting = {file}, [file]
    while waiting:
        for one in _imported(waiting.pop(), root, package):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return sorted(found - {file})


def _imported(file: Path, root: Path, package: str) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # whoever runs it tells
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield from _found(root, name.name.split("."), package)
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            start = file.parents[node.level - 1] if 0 < node.level <= len(file.parents) else root
            for alias in node.names:
                yield from _found(start, [*parts, alias.name], "" if node.level else package)


def _found(start: Path, parts: list[str], package: str) -> Iterator[Path]:
    """The files that an import runs: of every package on its way, and the last module's."""
    if package and parts[0] != package:
        return
    for count in range(1, len(parts) + 1):
        stem = start.joinpath(*parts[:count])
        for one in (stem.with_suffix(".py"), stem / "__init__.py"):
            if one.is_file():
                yield one
