"""A small web server on 127.0.0.1 for the download tests: ranges, failures and refusals on demand."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Server:
    """What it serves, how it misbehaves, and what it was asked."""

    files: dict[str, bytes]
    ranges: bool = True
    shifted: bool = False  # answer a range with another one
    breaks: list[int] = field(default_factory=list)  # the next answers end after so many bytes
    statuses: list[int] = field(default_factory=list)  # the next answers are these refusals
    asked: list[str | None] = field(default_factory=list)  # the Range header of every request
    url: str = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    server_state: Server

    def do_GET(self) -> None:
        state = self.server_state
        wanted = self.headers["Range"]
        state.asked.append(wanted)
        content = state.files.get(self.path.lstrip("/"))
        if state.statuses or content is None:
            self.send_error(state.statuses.pop(0) if state.statuses else 404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self._answer(content, start)

    def _answer(self, content: bytes, start: int) -> None:
        state = self.server_state
        self.send_response(206 if start else 200)
        if start:
            first = 0 if state.shifted else start
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: state.breaks.pop(0)] if state.breaks else body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Server]:
    """Serve these files until the block ends."""
    state = Server(files)
    handler = type("Handler", (_Handler,), {"server_state": state})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
