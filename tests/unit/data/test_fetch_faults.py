"""Downloads that go wrong, from a server of our own that can do all of it."""

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

import pytest

from m4nmt.data.manifest import Fetch, Manifest
from m4nmt.data.manifests.fetch import FetchError, fetch

TEXT = b"".join(b"line %d\n" % number for number in range(20_000))
HALF = 70_000


class Server(BaseHTTPRequestHandler):
    """Answers as the test of the moment says."""

    answer: ClassVar[Callable[["Server"], None]]
    asked: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        Server.asked.append({"path": self.path, **dict(self.headers)})
        type(self).answer(self)

    def begin(self, status: int, **headers: str) -> None:
        """The head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server."""
    Server.asked = []
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def got(url: str, root: Path, **more: Any) -> bytes:
    """Fetch one file; its bytes."""
    item = Fetch(file="t.tsv", url=f"{url}/t.tsv", **more)
    found = Manifest(name="made", root=root, corpora=(), fetches=(item,))
    assert [what for _, what in fetch(found, root)] == ["fetched"]
    return (root / "t.tsv").read_bytes()


def whole(server: Server, data: bytes = TEXT, **headers: str) -> None:
    """All of it, or the rest where a range is asked for and the version is the same."""
    span, same = server.headers.get("Range"), server.headers.get("If-Range")
    start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
    if same not in (None, headers.get("ETag")):
        start = 0
    if start:
        headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
    server.begin(206 if start else 200, Content_Length=str(len(data) - start), **headers)
    server.wfile.write(data[start:])


def half(server: Server, **headers: str) -> None:
    """Breaks off."""
    server.begin(200, Content_Length=str(len(TEXT)), **headers)
    server.wfile.write(TEXT[:HALF])


def test_a_redirect_is_followed_with_its_range(site: str, tmp_path: Path) -> None:
    def answer(server: Server) -> None:
        if server.path == "/t.tsv":
            server.begin(302, Location=f"{site}/elsewhere", Content_Length="0")
        else:
            whole(server)

    Server.answer = answer
    (tmp_path / ".t.tsv.part").write_bytes(TEXT[:HALF])
    assert got(site, tmp_path) == TEXT
    assert [one["path"] for one in Server.asked] == ["/t.tsv", "/elsewhere"]
    assert Server.asked[1]["Range"] == f"bytes={HALF}-"


def test_a_part_of_another_version_is_not_gone_on_with(site: str, tmp_path: Path) -> None:
    Server.answer = lambda server: half(server, ETag='"one"')
    with pytest.raises(FetchError, match="goes on from there"):
        got(site, tmp_path)
    changed = TEXT.replace(b"line", b"LINE")
    Server.answer = lambda server: whole(server, changed, ETag='"two"')
    assert got(site, tmp_path) == changed
    assert Server.asked[1]["If-Range"] == '"one"'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fetched.json", "t.tsv"]


def test_a_part_of_the_same_version_is(site: str, tmp_path: Path) -> None:
    Server.answer = lambda server: half(server, ETag='"one"')
    with pytest.raises(FetchError, match=f"ended after {HALF} of {len(TEXT)} bytes"):
        got(site, tmp_path)
    sent: list[int] = []

    def answer(server: Server) -> None:
        sent.append(int(server.headers["Range"].removeprefix("bytes=").rstrip("-")))
        whole(server, ETag='"one"')

    Server.answer = answer
    assert got(site, tmp_path) == TEXT
    assert sent == [HALF]


def test_pieces_that_break_off_are_no_file(site: str, tmp_path: Path) -> None:
    def answer(server: Server) -> None:
        server.protocol_version = "HTTP/1.1"
        server.begin(200, Transfer_Encoding="chunked")
        server.wfile.write(b"%x\r\n" % len(TEXT) + TEXT[:HALF])
        server.close_connection = True

    Server.answer = answer
    with pytest.raises(FetchError, match=r"broke off \(.*\); fetch again, it goes on from there"):
        got(site, tmp_path)
    assert not (tmp_path / "t.tsv").exists()
    Server.answer = whole
    assert got(site, tmp_path) == TEXT


def test_where_the_server_tells_no_length_the_manifest_does(site: str, tmp_path: Path) -> None:
    def answer(server: Server) -> None:
        server.begin(200)
        server.wfile.write(TEXT[:HALF])

    Server.answer = answer
    with pytest.raises(FetchError, match=f"ended after {HALF} of {len(TEXT)} bytes"):
        got(site, tmp_path, size=len(TEXT))
    Server.answer = whole
    assert got(site, tmp_path, size=len(TEXT)) == TEXT


