"""What is shipped: a wheel that holds everything and works without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ("noisyhw", "cli", "devices", "configs")
FOREIGN = ("/" + "work/", "pypi" + ".org")
"""A machine path and a package registry's host (written so that this file does not hold them)."""
NO_CACHES = shutil.ignore_patterns("__pycache__", "*.pyc")


def packages_in_the_checkout() -> set[str]:
    """Every folder of Python files below noisyhw/, as a package's name."""
    folders = {file.parent for file in (ROOT / "noisyhw").rglob("*.py")}
    return {".".join(folder.relative_to(ROOT).parts) for folder in folders}


def pyproject() -> dict[str, object]:
    project: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return project


def test_every_package_is_named_in_pyproject() -> None:
    tools = pyproject()["tool"]
    assert isinstance(tools, dict)
    named = {name for name in tools["setuptools"]["packages"] if "_shipped" not in name}
    assert named - {"noisyhw_cli"} == packages_in_the_checkout()


def test_every_package_has_an_init() -> None:
    for name in packages_in_the_checkout():
        assert (ROOT / Path(*name.split(".")) / "__init__.py").is_file(), name


def test_the_version_is_told_once() -> None:
    import noisyhw

    project = pyproject()["project"]
    assert isinstance(project, dict)
    assert project["version"] == noisyhw.__version__


def test_no_tracked_file_names_a_machine_path_or_a_registry() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert files
    found = [
        f"{file.relative_to(ROOT)}: {word}"
        for file in files
        if file.is_file() and b"\0" not in (content := file.read_bytes())
        for word in FOREIGN
        if word.encode() in content
    ]
    assert found == []


# The wheel.


def python(*arguments: str, path: Path | None = None, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "sources"
    for name in SHIPPED:
        shutil.copytree(ROOT / name, copy / name, ignore=NO_CACHES)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, copy / name)
    isolation = [] if find_spec("setuptools") is None else ["--no-build-isolation"]
    build = ["-m", "pip", "wheel", str(copy), "--no-deps", "--quiet", "-w", str(folder), *isolation]
    done = python(*build, cwd=folder)
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed into a folder of its own."""
    target = tmp_path_factory.mktemp("installed")
    install = ["-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(target)]
    done = python(*install, str(wheel), cwd=target)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.slow
def test_the_wheel_holds_every_source_file_and_card_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {"noisyhw/py.typed"}
    for folder, pattern, place in (
        ("noisyhw", "*.py", "noisyhw"),
        ("noisyhw", "*.yaml", "noisyhw"),
        ("noisyhw", "templates/*", "noisyhw"),
        ("cli", "*.py", "noisyhw_cli"),
        ("devices", "*.yaml", "noisyhw/_shipped/devices"),
        ("configs", "*.yaml", "noisyhw/_shipped/configs"),
    ):
        top = ROOT / folder
        wanted |= {f"{place}/{file.relative_to(top).as_posix()}" for file in top.rglob(pattern)}
    assert held == wanted


@pytest.mark.slow
def test_the_wheel_installs_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [scripts] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "noisyhw = noisyhw_cli.main:main" in archive.read(scripts).decode()


@pytest.mark.slow
def test_the_installed_wheel_uses_its_own_cards(installed: Path, tmp_path: Path) -> None:
    card = installed / "noisyhw" / "_shipped" / "devices" / "rram.yaml"
    card.write_text(card.read_text().replace("step: 0.002\n", "step: 0.003\n"))
    code = "import noisyhw; print(noisyhw.__file__, noisyhw.load_device('rram').update.step)"
    done = python("-c", code, path=installed, cwd=tmp_path)
    assert done.stdout.split() == [str(installed / "noisyhw" / "__init__.py"), "0.003"], done.stderr


@pytest.mark.slow
def test_the_installed_command_trains_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import noisyhw_cli.main as it; it.main()"
    train = ["train", "--epochs", "1", "--out", "run", "--set", "network.hidden=[8]"]
    done = python("-c", code, *train, path=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "curve.png").is_file()
    shown = python("-c", code, "devices", "list", path=installed, cwd=tmp_path)
    assert len(shown.stdout.splitlines()) == len(list((ROOT / "devices").glob("*.yaml")))
    assert (
        python(
            "-c", code, "train", "cifar10-3x1024", "--epochs", "0", path=installed, cwd=tmp_path
        ).returncode
        == 2
    )
