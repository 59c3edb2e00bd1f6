"""The next word of a translation: what it could be, and how each translation would go on.

A word is what stands between white space, without the punctuation around it (punctuation that
stands alone is a word); where the script writes no spaces it is what the next piece writes.

Not its job: finding the translations (sentences), or the prefix's place in a text (wishes).
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from m4nmt.translate.types import Translation


@dataclass(frozen=True)
class NextWord:
    """One way to go on after a prefix.

    Attributes:
        word: what comes next. A word that the prefix had begun is given whole.
        translation: of the whole text, with this word; its confidence is in it.
    """

    word: str
    translation: Translation


@dataclass(frozen=True)
class Not:
    """A `constraints.Unsaid`: after so many tokens none of these comes."""

    length: int
    tokens: Sequence[int]

    def after(self, tokens: Sequence[int]) -> Iterable[int]:
        """The tokens that must not come, after these."""
        return self.tokens if len(tokens) == self.length else ()


def spaced_word(text: str, head: str) -> str:
    """The word of a text that comes after its beginning `head`; empty: none.

    Where `head` ends inside a word, that word; where its last word is whole, the next one.
    """
    rest = text[len(head) :]
    chunks = rest.split()
    if chunks and head and not (_outside(head[-1]) or _outside(rest[0])):
        chunks = [head.split()[-1] + chunks[0]]
    return _bare(chunks[0]) if chunks else ""


def _bare(chunk: str) -> str:
    """Without the punctuation around it, if there is anything else."""
    inner = [i for i, character in enumerate(chunk) if not _outside(character)]
    return chunk[inner[0] : inner[-1] + 1] if inner else chunk


def _outside(character: str) -> bool:
    """Whether it is no part of a word at its edges: white space, punctuation, what is not seen."""
    return character.isspace() or unicodedata.category(character)[0] in "PZC"


def distinct(found: Iterable[tuple[str, Translation]], count: int) -> list[tuple[str, Translation]]:
    """The best translation of each word that there is, best first; of `count` words at most."""
    best: dict[str, Translation] = {}
    for word, translation in sorted(found, key=_worse):
        if word:
            best.setdefault(word, translation)
    return list(best.items())[:count]


def _worse(pair: tuple[str, Translation]) -> tuple[bool, float, str]:
    word, translation = pair
    return not translation.finished, -translation.score, word