def test_more_bytes_than_the_manifest_says_are_refused(site: str, tmp_path: Path) -> None:
    Server.answer = whole
    with pytest.raises(FetchError, match=f"has {len(TEXT):,} bytes, the manifest says 1,000"):
        got(site, tmp_path, size=1000)
    assert not (tmp_path / "t.tsv").exists()


def test_a_packed_file_stays_as_it_is(site: str, tmp_path: Path) -> None:
    packed = gzip.compress(TEXT)
    Server.answer = lambda server: whole(server, packed, Content_Encoding="gzip")
    assert got(site, tmp_path) == packed
    assert Server.asked[0]["Accept-Encoding"] == "identity"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
def test_a_full_disk_is_called_one(site: str, tmp_path: Path) -> None:
    Server.answer = whole
    (tmp_path / ".t.tsv.part").symlink_to("/dev/full")
    with pytest.raises(FetchError, match=r"\.part: cannot be written \(No space left.*make room"):
        got(site, tmp_path)


def test_another_part_than_was_asked_for_is_not_put_behind_it(site: str, tmp_path: Path) -> None:
    def answer(server: Server) -> None:
        whole_range = f"bytes 0-{len(TEXT) - 1}/{len(TEXT)}"
        status, told = (
            (206, {"Content_Range": whole_range}) if server.headers["Range"] else (200, {})
        )
        server.begin(status, Content_Length=str(len(TEXT)), **told)
        server.wfile.write(TEXT)

    Server.answer = answer
    (tmp_path / ".t.tsv.part").write_bytes(TEXT[:HALF])
    assert got(site, tmp_path) == TEXT


def test_two_at_once_do_not_write_into_each_others_part(site: str, tmp_path: Path) -> None:
    begun, go_on = Event(), Event()

    def answer(server: Server) -> None:
        server.begin(200, Content_Length=str(len(TEXT)))
        server.wfile.write(TEXT[:HALF])
        begun.set()
        go_on.wait(10)
        server.wfile.write(TEXT[HALF:])

    Server.answer = answer
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(got, site, tmp_path)
        assert begun.wait(10)
        with pytest.raises(FetchError, match="another fetch is getting this file"):
            got(site, tmp_path)
        go_on.set()
        assert first.result() == TEXT


def test_what_is_wrong_with_one_file_does_not_keep_the_others(site: str, tmp_path: Path) -> None:
    def answer(server: Server) -> None:
        if server.path == "/none":
            server.begin(404)
        elif server.path == "/page":
            server.begin(200, Content_Type="text/html; charset=utf-8", Content_Length="9")
            server.wfile.write(b"<p>log in")
        elif server.path == "/empty":
            server.begin(200, Content_Length="0")
        else:
            whole(server)

    Server.answer = answer
    names = ("none", "page", "empty", "good")
    items = tuple(Fetch(file=f"{name}.tsv", url=f"{site}/{name}") for name in names)
    done = fetch(Manifest(name="made", root=tmp_path, corpora=(), fetches=items), tmp_path)
    assert next(done)[0].file == "good.tsv"
    with pytest.raises(FetchError, match="3 of 4 files are missing") as caught:
        next(done)
    for part in (
        "/none: the server says 404",
        "/page: answers with a web page",
        "/empty: is empty",
    ):
        assert part in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fetched.json", "good.tsv"]


def test_a_server_in_trouble_is_asked_later(site: str, tmp_path: Path) -> None:
    Server.answer = lambda server: server.begin(503)
    with pytest.raises(FetchError, match="503 Service Unavailable; try again later"):
        got(site, tmp_path)


def test_fewer_bytes_than_the_manifest_says_are_refused_not_waited_for(
    site: str, tmp_path: Path
) -> None:
    Server.answer = whole
    with pytest.raises(FetchError, match=r"the manifest says 9,000,000: its source has changed"):
        got(site, tmp_path, size=9_000_000)
    assert not list(tmp_path.iterdir())


def test_it_is_told_how_far_a_file_is(site: str, tmp_path: Path) -> None:
    Server.answer = whole
    (tmp_path / ".t.tsv.part").write_bytes(TEXT[:HALF])
    item = Fetch(file="t.tsv", url=f"{site}/t.tsv")
    heard: list[tuple[int, int]] = []
    found = Manifest(name="made", root=tmp_path, corpora=(), fetches=(item,))
    list(fetch(found, tmp_path, lambda item, held, in_all: heard.append((held, in_all))))
    assert heard[-1] == (len(TEXT), len(TEXT))
    assert heard[0][0] > HALF
