"""Where a data set's files lie: an explicit folder, ``$NOISYHW_DATA``, the user's cache; else a download.

An explicit folder is the only one that is looked at, and nothing is downloaded when it lacks the data.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from .remote import Remote

ENVIRONMENT = "NOISYHW_DATA"


@dataclass(frozen=True)
class Source:
    """One data set's files.

    Args:
        title: the data set's name for people.
        looked_for: the accepted files, as a phrase.
        find: the place of the files in a folder, or None.
        remotes: what to download when no folder has them.
    """

    title: str
    looked_for: str
    find: Callable[[Path], Path | None]
    remotes: tuple[Remote, ...]

    @property
    def addresses(self) -> str:
        """The download addresses, as a phrase."""
        return " and ".join(remote.url for remote in self.remotes)


def cache_dir() -> Path:
    """The user's cache folder for noisyhw, as the operating system has it."""
    import pooch

    return Path(pooch.os_cache("noisyhw"))


def places(data_dir: Path | None) -> list[Path]:
    """The folders to look in, in order."""
    if data_dir is not None:
        return [data_dir.expanduser()]
    named = os.environ.get(ENVIRONMENT)
    return ([Path(named).expanduser()] if named else []) + [cache_dir()]


def search(source: Source, data_dir: Path | None) -> Path | None:
    """The first place that has the data set, or None; nothing is downloaded."""
    return next((found for place in places(data_dir) if (found := source.find(place))), None)


def locate(source: Source, data_dir: Path | None) -> Path:
    """The place of a data set, downloaded into the cache where need be.

    Raises:
        DataError: an explicit ``data_dir`` lacks it, or the download failed.
    """
    found = search(source, data_dir)
    if found is None and data_dir is not None:
        raise DataError(
            f"{places(data_dir)[0]}: no {source.title} here. Looked for {source.looked_for}. Put it there "
            f"(from {source.addresses}), or name no data folder to have it downloaded"
        )
    return found or _download(source)


def _download(source: Source) -> Path:
    from .download import fetch

    folder = cache_dir()
    for remote in source.remotes:
        try:
            fetch(remote, folder)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{source.title}: cannot download {remote.url} ({error}). By hand: fetch {source.addresses} "
                f"and put it into {folder}, or into any folder and name that in {ENVIRONMENT}"
            ) from error
    found = source.find(folder)
    assert found is not None, f"{source.title}: the downloads are not what is looked for"
    return found
