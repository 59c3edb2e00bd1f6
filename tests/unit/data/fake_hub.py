"""A hub of datasets in one process: what `datasets` asks of a real one, answered from a folder."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

NAME = "me/talks"
COMMIT = "1" * 40
PAIRS = (("de", "en"), ("en", "fr"))


class Hub(BaseHTTPRequestHandler):
    """One dataset of one commit."""

    def __init__(self, *args: Any, folder: Path, asked: list[str]) -> None:
        self.folder, self.asked = folder, asked
        super().__init__(*args)

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        about, bytes_of = f"/api/datasets/{NAME}", f"/datasets/{NAME}/resolve/{COMMIT}/"
        if path.startswith(f"{about}/tree/{COMMIT}"):
            self._json(self._tree(path.removeprefix(f"{about}/tree/{COMMIT}").strip("/")))
        elif path in (about, f"{about}/revision/{COMMIT}"):
            files = [{"rfilename": name} for name in self._files()]
            self._json({"id": NAME, "sha": COMMIT, "siblings": files, "tags": []})
        elif path.startswith(bytes_of) and (file := self.folder / path[len(bytes_of) :]).is_file():
            data = file.read_bytes()
            tag = hashlib.sha1(data).hexdigest()
            self._send(data, ETag=f'"{tag}"', X_Repo_Commit=COMMIT)
        else:
            self._send(b"not found", 404, X_Error_Code="EntryNotFound")

    def _files(self) -> list[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.folder)) for path in found)

    def _tree(self, under: str) -> list[dict[str, Any]]:
        """What lies in a folder."""
        found: list[dict[str, Any]] = []
        for path in sorted((self.folder / under).iterdir()):
            name = str(path.relative_to(self.folder))
            kind, size = ("directory", 0) if path.is_dir() else ("file", path.stat().st_size)
            found.append({"type": kind, "path": name, "size": size, "oid": "0" * 40})
        return found

    def _json(self, data: Any) -> None:
        self._send(json.dumps(data).encode(), Content_Type="application/json")

    def _send(self, body: bytes, status: int = 200, **headers: str) -> None:
        span = self.headers.get("Range", "")
        if span and status == 200:
            first, _, last = span.removeprefix("bytes=").partition("-")
            status, start, end = 206, int(first), int(last or len(body) - 1)
            headers["Content_Range"] = f"bytes {start}-{end}/{len(body)}"
            body = body[start : end + 1]
        self.send_response(status)
        for name, value in {**headers, "Content_Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def fill(folder: Path) -> None:
    """A dataset with a config for each pair, and two splits."""
    card = ["---", "configs:"]
    for one, other in PAIRS:
        name = f"{one}-{other}"
        (folder / name).mkdir(parents=True)
        card += [f"- config_name: {name}", "  data_files:"]
        for split, count in (("train", 7), ("test", 2)):
            rows = [{one: f"{one} {n} {split}", other: f"{other} {n}"} for n in range(count)]
            table = pa.table({"translation": rows})
            pq.write_table(table, folder / name / f"{split}-00000-of-00001.parquet")
            card += [f"  - split: {split}", f"    path: {name}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*card, "---", "# Talks", ""]))


@contextmanager
def hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Address of a hub with that dataset, and what it was asked."""
    fill(folder)
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folder=folder, asked=asked))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
