"""Which files are done, under which key, with which hash: what a killed run left behind."""

import json
from collections.abc import Iterable
from pathlib import Path

from m4nmt.core.files import append_durable, sha256_file, write_atomic


class Ledger:
    """An append-only journal of finished files.

    Args:
        root: names of files are relative to it.
        path: of the journal.
    """

    def __init__(self, root: Path, path: Path) -> None:
        self._root, self._path = root, path
        self._entries: dict[str, tuple[str, str]] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                self._take(line)

    def _take(self, line: str) -> None:
        try:
            name, key, digest = json.loads(line)
        except ValueError:  # the last line of a killed run
            return
        self._entries[name] = (key, digest)

    def has(self, name: str, key: str) -> bool:
        """Whether this file was made under this key and is still what was written."""
        made, digest = self._entries.get(name, ("", ""))
        path = self._root / name
        return made == key and path.is_file() and sha256_file(path) == digest

    def add(self, name: str, key: str) -> None:
        """This file is done."""
        self._entries[name] = (key, sha256_file(self._root / name))
        append_durable(self._path, json.dumps([name, *self._entries[name]]))

    def files(self, names: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Size and hash of each of these files."""
        return {
            name: ((self._root / name).stat().st_size, self._entries[name][1]) for name in names
        }

    def compact(self, names: Iterable[str]) -> None:
        """Forget all other files."""
        self._entries = {name: self._entries[name] for name in sorted(names)}
        lines = [json.dumps([name, *entry]) + "\n" for name, entry in self._entries.items()]
        write_atomic(self._path, "".join(lines))
