"""Stored glossaries: a name and dictionaries, one for each pair of languages.

Kept in SQLite; each belongs to the key that made it. Languages are FLORES codes. Not its job:
how a dialect writes them, or terms in translations (the translator's).
"""

import csv
import io
import sqlite3
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from m4nmt_serve.database import Database
from m4nmt_serve.errors import ServiceError

MOST_ENTRIES = 20_000  # of a dictionary
_MOST_GLOSSARIES = 1_000  # of a key
_LONGEST = 1_024  # characters of a term
SCHEMA = """
CREATE TABLE IF NOT EXISTS glossary (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
    glossary TEXT NOT NULL REFERENCES glossary ON DELETE CASCADE,
    src TEXT NOT NULL, tgt TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
    PRIMARY KEY (glossary, src, tgt, source)
) WITHOUT ROWID;
"""
Pair = tuple[str, str]
Entries = Mapping[str, str]


@dataclass(frozen=True)
class Glossary:
    """A glossary without its entries: how many there are for each (source, target)."""

    id: str
    name: str
    created: float
    counts: Mapping[Pair, int]


class Glossaries:
    """All glossaries. Every method takes the owner, and knows nothing of what others own.

    Raises (every method that takes an id):
        ServiceError: 404, there is none of that id.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, owner: str, name: str, dictionaries: Mapping[Pair, Entries]) -> Glossary:
        """A new one.

        Raises:
            ServiceError: 400, no name, nothing in it, or too many glossaries.
        """
        if not name.strip() or not dictionaries:
            raise ServiceError(400, "a glossary needs a name and entries")
        made = str(uuid.uuid4())
        with self._database.change() as db:
            held = db.execute("SELECT count(*) FROM glossary WHERE owner = ?", (owner,)).fetchone()
            if held[0] >= _MOST_GLOSSARIES:
                raise ServiceError(400, f"there are {_MOST_GLOSSARIES} glossaries; delete some")
            db.execute("INSERT INTO glossary VALUES (?, ?, ?, ?)", (made, owner, name, time.time()))
            for pair, entries in dictionaries.items():
                _insert(db, made, pair, entries)
            return _one(db, owner, made)

    def all(self, owner: str) -> list[Glossary]:
        """Oldest first."""
        with self._database.look() as db:
            rows = db.execute(
                "SELECT id FROM glossary WHERE owner = ? ORDER BY created, id", (owner,)
            ).fetchall()
            return [_one(db, owner, row[0]) for row in rows]

    def get(self, owner: str, glossary: str) -> Glossary:
        """One of them."""
        with self._database.look() as db:
            return _one(db, owner, glossary)

    def entries(self, owner: str, glossary: str, pair: Pair) -> dict[str, str]:
        """The terms of a dictionary, sorted.

        Raises:
            ServiceError: 404, it has no dictionary for this pair.
        """
        with self._database.look() as db:
            _dictionary(_one(db, owner, glossary), pair)
            rows = db.execute(
                "SELECT source, target FROM entry WHERE glossary = ? AND src = ? AND tgt = ? "
                "ORDER BY source",
                (glossary, *pair),
            )
            return dict(rows.fetchall())

    def merge(
        self, owner: str, glossary: str, dictionaries: Mapping[Pair, Entries], name: str = ""
    ) -> Glossary:
        """More entries, which replace those of equal terms; and another name, if one is given."""
        with self._database.change() as db:
            _one(db, owner, glossary)
            if name:
                db.execute("UPDATE glossary SET name = ? WHERE id = ?", (name, glossary))
            for pair, entries in dictionaries.items():
                _insert(db, glossary, pair, entries)
            return _one(db, owner, glossary)

    def put(self, owner: str, glossary: str, pair: Pair, entries: Entries) -> Glossary:
        """A dictionary in the place of the one for this pair, if there is one."""
        with self._database.change() as db:
            _one(db, owner, glossary)
            _clear(db, glossary, pair)
            _insert(db, glossary, pair, entries)
            return _one(db, owner, glossary)

    def drop(self, owner: str, glossary: str, pair: Pair) -> None:
        """A dictionary out of it.

        Raises:
            ServiceError: 404, it has none for this pair; 400, it has no other.
        """
        with self._database.change() as db:
            found = _one(db, owner, glossary)
            _dictionary(found, pair)
            if len(found.counts) == 1:
                raise ServiceError(400, "this is the only dictionary; delete the glossary instead")
            _clear(db, glossary, pair)

    def delete(self, owner: str, glossary: str) -> None:
        """It is gone."""
        with self._database.change() as db:
            _one(db, owner, glossary)
            db.execute("DELETE FROM glossary WHERE id = ?", (glossary,))


def read_entries(text: str, form: str) -> dict[str, str]:
    """Entries out of TSV ("tsv") or CSV ("csv").

    Raises:
        ServiceError: 400 that names the line.
    """
    if form not in ("tsv", "csv"):
        raise ServiceError(400, "entries_format must be tsv or csv")
    if form == "tsv":
        rows = [line.split("\t") for line in text.splitlines()]
    else:
        try:
            rows = list(csv.reader(io.StringIO(text), strict=True))
        except csv.Error as error:
            raise ServiceError(400, f"entries are not CSV: {error}") from error
    pairs: list[tuple[str, str]] = []
    for number, row in enumerate(rows, 1):
        if not row or row == [""]:
            continue
        if len(row) < 2 or (form == "tsv" and len(row) > 2):
            raise ServiceError(400, f"entries, line {number}: need a term and its translation")
        pairs.append((row[0], row[1]))
    return checked(pairs)


def checked(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Entries that can be used.

    Raises:
        ServiceError: 400, what is wrong with them.
    """
    entries: dict[str, str] = {}
    for source, target in ((a.strip(), b.strip()) for a, b in pairs):
        for term in (source, target):
            if not term or len(term) > _LONGEST or not term.isprintable():
                raise ServiceError(
                    400,
                    f"a term must be 1 to {_LONGEST} printable characters, unlike {term[:40]!r}",
                )
        if source in entries:
            raise ServiceError(400, f"the term {source[:40]!r} is given twice")
        entries[source] = target
    if not entries:
        raise ServiceError(400, "a dictionary needs at least one entry")
    return entries


