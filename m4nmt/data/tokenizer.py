"""Text to piece ids and back: SentencePiece, with language and task tags that text cannot inject.

Ids: pad 0, unknown 1, begin 2, end 3, then one tag `<2xxx_Xxxx>` per language and one per task,
then bytes and pieces. Tags are *control* symbols: SentencePiece never produces them from text;
only `Tokenizer.source` places them. Text is normalised by `normalise` here and nowhere else, so
training and serving see the same rule (the model's own rule is the identity).
Not its job: choosing the sample of lines (prepare passes it) or masking (objectives).
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import sentencepiece

from m4nmt.core.config import canonical_json, parse_json, unknown_name
from m4nmt.core.files import write_atomic
from m4nmt.data import pieces
from m4nmt.data.normalise import VERSION, normalise
from m4nmt.data.settings import TokenizerConfig
from m4nmt.data.types import Direction

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")
TASKS = ("denoise",)
MODEL, CARD = "tokenizer.model", "tokenizer.json"
_LONGEST_LINE = 16384


class TokenizerError(ValueError):
    """A tokenizer cannot be trained, read or used so."""


def language_tag(language: str) -> str:
    """The tag that asks for this target language."""
    return f"<2{language}>"


def task_tag(task: str) -> str:
    """The tag of a task other than translation."""
    return f"<{task}>"


class Tokenizer:
    """A trained tokenizer, read from its folder.

    Attributes:
        folder: where `tokenizer.model` and `tokenizer.json` lie.
        languages: sorted codes that have a tag.
        size: number of ids.
        sha256: of the model, the tags and the normalisation rule.
    """

    pad, unk, bos, eos = PAD, UNK, BOS, EOS

    def __init__(self, model: bytes, languages: Sequence[str], folder: Path) -> None:
        self.folder = folder
        self.languages = tuple(languages)
        self.sha256 = _identity(model, self.languages)
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.size = int(self._processor.get_piece_size())
        names = _controls(self.languages)
        self._tags = {name: index for index, name in enumerate(names) if index >= len(SPECIALS)}
        for index, name in enumerate(names):
            if self.size <= index or self._processor.id_to_piece(index) != name:
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
        except OSError as error:
            raise TokenizerError(f"no tokenizer in {folder}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise TokenizerError(f"{card} is no tokenizer card: {error!r}") from error
        if rule != VERSION:
            raise TokenizerError(
                f"{card}: normalisation rule {rule!r}, this version of m4nmt has {VERSION!r}"
            )
        if _identity(model, languages) != written:
            raise TokenizerError(
                f"{folder / MODEL} does not match the sha256 in {card}: one of them was changed "
                "or damaged; copy both again from where they were trained"
            )
        return cls(model, languages, folder)

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
        first = len(SPECIALS) + len(self._tags)
        kept = [[int(i) for i in row if i >= first or i == UNK] for row in ids]
        try:
            texts: list[str] = self._processor.decode(kept)
        except IndexError as error:
            raise TokenizerError(f"an id outside the vocabulary of {self.size}") from error
        return texts

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The written form of each id."""
        return [str(self._processor.id_to_piece(int(i))) for i in ids]

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

    def prefix(self, direction: Direction) -> list[int]:
        """The tags that open a source row: target language, then the task if not translation."""
        if direction.task == "translate":
            return [self.tag(direction.tgt)]
        return [self.tag(direction.tgt), self._tags[task_tag(direction.task)]]

    def source(self, ids: Sequence[int], direction: Direction) -> list[int]:
        """A whole source row: tags, text, end."""
        return [*self.prefix(direction), *ids, EOS]


def train(
    lines_by_language: Mapping[str, Iterable[str]],
    config: TokenizerConfig,
    languages: Sequence[str],
    out: Path,
) -> Tokenizer:
    """Train on the given lines, or import `config.path`, and write the folder `out`.

    Lines are used as they come: the caller has drawn them at the sampling temperature. Equal
    lines, config and library give equal bytes. When the text supports fewer pieces than
    `config.vocab`, the vocabulary is smaller: `Tokenizer.size` is the real one.

    Raises:
        TokenizerError: no text, a vocabulary too small for the characters, or a bad import.
    """
    names = sorted(set(languages))
    if config.path:
        model = _imported(Path(config.path), names)
    else:
        lines = chain.from_iterable(lines_by_language[key] for key in sorted(lines_by_language))
        model = _trained(lines, config, names)
    tokenizer = Tokenizer(model, names, out)
    facts = {
        "languages": names,
        "tags": tokenizer._tags,
        "normalisation": VERSION,
        "model": "imported" if config.path else config.model,
        "size": tokenizer.size,
        "sha256": tokenizer.sha256,
    }
    write_atomic(out / MODEL, model)
    write_atomic(out / CARD, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return tokenizer


def _controls(languages: Iterable[str]) -> list[str]:
    """Specials and tags in the order of their ids."""
    return [*SPECIALS, *map(language_tag, languages), *map(task_tag, TASKS)]


def _identity(model: bytes, languages: Sequence[str]) -> str:
    digest = hashlib.sha256(model)
    digest.update(canonical_json({"controls": _controls(languages), "rule": VERSION}).encode())
    return digest.hexdigest()


def _trained(lines: Iterable[str], config: TokenizerConfig, languages: list[str]) -> bytes:
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
            control_symbols=_controls(languages)[len(SPECIALS) :],
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            minloglevel=2,
        )
    except RuntimeError as error:
        if "!sentences_.empty()" in str(error):
            raise TokenizerError("the tokenizer got no text to train on") from error
        raise TokenizerError(
            f"the tokenizer cannot be trained with vocab {config.vocab}, coverage "
            f"{config.coverage}: {error}; raise tokenizer.vocab or lower tokenizer.coverage"
        ) from error
    return output.getvalue()


def _imported(path: Path, languages: list[str]) -> bytes:
    try:
        return pieces.relabel(path.read_bytes(), UNK, _controls(languages))
    except (OSError, pieces.PieceFormatError) as error:
        raise TokenizerError(
            f"tokenizer.path: {path} is no SentencePiece model: {error}"
        ) from error
