"""Who imports whom in the package, read from its source: also what functions import when they are called."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "noisyhw"


def module_name(path: Path, package: Path = PACKAGE) -> str:
    parts = [package.name, *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Absolute names of all that a file of the package imports, anywhere in it."""
    named = list(_named(path, PACKAGE, type_checking=True))
    return {origin for origin, _ in named} | {f"{origin}.{name}" for origin, name in named if name}


def _named(path: Path, package: Path, type_checking: bool) -> Iterator[tuple[str, str]]:
    """What is imported, as (module, name in it); a whole module has no name. ``if TYPE_CHECKING`` counts or not."""
    inside = module_name(path, package).split(".")[: None if path.name == "__init__.py" else -1]
    for node in _statements(ast.parse(path.read_text(encoding="utf-8")), type_checking):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((origin, alias.name) for alias in node.names)


def _statements(node: ast.AST, type_checking: bool) -> Iterator[ast.AST]:
    if not type_checking and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for other in node.orelse:
            yield from _statements(other, type_checking)
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _statements(child, type_checking)


def graph(package: Path = PACKAGE) -> dict[str, set[str]]:
    """Module -> the package's modules that it imports when it runs; a name of a package is that package."""
    files = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    edges = {}
    for module, path in files.items():
        named = _named(path, package, type_checking=False)
        seen = {full if (full := f"{origin}.{name}") in files else origin for origin, name in named}
        edges[module] = (seen & files.keys()) - {module}
    return edges


def circles(edges: Mapping[str, set[str]]) -> list[set[str]]:
    """Sets of nodes of which each can be reached from each (strongly connected components of two and more)."""
    reach = {node: _reached(edges, node) for node in edges}
    found: list[set[str]] = []
    for node in edges:
        circle = {other for other in reach[node] if node in reach.get(other, ())}
        if len(circle | {node}) > 1 and circle not in found:
            found.append(circle)
    return found


def _reached(edges: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = set(edges[start])
    while waiting:
        node = waiting.pop()
        seen.add(node)
        waiting |= edges.get(node, set()) - seen
    return seen


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
