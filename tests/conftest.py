"""Shared by all tests: shapes and types are checked at every call; the real data sets are unpacked once."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from shape_checks import check_calls

ROOT = Path(__file__).resolve().parents[1]
UNPACK = ROOT.parent / "shared" / "data" / "unpack.py"
UNCHECKED = ("noisyhw.cards.",)
"""Modules without tensors that beartype refuses, for typing.Self; pydantic checks the cards."""


def _modules() -> list[str]:
    files = (ROOT / "noisyhw").rglob("*.py")
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return [name for name in names if not name.startswith(UNCHECKED)]


check_calls(_modules())  # before anything imports noisyhw

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what it puts behind & so
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder with the real CIFAR-10 and (partial) SARCOS files; tests copy what they alter."""
    if not UNPACK.is_file():
        pytest.skip("the real data sets are not kept beside this checkout (../shared/data/unpack.py)")
    folder = (
        Path(tempfile.gettempdir()) / f"noisyhw-test-data-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    )
    if not folder.is_dir():
        fresh = Path(tempfile.mkdtemp(prefix=folder.name))
        subprocess.run([sys.executable, str(UNPACK), str(fresh)], check=True, stdout=subprocess.DEVNULL)
        try:
            fresh.rename(folder)  # whole or not at all, also when two test runs unpack at once
        except OSError:
            return folder if folder.is_dir() else fresh
    return folder