def write_tsv(entries: Entries) -> str:
    """Entries as TSV."""
    return "\n".join(f"{source}\t{target}" for source, target in entries.items())


def _one(db: sqlite3.Connection, owner: str, glossary: str) -> Glossary:
    row = db.execute(
        "SELECT name, created FROM glossary WHERE id = ? AND owner = ?", (glossary, owner)
    ).fetchone()
    if row is None:
        raise ServiceError(404, f"there is no glossary {glossary[:40]!r}")
    counts = db.execute(
        "SELECT src, tgt, count(*) FROM entry WHERE glossary = ? GROUP BY src, tgt", (glossary,)
    )
    return Glossary(glossary, row[0], row[1], {(src, tgt): n for src, tgt, n in counts})


def _dictionary(glossary: Glossary, pair: Pair) -> None:
    if pair not in glossary.counts:
        raise ServiceError(404, f"this glossary has no dictionary from {pair[0]} to {pair[1]}")


def _clear(db: sqlite3.Connection, glossary: str, pair: Pair) -> None:
    db.execute("DELETE FROM entry WHERE glossary = ? AND src = ? AND tgt = ?", (glossary, *pair))


def _insert(db: sqlite3.Connection, glossary: str, pair: Pair, entries: Entries) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)",
        [(glossary, *pair, source, target) for source, target in entries.items()],
    )
    many = db.execute(
        "SELECT count(*) FROM entry WHERE glossary = ? AND src = ? AND tgt = ?", (glossary, *pair)
    ).fetchone()
    if many[0] > MOST_ENTRIES:
        raise ServiceError(400, f"a dictionary may have {MOST_ENTRIES} entries")
