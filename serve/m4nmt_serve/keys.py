"""API keys: a file of their hashes with what each may use, and the accounts behind them.

A key is 32 random bytes, so one round of SHA-256 keeps it: there is nothing to guess. All hashes
are compared, each in constant time. The file is read anew when it changes. Without a file the
service is open. Not its job: where clients put a key (door.py).
"""

import contextlib
import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from m4nmt.core.config import ConfigError, canonical_json, from_dict, parse_json
from m4nmt.core.files import write_atomic
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.usage import Usage

_LOOK = 1.0  # seconds between two looks whether the file changed
_BYTES = 32  # of a key


@dataclass(frozen=True, kw_only=True)
class Key:
    """What is kept of a key.

    Attributes:
        name: whose it is.
        sha256: of the key, in hexadecimal.
        chars_per_month: characters it may have translated in a calendar month (UTC); 0: any number.
        per_minute: requests a minute, of which a quarter may come at once; 0: any number.
    """

    name: str
    sha256: str
    chars_per_month: int = 0
    per_minute: int = 0

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or min(self.chars_per_month, self.per_minute) < 0:
            raise ValueError("a key needs a sha256 of 64 digits, and limits of 0 or more")


@dataclass(frozen=True, kw_only=True)
class KeyFile:
    """The file, as JSON."""

    keys: tuple[Key, ...] = ()


class Account:
    """A key at work. Owned by the event loop."""

    def __init__(self, key: Key, usage: Usage) -> None:
        self.key = key
        self.usage = usage
        self._room = self._most
        self._seen = time.monotonic()

    @property
    def _most(self) -> float:
        """Requests that may come at once."""
        return max(1.0, self.key.per_minute / 4)

    @property
    def used(self) -> int:
        """Characters of this month."""
        return self.usage.of(self.key.sha256)

    def request(self) -> None:
        """Take note of a request (a token bucket).

        Raises:
            ServiceError: 429, too many in a short time.
        """
        rate = self.key.per_minute / 60
        if not rate:
            return
        now = time.monotonic()
        self._room = min(self._most, self._room + (now - self._seen) * rate)
        self._seen = now
        if self._room < 1:
            wait = math.ceil((1 - self._room) / rate)
            raise ServiceError(
                429, f"more than {self.key.per_minute} requests a minute; wait {wait} s", wait
            )
        self._room -= 1


class Keys:
    """The keys of a file.

    Raises:
        ConfigError: it cannot be read; says why.
    """

    def __init__(self, path: Path, usage: Usage) -> None:
        self._path = path
        self._usage = usage
        self._accounts: dict[str, Account] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._looked = 0.0
        self._read()

    def find(self, key: str) -> Account | None:
        """The account of a key, if there is one."""
        self._refresh()
        digest = sha256(key)
        found = None
        for known, account in self._accounts.items():
            if hmac.compare_digest(known, digest):
                found = account
        return found

    def _refresh(self) -> None:
        """A file that is broken, or gone for a moment, changes nothing."""
        if time.monotonic() - self._looked >= _LOOK:
            with contextlib.suppress(ConfigError):
                self._read()

    def _read(self) -> None:
        self._looked = time.monotonic()
        try:
            about = self._path.stat()
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}; see m4nmt keys --help") from error
        stamp = (about.st_mtime_ns, about.st_size, about.st_ino)
        if stamp == self._stamp:
            return
        keys = read(self._path).keys
        self._stamp = stamp
        old = self._accounts
        self._accounts = {}
        for key in keys:
            account = old.get(key.sha256) or Account(key, self._usage)
            account.key = key
            self._accounts[key.sha256] = account


def sha256(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def read(path: Path) -> KeyFile:
    """The file.

    Raises:
        ConfigError: it cannot be read, or is not such a file.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "") or "not UTF-8"
        raise ConfigError(f"{path}: {why}; m4nmt keys add makes such a file") from error
    return from_dict(KeyFile, parse_json(text, str(path)), str(path))


def add(path: Path, name: str, chars_per_month: int = 0, per_minute: int = 0) -> str:
    """Put a new key into the file, which is made if there is none; the key itself is kept nowhere.

    Raises:
        ConfigError: the file cannot be read, or holds a key of this name; a name that is empty; a
            limit below 0.
    """
    if not name.strip():
        raise ConfigError("a key needs a name: whose is it?")
    if min(chars_per_month, per_minute) < 0:
        raise ConfigError("a limit of a key is a number from 0; 0 is none")
    file = read(path) if path.exists() else KeyFile()
    if any(key.name == name for key in file.keys):
        raise ConfigError(f"{path}: there is a key named {name!r}; choose another name")
    made = secrets.token_urlsafe(_BYTES)
    key = Key(
        name=name, sha256=sha256(made), chars_per_month=chars_per_month, per_minute=per_minute
    )
    write_atomic(path, canonical_json(replace(file, keys=(*file.keys, key))) + "\n")
    return made


def remove(path: Path, name: str) -> None:
    """Take a key out of the file.

    Raises:
        ConfigError: the file cannot be read, or has no such key.
    """
    file = read(path)
    rest = tuple(key for key in file.keys if key.name != name)
    if len(rest) == len(file.keys):
        raise ConfigError(f"{path}: there is no key named {name!r}")
    write_atomic(path, canonical_json(replace(file, keys=rest)) + "\n")


@dataclass
class Bill:
    """Characters of some work that the caller has got already."""

    done: int = 0


class Caller(NamedTuple):
    """Who asks.

    Attributes:
        account: None where the service is open.
        spent: the status with which the dialect says that a quota is used up.
    """

    account: Account | None = None
    spent: int = 403

    @property
    def owner(self) -> str:
        """Whose glossaries and documents they may see."""
        return self.account.key.sha256 if self.account else ""

    def charge(self, chars: int) -> None:
        """Count characters.

        Raises:
            ServiceError: more than are left this month.
        """
        if self.account is None:
            return
        most = self.account.key.chars_per_month
        if most and self.account.used + chars > most:
            raise ServiceError(
                self.spent, f"the quota of {most} characters a month would be exceeded"
            )
        self.account.usage.add(self.owner, chars)

    @contextlib.contextmanager
    def charged(self, chars: int) -> Iterator[Bill]:
        """Count characters; if the block raises, only those that its bill says were done.

        Raises:
            ServiceError: more than are left this month.
        """
        self.charge(chars)
        bill = Bill()
        try:
            yield bill
        except BaseException:
            self.refund(chars - bill.done)
            raise

    def refund(self, chars: int) -> None:
        """Take back what was counted, of work that was not done."""
        if self.account is not None and chars:
            self.account.usage.add(self.owner, -chars)


_NOBODY = Caller()
_caller: ContextVar[Caller] = ContextVar("m4nmt_caller", default=_NOBODY)


def caller() -> Caller:
    """Who asks in this request."""
    return _caller.get()


def let_in(one: Caller) -> None:
    """What is done in this context is for this caller."""
    _caller.set(one)
