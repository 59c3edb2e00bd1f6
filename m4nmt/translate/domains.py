"""What a text is about, as a model was told it in training: the domains of its corpora.

A domain is named as a manifest names it ("law"); the model is told by a tag before the text. A row
without one is that of a text of which nothing is known, as most of the training text is.

Not its job: where tags stand in a row (data.tokenizer), which text has which (data.origin).
"""

from collections.abc import Collection, Sequence

from m4nmt.data.origin import BACK_TRANSLATED
from m4nmt.data.tokenizer import Tokenizer

_SHOWN = 40  # characters of a name that is none


class DomainError(ValueError):
    """A domain that this model was not trained with; says which there are."""


def domains_of(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The domains that a model can be told of, sorted."""
    return tuple(name for name in tokenizer.origins if name != BACK_TRANSLATED)


def resolve(name: str, known: Collection[str]) -> str:
    """The name, if it is one of `known`, or empty (no domain).

    Raises:
        DomainError: it is not; names all there are.
    """
    if not name or name in known:
        return name
    there = f"this model knows {', '.join(sorted(known))}" if known else "this model knows none"
    raise DomainError(f"there is no domain {name[:_SHOWN]!r}: {there}")


def per_text(names: str | Sequence[str], count: int, known: Collection[str]) -> list[str]:
    """One domain for each text; empty: none.

    Raises:
        DomainError: an unknown one; or neither one nor one for each text.
    """
    each = [names] * count if isinstance(names, str) else list(names)
    if len(each) != count:
        raise DomainError(f"{len(each)} domains for {count} texts; give one, or {count}")
    for name in {names} if isinstance(names, str) else {*each}:
        resolve(name, known)
    return each
