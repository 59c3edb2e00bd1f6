"""Better translations that people suggest: kept in SQLite, read by whoever trains the next model.

Each keeps what the model had said, so that a reader sees what was mended. Not its job: who may
suggest, or read them (the dialects, operate.py).
"""

import json
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from m4nmt_serve.database import Database
from m4nmt_serve.errors import ServiceError

SCHEMA = """
CREATE TABLE IF NOT EXISTS suggestion (
    id INTEGER PRIMARY KEY, created REAL NOT NULL, owner TEXT NOT NULL,
    src TEXT NOT NULL, tgt TEXT NOT NULL,
    text TEXT NOT NULL, machine TEXT NOT NULL, translation TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS suggestion_owner ON suggestion (owner);
"""
_MOST = 1_000_000  # in all
_OF_ONE = 100_000  # of one key
_LONGEST = 10_000  # characters of a text
_PAGE = 500  # rows read at one time
_BREAKS = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_COLUMNS = ("created", "src", "tgt", "text", "machine", "translation")


class Suggestion(NamedTuple):
    """`translation` is better than `machine` for `text`. Languages are FLORES codes."""

    src: str
    tgt: str
    text: str
    translation: str
    machine: str = ""


class Suggestions:
    """All of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, owner: str, one: Suggestion) -> None:
        """Keep one.

        Raises:
            ServiceError: 400, an empty or too long text; 413, there is no room for more.
        """
        if not one.text.strip() or not one.translation.strip():
            raise ServiceError(400, "a suggestion needs a text and its translation")
        if max(len(one.text), len(one.translation), len(one.machine)) > _LONGEST:
            raise ServiceError(400, f"a suggestion may have {_LONGEST} characters a text")
        row = (time.time(), owner, one.src, one.tgt, one.text, one.machine, one.translation)
        with self._database.change() as db:
            (held,) = db.execute("SELECT ifnull(max(id), 0) FROM suggestion").fetchone()
            (own,) = db.execute(
                "SELECT count(*) FROM suggestion WHERE owner = ?", (owner,)
            ).fetchone()
            if held >= _MOST or (owner and own >= _OF_ONE):
                raise ServiceError(413, "there is no room for more suggestions")
            db.execute(
                "INSERT INTO suggestion (created, owner, src, tgt, text, machine, translation) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def lines(self) -> Iterator[str]:
        """One line of JSON for each, oldest first; without the owner."""
        for row in self._rows():
            yield json.dumps(dict(zip(_COLUMNS, row, strict=True)), ensure_ascii=False) + "\n"

    def table(self) -> Iterator[str]:
        """A head, and one line for each with tabs between; line breaks in texts become spaces."""
        yield "\t".join(_COLUMNS) + "\n"
        for row in self._rows():
            yield "\t".join(_BREAKS.sub(" ", str(value)) for value in row) + "\n"

    def _rows(self) -> Iterator[tuple[float | str, ...]]:
        """Page by page, so that neither memory nor the lock is held for long."""
        last = 0
        while True:
            with self._database.look() as db:
                rows = db.execute(
                    f"SELECT id, {', '.join(_COLUMNS)} FROM suggestion WHERE id > ? ORDER BY id "
                    "LIMIT ?",
                    (last, _PAGE),
                ).fetchall()
            for number, *row in rows:
                last = number
                yield tuple(row)
            if len(rows) < _PAGE:
                return
