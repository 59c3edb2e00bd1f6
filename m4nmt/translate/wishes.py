"""What a caller wants of translations, in text, and in the ids that a search understands.

What is promised:
- `prefix`: the translation begins with it (white space between its sentences and at its end
  aside). Its sentences belong to the first sentences of the text, one by one; what is left over to
  the last one. Where it ends with the end of a sentence, the next one is free; else the sentence,
  and its last word, may be gone on with.
- `required`, and the targets of terms: the phrase occurs as the tokenizer writes it at the
  beginning of a word (where the script writes no spaces: as it writes it anywhere), if the length
  limit, the prefix and what is forbidden leave room; else the translation is marked "required". It
  may go on ("house" is met by "houses").
- `forbidden`: the phrase does not occur at the beginning of a word (no spaces: anywhere), however
  it is cut into pieces or bytes, as it is written and with a capital first letter; so longer words
  that begin with it do not occur either. Other cases, and several spaces for one, are not caught;
  nor is what stands in the prefix.
- Terms are looked for in each sentence as whole words (no spaces: anywhere), as they are written
  and with a capital first letter, the longest first; one that a long sentence's cut parts is not
  found.
- What holds nothing to translate is given back as it is, whatever was wished.

Not its job: searching (constraints, required), sentences (document).
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction
from m4nmt.translate.constraints import FREE, Constraint, Ids
from m4nmt.translate.scripts import writes_spaces
from m4nmt.translate.segment import split

_BYTE = re.compile("<0x([0-9A-F]{2})>")
_BEFORE = ("。", "，", "、", "x")  # something to write before a phrase that begins no word
_LAST = b"\xff"  # greater than any byte of UTF-8


class WishError(ValueError):
    """A wish that cannot be granted; says whose, and why.

    Attributes:
        why: without the text's number.
        text: number of the text whose wish it is, from 0; None: of no one text.
    """

    def __init__(self, why: str, text: int | None = None) -> None:
        super().__init__(why if text is None else f"text {text}: {why}")
        self.why, self.text = why, text


@dataclass(frozen=True, order=True)
class Wish:
    """Of one text.

    Attributes:
        prefix: the translation begins with this.
        required: each of these phrases occurs in it. Only of texts of one sentence.
        forbidden: none of these occurs in it.
        whole: the prefix is all of it: nothing comes after.
    """

    prefix: str = ""
    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    whole: bool = False

    def __post_init__(self) -> None:
        for name in ("required", "forbidden"):
            phrases = getattr(self, name)
            if not isinstance(phrases, tuple) or not all(phrase.strip() for phrase in phrases):
                raise WishError(f"{name}: give a tuple of phrases that are not blank: {phrases!r}")

    def with_terms(self, targets: tuple[str, ...]) -> "Wish":
        """With these required, too."""
        if not targets:
            return self
        return replace(self, required=tuple(dict.fromkeys((*self.required, *targets))))


NOTHING = Wish()


def per_text(wishes: Wish | Sequence[Wish] | None, count: int) -> list[Wish]:
    """One wish for each text.

    Raises:
        WishError: neither one nor one for each text.
    """
    if wishes is None:
        return [NOTHING] * count
    each = [wishes] * count if isinstance(wishes, Wish) else list(wishes)
    if len(each) != count:
        raise WishError(f"{len(each)} wishes for {count} texts; give one, or {count}")
    return each


def share(wish: Wish, sentences: Sequence[str], language: str) -> list[Wish]:
    """A text's wish, sentence by sentence.

    Raises:
        WishError: phrases are required of several sentences together.
    """
    if wish == NOTHING:
        return [wish] * len(sentences)
    if wish.required and len(sentences) > 1:
        raise WishError(
            f"required phrases of a text of {len(sentences)} sentences: in which one is each to "
            "stand? Give the sentences as texts of their own, or terms"
        )
    begins = [part.text for part in split(wish.prefix, language) if part.sentence]
    if len(begins) > len(sentences) > 0:
        kept = len(sentences) - 1
        begins[kept:] = [wish.prefix[_where(wish.prefix, begins[:kept]) :].strip()]
    count, open_at = len(sentences), opened(wish.prefix, len(sentences), language)
    begins += [""] * (count - len(begins))
    return [
        replace(wish, prefix=begin, whole=wish.whole or i < open_at)
        for i, begin in enumerate(begins[:count])
    ]


def opened(prefix: str, count: int, language: str) -> int:
    """Which of `count` sentences a prefix, given for all of them, is to be gone on with in: the one
    that it ends in, or the next where it ends with the end of a sentence."""
    gap = " " if prefix and not prefix[-1].isspace() else ""
    begun = [part for part in split(f"{prefix}{gap}X", language) if part.sentence]
    return min(len(begun), count) - 1


def _where(text: str, parts: Iterable[str]) -> int:
    """Where these parts of a text, one after another, end."""
    at = 0
    for part in parts:
        at = text.index(part, at) + len(part)
    return at


class Glossary:
    """Terms and how they are to be translated.

    Raises:
        WishError: a blank term, or a blank translation.
    """

    def __init__(self, terms: Mapping[str, str]) -> None:
        self._targets: dict[str, str] = {}
        for source, target in terms.items():
            if not source.strip() or not target.strip():
                raise WishError(f"a term and its translation must not be blank: {source!r}")
            self._targets[source.strip()] = target.strip()
        for source, target in list(self._targets.items()):
            self._targets.setdefault(_capital(source), target)
        longest = sorted(self._targets, key=lambda source: (-len(source), source))
        self._anywhere = re.compile("|".join(map(re.escape, longest)))
        self._words = re.compile("|".join(map(_as_words, longest)))

    def targets(self, sentence: str, language: str) -> tuple[str, ...]:
        """Of the terms that occur in a sentence of this language; each once, sorted."""
        if not self._targets:
            return ()
        pattern = self._words if writes_spaces(language) else self._anywhere
        return tuple(sorted({self._targets[m.group()] for m in pattern.finditer(sentence)}))


def _as_words(phrase: str) -> str:
    begin = r"(?<!\w)" if phrase[0].isalnum() else ""
    end = r"(?!\w)" if phrase[-1].isalnum() else ""
    return begin + re.escape(phrase) + end


def _capital(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]


class Pieces:
    """The bytes that each piece of a vocabulary writes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.written = [_bytes_of(p) for p in tokenizer.pieces(range(tokenizer.size))]
        self._sorted = sorted((text, i) for i, text in enumerate(self.written) if text)

    def beginning_with(self, text: bytes) -> list[int]:
        """Pieces that write this, and perhaps more."""
        first = bisect_left(self._sorted, (text, -1))
        last = bisect_left(self._sorted, (text + _LAST, -1))
        return [i for _, i in self._sorted[first:last]]

    def end(self, tokens: Sequence[int], length: int) -> bytes:
        """The last bytes that tokens write, at least so many; a space stands before the first."""
        parts, have = [], 0
        for token in reversed(tokens):
            parts.append(self.written[token])
            have += len(parts[-1])
            if have >= length:
                return b"".join(reversed(parts))
        return b" " + b"".join(reversed(parts))


