"""Downloads that survive a broken line: what came is kept as ``NAME.part`` and continued where it ended.

pooch checks the sum and moves the file into place; its own transfer would start over after a failure.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from .remote import Remote

ATTEMPTS = 4
PAUSE_S = 0.5
TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 14
"""What a broken line can cost: the chunk under way."""


def fetch(remote: Remote, folder: Path) -> Path:
    """Download one file into a folder, unless a sound copy is there.

    Raises:
        OSError: the server cannot be reached or refuses (``requests.RequestException``), or the disk does.
        ValueError: the checksum differs; the file is removed.
    """
    transfer = Resuming(folder / f"{remote.name}.part")
    try:
        return Path(pooch.retrieve(remote.url, remote.checksum, remote.name, folder, downloader=transfer))
    except requests.ConnectionError as error:
        if error.request is None:
            raise
        raise OSError("no connection to the server") from error


@dataclass(frozen=True)
class Resuming:
    """A downloader for pooch that continues ``part`` and tries again a few times."""

    part: Path

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Transfer ``url`` to ``part``, then move that to ``output_file``."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                continue_part(url, self.part)
                break
            except requests.RequestException as error:
                if attempt == ATTEMPTS or _final(error):
                    raise
                time.sleep(PAUSE_S * attempt)
        os.replace(self.part, output_file)


def _final(error: requests.RequestException) -> bool:
    """A refusal such as 404 will not change; a server's own failure (5xx) or a broken line may."""
    return error.response is not None and error.response.status_code < 500


def continue_part(url: str, part: Path) -> None:
    """Append what ``part`` lacks; start afresh where the server ignores or rejects the range.

    Raises:
        requests.RequestException: the transfer failed or ended early; what came is kept.
    """
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        if have and not _usable(answer, have):
            part.unlink()
            raise requests.ConnectionError("the server cannot continue the partial file; starting over")
        answer.raise_for_status()
        write_body(answer, part, have if answer.status_code == 206 else 0)


def _usable(answer: requests.Response, have: int) -> bool:
    if answer.status_code == 206:
        return answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    return answer.status_code != 416


def write_body(answer: requests.Response, part: Path, start: int) -> None:
    """Write an answer's body from byte ``start`` of ``part`` on, with a progress bar where a person watches.

    Raises:
        requests.ConnectionError: the body is shorter than announced.
    """
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length else None
    bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None)
    with part.open("ab" if start else "wb") as file, bar:
        for chunk in answer.iter_content(CHUNK_BYTES):
            bar.update(file.write(chunk))
    size = part.stat().st_size
    if total is not None and size != total:
        raise requests.ConnectionError(f"the transfer ended after {size} of {total} bytes")
