"""One SQLite file for what must outlive the service: glossaries, and what each key has used.

Write-ahead logging, one connection behind a lock, a transaction for each change: a crash leaves
the state before or after it. Not its job: what the tables mean (glossaries.py, usage.py).
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

IN_MEMORY = ":memory:"


class DatabaseError(ValueError):
    """The file cannot be used; says why and what helps."""


class Database:
    """Safe to use from several threads.

    Raises:
        DatabaseError: it cannot be opened, or is no database.
    """

    def __init__(self, path: str, *schemas: str) -> None:
        if path != IN_MEMORY and not Path(path).parent.is_dir():
            raise DatabaseError(f"{path}: there is no folder {Path(path).parent}; create it")
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                path, timeout=5, isolation_level=None, check_same_thread=False
            )
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            for schema in schemas:
                self._connection.executescript(schema)
        except sqlite3.Error as error:
            raise DatabaseError(
                f"{path}: {error}; name another file, or one that this service made"
            ) from error

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it, or nothing if the block raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def look(self) -> Iterator[sqlite3.Connection]:
        """The state as it is."""
        with self._lock:
            yield self._connection

    def close(self) -> None:
        """No more use."""
        with self._lock:
            self._connection.close()
