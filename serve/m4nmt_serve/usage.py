"""Characters that each key has had translated, by calendar month (UTC).

Not its job: what a key may use (keys.py).
"""

import time

from m4nmt_serve.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS usage (
    key TEXT NOT NULL, month TEXT NOT NULL, chars INTEGER NOT NULL, PRIMARY KEY (key, month)
) WITHOUT ROWID;
"""
_ADD = """
INSERT INTO usage VALUES (?, ?, ?)
ON CONFLICT (key, month) DO UPDATE SET chars = max(0, chars + excluded.chars)
"""


class Usage:
    """The counts of all keys; `key` is what is kept of a key, its hash."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: str, chars: int) -> None:
        """Count more characters, or fewer where work that was counted was not done."""
        with self._database.change() as db:
            db.execute(_ADD, (key, month(), chars))

    def of(self, key: str) -> int:
        """Characters of this month."""
        with self._database.look() as db:
            row = db.execute(
                "SELECT chars FROM usage WHERE key = ? AND month = ?", (key, month())
            ).fetchone()
        return int(row[0]) if row else 0


def month() -> str:
    """This month."""
    return time.strftime("%Y-%m", time.gmtime())