def _bytes_of(piece: str) -> bytes:
    byte = _BYTE.fullmatch(piece)
    return bytes([int(byte.group(1), 16)]) if byte else piece.replace("\u2581", " ").encode()


class Avoided:
    """A phrase that is not said, whatever pieces it is cut into; a `constraints.Unsaid`."""

    def __init__(self, phrase: str, pieces: Pieces, at_words: bool) -> None:
        self._pieces = pieces
        self._at_words = at_words and phrase[0].isalnum()
        self._phrases = sorted({phrase.encode(), _capital(phrase).encode()})
        self._rest = [
            [pieces.beginning_with(text[j:]) for j in range(len(text))] for text in self._phrases
        ]
        self._inside = [i for i, text in enumerate(pieces.written) if self._holds(text)]

    def _holds(self, written: bytes) -> bool:
        """Whether a piece says it by itself, not from its first byte on."""
        return any(
            self._may_begin(written[: match.start()])
            for text in self._phrases
            for match in re.finditer(re.escape(text), written)
            if match.start()
        )

    def _may_begin(self, before: bytes) -> bool:
        """Whether the phrase counts after these bytes: where words count, after no letter."""
        return not self._at_words or not before.decode(errors="replace")[-1:].isalnum()

    def after(self, tokens: Sequence[int]) -> Iterator[int]:
        """The tokens that would say it, after these."""
        yield from self._inside
        text = self._pieces.end(tokens, max(map(len, self._phrases)) + 4)
        for phrase, rest in zip(self._phrases, self._rest, strict=True):
            for j, pieces in enumerate(rest):
                begun = text.endswith(phrase[:j])
                if pieces and begun and self._may_begin(text[: len(text) - j]):
                    yield from pieces


