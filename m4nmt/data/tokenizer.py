"""Text to piece ids and back: SentencePiece, with language and task tags that text cannot inject.

Ids: pad 0, unknown 1, begin 2, end 3, then one tag `<2xxx_Xxxx>` per language, `<denoise>`, what
the data need beyond that (`extra`: the mask and further tasks, `<+bt>` and `<+law>` for origin and
domain of text), then the user's symbols, bytes and pieces. A tokenizer that was extended keeps all
its ids; tags that came later stand at the end. Tags are *control* symbols: SentencePiece never
produces them from text; only `Tokenizer.source` places them. Text is normalised by `normalise` here
and nowhere else, so training and serving see the same rule (the model's own rule is the identity).
Not its job: choosing the sample of lines (prepare passes it) or masking (tasks/).
"""

import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import sentencepiece

from m4nmt.core.config import canonical_json, parse_json, unknown_name
from m4nmt.core.files import write_atomic
from m4nmt.data.normalise import VERSION, normalise
from m4nmt.data.settings import TokenizerConfig
from m4nmt.data.types import Direction
from m4nmt.data.vocabularies import pieces

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")
TASKS = ("denoise",)
MASK = "<mask>"
MODEL, CARD = "tokenizer.model", "tokenizer.json"
_LONGEST_LINE = 16384
_ORIGIN = "<+"
# What SentencePiece says of it.
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")


class TokenizerError(ValueError):
    """A tokenizer cannot be trained, read or used so."""


def language_tag(language: str) -> str:
    """The tag that asks for this target language."""
    return f"<2{language}>"


def task_tag(task: str) -> str:
    """The tag of a task other than translation."""
    return f"<{task}>"


def origin_tag(tag: str) -> str:
    """The tag of what is known of a text."""
    return f"{_ORIGIN}{tag}>"


def extra_tags(directions: Iterable[Direction]) -> tuple[str, ...]:
    """The control symbols that these directions need beyond those that every tokenizer has."""
    found: set[str] = set()
    for direction in directions:
        found.update(map(origin_tag, direction.tags))
        if direction.task != "translate":
            found.update((MASK, task_tag(direction.task)))
    return tuple(sorted(found - set(map(task_tag, TASKS))))


