"""The keys of a manifest's tables: which there are, and what kind of value each holds.

Not its job: what the values mean (manifest.py, columns.py, told.py).
"""

from collections.abc import Collection
from typing import Any

from m4nmt.core.config import ConfigError, unknown_name

TOP = {"name", "url", "license", "note", "folder", "corpus", "fetch"}
FETCH = {"file", "url", "dataset", "sha256", "size"}
# What is not here holds more than one kind; who reads it says what it wants.
_KINDS: dict[str, tuple[type, str]] = {
    "corpus": (list, "written [[corpus]], once for each"),
    "fetch": (list, "written [[fetch]], once for each"),
    "each": (list, "a list of tables, such as [{x = 'de'}]"),
    "synthetic": (list, 'a list of languages, such as ["deu_Latn"]'),
    "where": (dict, 'a table, such as {label = "clean"}'),
    "licenses": (dict, 'a table, such as {deu_Latn = "CC0-1.0"}'),
    "dataset": (dict, 'a table, such as {hub = "owner/name"}'),
    "header": (bool, "true or false"),
    **dict.fromkeys(("name", "url", "license", "note", "folder", "domain"), (str, "a text")),
}
_NUMBERS = ("lines", "size")


def check(data: Any, known: Collection[str], where: str) -> None:
    """See that a table has known keys alone, and values of their kinds.

    Raises:
        ConfigError: it has not, or is no table.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: is not a table but {data!r}")
    for key, value in data.items():
        if key not in known:
            raise ConfigError(f"{where}: {unknown_name(key, known, 'key')}")
        kind, told = _KINDS.get(key, (object, ""))
        if not isinstance(value, kind):
            raise ConfigError(f"{where}: {key} is {told}, not {value!r}")
        if key in _NUMBERS and not str(value).isdecimal():
            raise ConfigError(f"{where}: {key} is a whole number, not {value!r}")
