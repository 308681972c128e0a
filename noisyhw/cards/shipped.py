"""Where the cards that come with the package lie: inside an installed wheel, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_devices() -> dict[str, Path]:
    """Return the shipped device cards, name -> path."""
    return _cards(_folder(_PACKAGE, "devices"))


def shipped_experiments() -> dict[str, Path]:
    """Return the shipped experiment cards, name -> path."""
    return _cards(_folder(_PACKAGE, "configs"))


def shipped_sweeps() -> dict[str, Path]:
    """Return the shipped sweep cards, name -> path."""
    return _cards(_folder(_PACKAGE, "configs") / "sweeps")


def _cards(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _folder(package: Path, name: str) -> Path:
    packaged = package / "_shipped" / name
    return packaged if packaged.is_dir() else package.parent / name