class Begun:
    """The beginning of a word, which is said in whatever pieces; a `constraints.Unsaid`.

    Args:
        after: so many tokens stand before it.
    """

    def __init__(self, text: bytes, after: int, pieces: Pieces) -> None:
        self._text, self._from, self._pieces = text, after, pieces
        self._refused = lru_cache(None)(self._refuse)

    def after(self, tokens: Sequence[int]) -> Iterable[int]:
        """The tokens that would say something else, after these."""
        said = b"".join(self._pieces.written[token] for token in tokens[self._from :])
        return () if said.startswith(self._text) else self._refused(said)

    def _refuse(self, said: bytes) -> list[int]:
        left = self._text[len(said) :]
        return [
            i
            for i, text in enumerate(self._pieces.written)
            if not text or not (text.startswith(left) or left.startswith(text))
        ]


class Speller:
    """From wishes to constraints in the ids of one tokenizer. Safe in several threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._table = lru_cache(1)(lambda: Pieces(tokenizer))
        self._avoided = lru_cache(256)(self._avoid)

    def constraint(self, wish: Wish, direction: Direction) -> Constraint:
        """Of one sentence.

        Raises:
            WishError: a phrase with a character that the model cannot write.
        """
        if wish == NOTHING:
            return FREE
        spaced = writes_spaces(direction.tgt)
        begin = tuple(self._ids(wish.prefix)) if wish.prefix.strip() else ()
        return Constraint(
            prefix=(*begin, self._tokenizer.eos) if wish.whole else begin,
            unsaid=tuple(self._avoided(phrase, spaced) for phrase in wish.forbidden),
            required=tuple(self._spellings(phrase, spaced) for phrase in wish.required),
        )

    def glued(self) -> list[int]:
        """The pieces that do not begin a word."""
        return [i for i, text in enumerate(self._table().written) if not text.startswith(b" ")]

    def open_word(self, tokens: Ids) -> tuple[Ids, Begun]:
        """The tokens before the last word of these, and that the word begins as theirs does."""
        table = self._table()
        at = max(
            (i for i, token in enumerate(tokens) if table.written[token].startswith(b" ")),
            default=0,
        )
        begun = b"".join(table.written[token] for token in tokens[at:])
        return tokens[:at], Begun(begun, at, table)

    def _avoid(self, phrase: str, spaced: bool) -> Avoided:
        return Avoided(self._tokenizer.normalise(phrase), self._table(), spaced)

    def _spellings(self, phrase: str, spaced: bool) -> tuple[Ids, ...]:
        """The phrase as a word begins; where no spaces are written, also as in the middle."""
        found = [tuple(self._ids(phrase))]
        for before in () if spaced else _BEFORE:
            lead, both = self._tokenizer.encode([before, before + phrase])
            if both[: len(lead)] == lead and self._tokenizer.unk not in both[len(lead) :]:
                found.append(tuple(both[len(lead) :]))
        return tuple(dict.fromkeys(found))

    def _ids(self, text: str) -> list[int]:
        ids = self._tokenizer.encode([text])[0]
        if not ids or self._tokenizer.unk in ids:
            raise WishError(
                f"the model's vocabulary cannot write {text!r}; wish for something else"
            )
        return ids
