"""Getting corpora: from a server of our own, and through `datasets` from a folder."""

import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from m4nmt.core.files import sha256_file
from m4nmt.data import manifest
from m4nmt.data.manifests.download import check_address
from m4nmt.data.manifests.fetch import NOTES, FetchError, fetch

TEXT = b"".join(b"line %d\n" % number for number in range(20_000))


class Server(SimpleHTTPRequestHandler):
    """Serves a folder; goes on after a given byte, and can break off."""

    asked: ClassVar[list[str]] = []
    breaks_after = 0

    def do_GET(self) -> None:
        body = Path(self.translate_path(self.path))
        if not body.is_file():
            self.send_error(404)
            return
        data, span = body.read_bytes(), self.headers.get("Range", "")
        self.asked.append(f"{self.path} {span}".strip())
        start = int(span.removeprefix("bytes=").rstrip("-") or 0) if span else 0
        if start >= len(data) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + Server.breaks_after if Server.breaks_after else len(data)
        self.wfile.write(data[start:end])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a server."""
    folder = tmp_path / "site"
    folder.mkdir()
    Server.asked, Server.breaks_after = [], 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def described(folder: Path, *fetches: str) -> manifest.Manifest:
    text = """
    name = "made"
    license = "CC0-1.0"
    [[corpus]]
    name = "c"
    split = "train"
    format = "tsv"
    path = "a/t.tsv"
    columns = ["en", "de"]
    """
    path = folder / "made.toml"
    path.write_text(text + "".join(f"[[fetch]]\n{item}\n" for item in fetches))
    return manifest.parse(path)


def done(found: manifest.Manifest, root: Path) -> dict[str, str]:
    return {item.file: what for item, what in fetch(found, root)}


def test_files_come_and_are_noted_and_left_alone(site: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = site
    (folder / "t.tsv").write_bytes(TEXT)
    found = described(tmp_path, f'file = "a/t.tsv"\nurl = "{url}/t.tsv"')
    root = tmp_path / "root"
    assert done(found, root) == {"a/t.tsv": "fetched"}
    assert (root / "a" / "t.tsv").read_bytes() == TEXT
    noted = json.loads((root / NOTES).read_text())["a/t.tsv"]
    assert noted["sha256"] == sha256_file(root / "a" / "t.tsv")
    assert (noted["size"], noted["source"]) == (len(TEXT), f"{url}/t.tsv")
    assert done(found, root) == {"a/t.tsv": "is there"}
    assert Server.asked == ["/t.tsv"]
    assert not [path for path in root.rglob("*") if path.name.endswith(".part")]


def test_a_broken_download_goes_on(site: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = site
    (folder / "t.tsv").write_bytes(TEXT)
    found = described(tmp_path, f'file = "t.tsv"\nurl = "{url}/t.tsv"')
    Server.breaks_after = 70_000
    with pytest.raises(FetchError, match=f"ended after 70000 of {len(TEXT)} bytes; fetch again"):
        done(found, tmp_path)
    assert not (tmp_path / "t.tsv").exists()
    Server.breaks_after = 0
    assert done(found, tmp_path) == {"t.tsv": "fetched"}
    assert (tmp_path / "t.tsv").read_bytes() == TEXT
    assert Server.asked == ["/t.tsv", "/t.tsv bytes=70000-"]


def test_a_part_that_has_all_or_too_much_is_got_anew(
    site: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = site
    (folder / "t.tsv").write_bytes(TEXT)
    (tmp_path / ".t.tsv.part").write_bytes(b"x" * (len(TEXT) + 3))
    found = described(tmp_path, f'file = "t.tsv"\nurl = "{url}/t.tsv"')
    assert done(found, tmp_path) == {"t.tsv": "fetched"}
    assert (tmp_path / "t.tsv").read_bytes() == TEXT


def test_other_bytes_are_refused(site: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = site
    (folder / "t.tsv").write_bytes(TEXT)
    fetched = f'file = "t.tsv"\nurl = "{url}/t.tsv"'
    wrong = described(tmp_path, fetched + f'\nsha256 = "{"0" * 64}"')
    with pytest.raises(FetchError, match="the manifest says 000"):
        done(wrong, tmp_path)
    assert not (tmp_path / "t.tsv").exists()
    found = described(tmp_path, fetched)
    done(found, tmp_path)
    (tmp_path / "t.tsv").write_bytes(TEXT[:-1] + b"?")
    with pytest.raises(FetchError, match="the first fetch noted"):
        done(found, tmp_path)
    (tmp_path / "t.tsv").unlink()
    (folder / "t.tsv").write_bytes(TEXT + b"more\n")
    with pytest.raises(FetchError, match="its source has changed"):
        done(found, tmp_path)
    assert not (tmp_path / "t.tsv").exists()


def test_what_was_brought_by_hand_is_noted(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(TEXT)
    found = described(tmp_path, 'file = "t.tsv"\nurl = "https://example.invalid/t.tsv"')
    assert done(found, tmp_path) == {"t.tsv": "noted"}
    assert done(found, tmp_path) == {"t.tsv": "is there"}


def test_without_a_network_it_says_what_to_do(tmp_path: Path) -> None:
    found = described(tmp_path, 'file = "t.tsv"\nurl = "http://127.0.0.1:9/t.tsv"')
    with pytest.raises(FetchError) as caught:
        done(found, tmp_path)
    for part in ("cannot reach 127.0.0.1", "another machine", str(tmp_path / "t.tsv")):
        assert part in str(caught.value)


def test_what_the_server_does_not_have(site: tuple[str, Path], tmp_path: Path) -> None:
    found = described(tmp_path, f'file = "t.tsv"\nurl = "{site[0]}/none.tsv"')
    with pytest.raises(FetchError, match="the server says 404"):
        done(found, tmp_path)


def test_no_road_leads_away_from_https() -> None:
    item = manifest.Fetch(file="x", url="https://example.org/x")
    check_address(item, "https://other.example.org/x")
    with pytest.raises(FetchError, match="which is not https"):
        check_address(item, "http://example.org/x")


def test_a_manifest_without_addresses_names_its_page(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="does not say where its files come from"):
        done(described(tmp_path), tmp_path)


def test_through_datasets_to_parquet_that_is_read(tmp_path: Path) -> None:
    from m4nmt.data.preparing.inputs import inputs, look

    hub = tmp_path / "hub"
    hub.mkdir()
    rows = [{"translation": {"en": f"line {n}", "de": f"Zeile {n}"}} for n in range(7)]
    (hub / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = f"""
    name = "made"
    [[corpus]]
    name = "c"
    split = "train"
    format = "parquet"
    path = "c.parquet"
    columns = {{en = "translation.en", de = "translation.de"}}
    [[fetch]]
    file = "c.parquet"
    dataset = {{hub = "{hub}", split = "train"}}
    """
    path = tmp_path / "m.toml"
    path.write_text(text)
    assert done(manifest.parse(path), tmp_path) == {"c.parquet": "fetched"}
    found = manifest.load(str(path), str(tmp_path))
    (item,) = inputs(found, found.corpora, ["eng_Latn", "deu_Latn"])
    assert look(item).rows == 7
    assert done(manifest.parse(path), tmp_path) == {"c.parquet": "is there"}
