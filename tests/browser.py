"""Headless Chromium, spoken to by its DevTools protocol through a pipe: no driver, no other package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT_S = 60


def find_browser() -> str | None:
    """Its path, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a running browser."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._buffer, self._number = b"", 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; what is told meanwhile is kept in `events`."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda told: told.get("id") == self._number)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            head, found, rest = self._buffer.partition(b"\0")
            if found:
                self._buffer = rest
                told: dict[str, Any] = json.loads(head)
                self.events.append(told)
                if wanted(told):
                    return told
            elif select.select([self._read], [], [], 1)[0]:
                self._buffer += os.read(self._read, 1 << 20)
        raise TimeoutError("the browser does not answer")

    def open(self, page: Path, *, width: int = 1000, scheme: str = "light", scripts: bool = True) -> None:
        """Load a page from a file in a new tab."""
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        if not any(told.get("method") == "Page.loadEventFired" for told in self.events):
            self._until(lambda told: told.get("method") == "Page.loadEventFired")

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression on the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    @property
    def complaints(self) -> list[str]:
        """What the page wrote to the console, and its exceptions."""
        methods = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(told["params"]) for told in self.events if told.get("method") in methods]

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for."""
        sent = [told for told in self.events if told.get("method") == "Network.requestWillBeSent"]
        return [told["params"]["request"]["url"] for told in sent]

    def pdf(self) -> bytes:
        """Print the page."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])


@contextmanager
def browser(program: str, profile: Path) -> Iterator[Browser]:
    """Start the browser with a profile of its own, and end it."""
    its_read, write = os.pipe()
    read, its_write = os.pipe()
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command = [program, *flags, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    shell = ["bash", "-c", f'exec "$@" 3<&{its_read} 4>&{its_write}', "bash", *command]
    with subprocess.Popen(
        shell, pass_fds=(its_read, its_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        os.close(its_read)
        os.close(its_write)
        try:
            yield Browser(write, read)
        finally:
            os.close(write)
            os.close(read)
            process.terminate()
