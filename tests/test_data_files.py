"""Finding and downloading data files."""

import hashlib
import io
import socket
from pathlib import Path

import pytest
import requests
from data_server import Server, serve

from noisyhw.errors import DataError
from noisyhw.tasks import download, files
from noisyhw.tasks.download import fetch
from noisyhw.tasks.files import Source, locate, search
from noisyhw.tasks.remote import Remote

CONTENT = bytes(range(256)) * 4096
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(files.ENVIRONMENT, raising=False)


@pytest.fixture
def server():
    with serve({"toy.bin": CONTENT}) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files, "cache_dir", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def toy_find(folder: Path) -> Path | None:
    return folder / "toy.bin" if (folder / "toy.bin").is_file() else None


def toy(url: str = "http://127.0.0.1:9/", checksum: str | None = SHA256) -> Source:
    return Source("Toy", "the file toy.bin", toy_find, (Remote(f"{url}toy.bin", "toy.bin", checksum),))


def put(folder: Path, content: bytes = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.bin").write_bytes(content)
    return folder / "toy.bin"


def part_of(folder: Path, size: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.bin.part").write_bytes(CONTENT[:size])
    return folder / "toy.bin.part"


def dead_url() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def test_an_explicit_folder_comes_before_the_environment_and_the_environment_before_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cache = put(cache)
    assert search(toy(), None) == in_cache
    in_named = put(tmp_path / "named")
    monkeypatch.setenv(files.ENVIRONMENT, str(tmp_path / "named"))
    assert search(toy(), None) == in_named
    explicit = put(tmp_path / "explicit")
    assert search(toy(), tmp_path / "explicit") == explicit


def test_a_tilde_in_a_folder_name_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    here = put(tmp_path / "data")
    assert search(toy(), Path("~/data")) == here
    monkeypatch.setenv(files.ENVIRONMENT, "~/data")
    assert search(toy(), None) == here


def test_searching_never_downloads(server: Server, cache: Path) -> None:
    assert search(toy(server.url), None) is None
    assert server.asked == []


def test_the_cache_is_the_users_own_folder_for_noisyhw() -> None:
    assert files.cache_dir().name == "noisyhw"


def test_an_explicit_folder_without_the_data_is_an_error_and_nothing_is_downloaded(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    put(cache)
    with pytest.raises(DataError) as error:
        locate(toy(server.url), tmp_path / "elsewhere")
    for part in (str(tmp_path / "elsewhere"), "Toy", "toy.bin", server.url, "name no data folder"):
        assert part in str(error.value)
    assert server.asked == []


def test_data_that_is_nowhere_is_downloaded_into_the_cache_once(server: Server, cache: Path) -> None:
    assert locate(toy(server.url), None) == cache / "toy.bin"
    assert (cache / "toy.bin").read_bytes() == CONTENT
    assert [file.name for file in cache.iterdir()] == ["toy.bin"]
    locate(toy(server.url), None)
    assert server.asked == [None]


def test_a_partial_download_is_continued_where_it_ended(server: Server, tmp_path: Path) -> None:
    part = part_of(tmp_path, 1000)
    assert fetch(toy(server.url).remotes[0], tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]
    assert not part.exists()


def test_a_server_that_ignores_ranges_sends_the_file_afresh(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    part_of(tmp_path, 1000)
    assert fetch(toy(server.url).remotes[0], tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize("size", [len(CONTENT), 1000])
def test_a_part_that_the_server_cannot_continue_is_thrown_away(
    server: Server, tmp_path: Path, size: int
) -> None:
    server.shifted = True
    part_of(tmp_path, size)
    assert fetch(toy(server.url).remotes[0], tmp_path).read_bytes() == CONTENT
    assert server.asked == [f"bytes={size}-", None]


def test_a_broken_line_is_continued_in_the_same_call(server: Server, tmp_path: Path) -> None:
    chunk = download.CHUNK_BYTES
    server.breaks = [40 * chunk + 5, 6 * chunk]
    assert fetch(toy(server.url).remotes[0], tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={40 * chunk}-", f"bytes={46 * chunk}-"]


def test_a_body_shorter_than_announced_is_an_error_also_where_the_line_ends_quietly(tmp_path: Path) -> None:
    answer = requests.Response()
    answer.raw = io.BytesIO(b"abc")
    answer.headers["Content-Length"] = "5"
    with pytest.raises(requests.ConnectionError, match="ended after 3 of 5 bytes"):
        download.write_body(answer, tmp_path / "part", 0)


def test_a_line_that_keeps_breaking_leaves_the_part_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.breaks = [download.CHUNK_BYTES] * download.ATTEMPTS
    got = download.CHUNK_BYTES * download.ATTEMPTS
    with pytest.raises(OSError, match=r"(?i)ended|broken|incomplete"):
        fetch(toy(server.url).remotes[0], tmp_path)
    assert (tmp_path / "toy.bin.part").read_bytes() == CONTENT[:got]
    assert fetch(toy(server.url).remotes[0], tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={got}-"


def test_a_failing_server_is_asked_again_and_a_refusal_is_not(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 500]
    fetch(toy(server.url).remotes[0], tmp_path)
    assert len(server.asked) == 3
    with pytest.raises(OSError, match="404"):
        fetch(Remote(f"{server.url}gone", "gone", None), tmp_path)
    assert len(server.asked) == 4


def test_a_download_with_another_checksum_is_refused_and_removed(server: Server, cache: Path) -> None:
    server.files["toy.bin"] = CONTENT[::-1]
    with pytest.raises(DataError, match=r"(?s)Toy.*does not match.*By hand"):
        locate(toy(server.url), None)
    assert list(cache.iterdir()) == []


def test_without_a_server_the_message_says_what_to_fetch_from_where_and_where_to_put_it(cache: Path) -> None:
    url = dead_url()
    with pytest.raises(DataError) as error:
        locate(toy(url), None)
    for part in (f"{url}toy.bin", "no connection", str(cache), files.ENVIRONMENT):
        assert part in str(error.value)
    assert len(str(error.value)) < 400
    assert "Traceback" not in str(error.value)


def test_a_cache_that_cannot_be_written_is_told_with_the_steps_by_hand(server: Server, cache: Path) -> None:
    cache.write_text("a file, where a folder should be")
    with pytest.raises(DataError, match="By hand"):
        locate(toy(server.url), None)


def test_no_progress_bar_is_drawn_where_nobody_watches(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch(toy(server.url).remotes[0], tmp_path)
    written = capfd.readouterr()
    assert "%|" not in written.err + written.out
    assert written.out == ""
