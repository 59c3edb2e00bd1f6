"""What a manifest says of the origin of a corpus's text: its domain, and what a machine translated.

The model is told by tags. Back-translated text is marked and only ever read, never a target
(Caswell et al. 2019, "Tagged back-translation"). Not its job: where tags stand (tokenizer.py).
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from m4nmt.core.config import ConfigError
from m4nmt.data.manifests.columns import code_of

KEYS = {"domain", "synthetic"}
BACK_TRANSLATED = "bt"


def domain(data: Mapping[str, Any], where: str) -> str:
    """The domain of one [[corpus]] table; empty where none is given.

    Raises:
        ConfigError: it cannot be a tag.
    """
    found = str(data.get("domain", ""))
    if found and (not re.fullmatch(r"[a-z0-9_]+", found) or found == BACK_TRANSLATED):
        raise ConfigError(
            f"{where}: domain {found!r}: write it with small letters, digits and _, and not as "
            f"{BACK_TRANSLATED!r}"
        )
    return found


def synthetic(data: Mapping[str, Any], there: Collection[str], where: str) -> tuple[str, ...]:
    """Languages of one [[corpus]] table whose column a machine translated.

    Raises:
        ConfigError: not languages of the corpus, or all of them.
    """
    found = tuple(code_of(code, where) for code in data.get("synthetic", ()))
    if set(found) - set(there) or (found and set(found) == set(there)):
        raise ConfigError(
            f"{where}: synthetic lists some of its languages ({', '.join(sorted(there))}), those "
            f"that a machine translated, not {', '.join(found)}"
        )
    return found


def tags(domain: str, synthetic: Collection[str], src: str) -> tuple[str, ...]:
    """The tags of training text that is read from language `src`."""
    origin = (BACK_TRANSLATED,) if src in synthetic else ()
    return origin + ((domain,) if domain else ())
