"""Patterns of directions: shell-style ("*-swh_Latn"), or regular expressions after "re:".

A direction is matched as it is written: "eng_Latn-swh_Latn", "deu_Latn-deu_Latn:mass",
"deu_Latn-eng_Latn+bt". Either kind must match the whole of it.
"""

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.config import ConfigError

EXPRESSION = "re:"


def matcher(pattern: str) -> Callable[[str], bool]:
    """What tells whether a name matches.

    Raises:
        ConfigError: not a regular expression.
    """
    if not pattern.startswith(EXPRESSION):
        return lambda name: fnmatchcase(name, pattern)
    try:
        compiled = re.compile(pattern.removeprefix(EXPRESSION))
    except re.error as error:
        raise ConfigError(f"{pattern!r} is no regular expression: {error}") from error
    return lambda name: compiled.fullmatch(name) is not None


def first_match(names: Sequence[str], patterns: Sequence[str], where: str) -> NDArray[np.int64]:
    """Index of the first pattern that matches each name, -1 where none does.

    Raises:
        ConfigError: a pattern that matches no name; `where` says whose it is.
    """
    found = np.full(len(names), -1, np.int64)
    for number, pattern in enumerate(patterns):
        matches = matcher(pattern)
        here = np.fromiter((matches(name) for name in names), bool, len(names))
        if not here.any():
            raise ConfigError(
                f"{where}: {pattern!r} matches no direction; directions are written like {names[0]}"
            )
        found[here & (found < 0)] = number
    return found
