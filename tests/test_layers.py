"""The package's import graph: an order of layers, stated in docs/design.md, and no circle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from import_graph import FILES, PACKAGE, circles, graph, imports

ROOT = PACKAGE.parent
EDGES = graph()
ONE_CLASS_IN_SEVERAL_FILES = {"noisyhw.tasks.base", "noisyhw.tasks.arrays", "noisyhw.tasks.targets"}
"""`Data.from_arrays`, whose long checks are imported when it is called."""


def layer_of(module: str) -> str:
    """The subpackage, or the module beside them; the package's own __init__ is `noisyhw`."""
    return ".".join(module.split(".")[:2])


LAYERS = {layer_of(module) for module in FILES}
BETWEEN = {
    layer: {layer_of(to) for module in FILES if layer_of(module) == layer for to in EDGES[module]} - {layer}
    for layer in LAYERS
}


def order() -> list[set[str]]:
    """The layers as docs/design.md lists them, lowest first."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    found = re.search(r"^## Layers$.*?^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return [{f"noisyhw.{name}" for name in line.split()} for line in found[1].splitlines()]


def test_no_subpackage_imports_another_in_a_circle() -> None:
    assert circles(BETWEEN) == []


def test_no_module_imports_another_in_a_circle() -> None:
    assert [circle for circle in circles(EDGES) if not circle <= ONE_CLASS_IN_SEVERAL_FILES] == []


def test_the_stated_order_names_every_layer_once() -> None:
    named = [name for line in order() for name in line]
    assert sorted(named) == sorted(LAYERS - {"noisyhw"})


def test_a_layer_imports_only_from_lines_above_its_own() -> None:
    lines = order()
    place = {name: number for number, line in enumerate(lines) for name in line}
    wrong = [
        f"{module} imports {to}"
        for module in FILES
        for to in EDGES[module]
        if layer_of(module) not in {layer_of(to), "noisyhw"}
        and place[layer_of(to)] >= place[layer_of(module)]
    ]
    assert wrong == []


def test_no_device_imports_a_tile_not_even_for_its_types() -> None:
    devices = [path for name, path in FILES.items() if layer_of(name) == "noisyhw.devices"]
    assert len(devices) > 20
    for path in devices:
        assert not [name for name in imports(path) if name.startswith("noisyhw.tiles")], path.name


def test_no_module_imports_the_package_itself() -> None:
    """Its names are taken from where they are written, so that who needs whom can be read."""
    assert [module for module, to in EDGES.items() if "noisyhw" in to] == []


def test_no_module_imports_the_command_line() -> None:
    assert [name for name, path in FILES.items() if any("cli" in one for one in imports(path))] == []


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Two packages that import each other: one at its top, the other in a function."""
    files = {
        "__init__.py": "",
        "low/__init__.py": "",
        "low/one.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..high import three\n",
        "low/two.py": "def late():\n    from ..high.three import name\n",
        "high/__init__.py": "from .three import name\n",
        "high/three.py": "from ..low import one, two\nname = 1\n",
        "high/four.py": "import lab.high.three\nfrom lab import high\n",
    }
    for name, text in files.items():
        path = tmp_path / "lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "lab"


def test_the_walk_sees_imports_in_functions_and_not_those_for_type_checkers(package: Path) -> None:
    edges = graph(package)
    assert edges["lab.low.one"] == set()
    assert edges["lab.low.two"] == {"lab.high.three"}
    assert edges["lab.high.three"] == {"lab.low.one", "lab.low.two"}
    assert edges["lab.high"] == {"lab.high.three"}
    assert edges["lab.high.four"] == {"lab.high.three", "lab.high"}
    assert circles(edges) == [{"lab.low.two", "lab.high.three"}]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