class Tokenizer:
    """A trained tokenizer, read from its folder.

    Attributes:
        folder: where `tokenizer.model` and `tokenizer.json` lie.
        languages: sorted codes that have a tag.
        extra: control symbols besides, see `extra_tags`.
        late: tags that stand at the end, in the order they came.
        size: number of ids.
        sha256: of the model, the tags and the normalisation rule.
        text_sha256: of what decides the pieces of a text: the same before and after `late` came.
    """

    pad, unk, bos, eos = PAD, UNK, BOS, EOS

    def __init__(
        self,
        model: bytes,
        languages: Sequence[str],
        folder: Path,
        extra: Sequence[str] = (),
        late: Sequence[str] = (),
    ) -> None:
        self.folder, self.model = folder, model
        self.languages, self.extra, self.late = tuple(languages), tuple(extra), tuple(late)
        controls = _controls(languages, extra)
        first = [name for name in controls if name not in late]
        self.sha256 = _identity(model, controls, late)
        self.text_sha256 = _identity(model[: len(model) - len(pieces.controls(late))], first)
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.size = int(self._processor.get_piece_size())
        ids = {name: self.size - len(late) + place for place, name in enumerate(late)}
        self._ids = {name: place for place, name in enumerate(first)} | ids
        self._tags = {name: i for name, i in self._ids.items() if name not in SPECIALS}
        for name, index in self._ids.items():
            if not 0 <= index < self.size or self._processor.id_to_piece(index) != name:
                raise TokenizerError(f"{folder}: id {index} is not {name}; train it again")

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Read a folder written by `train`.

        Raises:
            TokenizerError: a file is missing, broken, or does not match its hash; it is named.
        """
        card = folder / CARD
        try:
            model = (folder / MODEL).read_bytes()
            facts = parse_json(card.read_text(encoding="utf-8"), str(card))
            written, languages, rule = facts["sha256"], facts["languages"], facts["normalisation"]
            late = facts.get("late", [])
            extra = facts.get("extra", [])
        except OSError as error:
            raise TokenizerError(f"no tokenizer in {folder}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise TokenizerError(f"{card} is no tokenizer card: {error!r}") from error
        if rule != VERSION:
            raise TokenizerError(
                f"{card}: normalisation rule {rule!r}, this version of m4nmt has {VERSION!r}"
            )
        if _identity(model, _controls(languages, extra), late) != written:
            raise TokenizerError(
                f"{folder / MODEL} does not match the sha256 in {card}: one of them was changed "
                "or damaged; copy both again from where they were trained"
            )
        return cls(model, languages, folder, extra, late)

    def normalise(self, text: str) -> str:
        """What `encode` sees of a text.

        Raises:
            TokenizerError: a lone surrogate.
        """
        try:
            return normalise(text)
        except ValueError as error:
            raise TokenizerError(str(error)) from error

    def encode(self, texts: Sequence[str], threads: int = 1) -> list[list[int]]:
        """Piece ids of texts, without specials or tags; empty for blank text.

        Raises:
            TokenizerError: a lone surrogate.
        """
        lines = [self.normalise(text) for text in texts]
        ids: list[list[int]] = self._processor.encode(lines, out_type=int, num_threads=threads)
        return ids

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of id sequences; specials and tags yield no text.

        Raises:
            TokenizerError: an id outside the vocabulary.
        """
        silent = {*self._ids.values()} - {UNK}
        kept = [[i for i in map(int, row) if i not in silent] for row in ids]
        try:
            texts: list[str] = self._processor.decode(kept)
        except IndexError as error:
            raise TokenizerError(f"an id outside the vocabulary of {self.size}") from error
        return texts

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The written form of each id."""
        return list(map(self._written.__getitem__, ids))

    @cached_property
    def _written(self) -> tuple[str, ...]:
        return tuple(map(str, self._processor.id_to_piece(list(range(self.size)))))

    def ids(self, pieces: Sequence[str]) -> list[int]:
        """The id of each written form."""
        return [int(self._processor.piece_to_id(piece)) for piece in pieces]

    def tag(self, language: str) -> int:
        """Id of a target language's tag.

        Raises:
            TokenizerError: the tokenizer was not made for this language.
        """
        if language not in self.languages:
            raise TokenizerError(unknown_name(language, self.languages, "language"))
        return self._tags[language_tag(language)]

    @property
    def mask(self) -> int:
        """Id that stands for what was taken out of a line.

        Raises:
            TokenizerError: the tokenizer was made without denoising.
        """
        return self._known(MASK)

    @property
    def tags(self) -> tuple[int, ...]:
        """Ids of all tags and of the mask: what a translation never holds."""
        return tuple(self._tags.values())

    @property
    def origins(self) -> tuple[str, ...]:
        """What a model can be told of a text (`origin_tag`), sorted."""
        found = (name for name in self.extra if name.startswith(_ORIGIN))
        return tuple(sorted(name[len(_ORIGIN) : -1] for name in found))

    def prefix(self, direction: Direction) -> list[int]:
        """The tags that open a source row: target language, the task if it is not translation, then
        what is known of the text.

        Raises:
            TokenizerError: the tokenizer was made without one of these.
        """
        tags = [] if direction.task == "translate" else [task_tag(direction.task)]
        tags += map(origin_tag, direction.tags)
        return [self.tag(direction.tgt), *map(self._known, tags)]

    def _known(self, tag: str) -> int:
        if tag not in self._tags:
            raise TokenizerError(f"{self.folder}: the tokenizer was made without {tag}")
        return self._tags[tag]

    def source(self, ids: Sequence[int], direction: Direction) -> list[int]:
        """A whole source row: tags, text, end."""
        return [*self.prefix(direction), *ids, EOS]


def train(
    lines_by_language: Mapping[str, Iterable[str]],
    config: TokenizerConfig,
    languages: Sequence[str],
    out: Path,
    extra: Sequence[str] = (),
) -> Tokenizer:
    """Train on the given lines, or import `config.path`, and write the folder `out`.

    Lines are used as they come: the caller has drawn them at the sampling temperature. Equal
    lines, config and library give equal bytes. When the text supports fewer pieces than
    `config.vocab`, the vocabulary is smaller: `Tokenizer.size` is the real one.

    Raises:
        TokenizerError: no text, a vocabulary too small for the characters, or a bad import.
    """
    names = sorted(set(languages))
    controls = _controls(names, extra)
    if not config.path:
        lines = chain.from_iterable(lines_by_language[key] for key in sorted(lines_by_language))
        return _write(Tokenizer(_trained(lines, config, controls), names, out, extra), config.model)
    path = Path(config.path)
    if path.is_dir():
        return _write(extended(Tokenizer.load(path), names, out, extra), "extended")
    return _write(Tokenizer(_imported(path, controls, config), names, out, extra), "imported")


def extended(
    known: Tokenizer, languages: Sequence[str], folder: Path, extra: Sequence[str] = ()
) -> Tokenizer:
    """The same tokenizer with all these tags: those it lacks get the ids after its last one."""
    languages = sorted({*known.languages, *languages})
    extra = sorted({*known.extra, *extra})
    new = [name for name in _controls(languages, extra) if name not in known._ids]
    model = known.model + pieces.controls(new)
    return Tokenizer(model, languages, folder, extra, (*known.late, *new))


def _write(tokenizer: Tokenizer, origin: str) -> Tokenizer:
    """Make its folder: the model, and a card that says what it is."""
    facts = {
        "languages": tokenizer.languages,
        "extra": tokenizer.extra,
        "late": tokenizer.late,
        "tags": tokenizer._tags,
        "normalisation": VERSION,
        "model": origin,
        "size": tokenizer.size,
        "sha256": tokenizer.sha256,
    }
    write_atomic(tokenizer.folder / MODEL, tokenizer.model)
    write_atomic(tokenizer.folder / CARD, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return tokenizer


def _controls(languages: Iterable[str], extra: Iterable[str]) -> list[str]:
    """Specials and tags in the order of their ids."""
    return [*SPECIALS, *map(language_tag, languages), *map(task_tag, TASKS), *extra]


def _identity(model: bytes, controls: Sequence[str], late: Sequence[str] = ()) -> str:
    digest = hashlib.sha256(model)
    about = {"controls": controls, "rule": VERSION} | ({"late": late} if late else {})
    digest.update(canonical_json(about).encode())
    return digest.hexdigest()


def _trained(lines: Iterable[str], config: TokenizerConfig, controls: list[str]) -> bytes:
    _check_symbols(config.symbols)
    normalised = (normalise(line) for line in lines)
    output = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(line for line in normalised if line),
            model_writer=output,
            model_type=config.model,
            vocab_size=config.vocab,
            hard_vocab_limit=False,
            character_coverage=config.coverage,
            byte_fallback=config.byte_fallback,
            split_digits=True,
            normalization_rule_name="identity",
            max_sentence_length=_LONGEST_LINE,
            num_threads=config.threads,
            control_symbols=controls[len(SPECIALS) :],
            user_defined_symbols=list(config.symbols),
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            minloglevel=2,
        )
    except RuntimeError as error:
        if "!sentences_.empty()" in str(error):
            raise TokenizerError("the tokenizer got no text to train on") from error
        short = _TOO_SMALL.search(str(error))
        why = f"characters and tags alone take {short[1]} pieces" if short else str(error)
        raise TokenizerError(
            f"the tokenizer cannot be trained with vocab {config.vocab}, coverage "
            f"{config.coverage}: {why}; raise tokenizer.vocab or lower tokenizer.coverage"
        ) from error
    return output.getvalue()


def _imported(path: Path, controls: list[str], config: TokenizerConfig) -> bytes:
    _check_symbols(config.symbols)
    try:
        return pieces.relabel(path.read_bytes(), UNK, controls, config.symbols)
    except (OSError, pieces.PieceFormatError) as error:
        raise TokenizerError(
            f"tokenizer.path: {path} is no SentencePiece model: {error}"
        ) from error


def _check_symbols(symbols: Sequence[str]) -> None:
    """A symbol is found in normalised text, where no tag may be found."""
    for symbol in symbols:
        if not symbol or normalise(symbol) != symbol or any(c.isspace() for c in symbol):
            raise TokenizerError(
                f"tokenizer.symbols: {symbol!r} cannot stand in normalised text as one piece; "
                "leave out spaces and what normalisation changes"
            )
        if symbol in (*SPECIALS, MASK, *map(task_tag, TASKS)) or symbol[:2] in ("<2", _ORIGIN):
            raise TokenizerError(f"tokenizer.symbols: {symbol!r} would be a tag that text may hold")
    if len(set(symbols)) != len(symbols):
        raise TokenizerError("tokenizer.symbols: one of them is named twice")
