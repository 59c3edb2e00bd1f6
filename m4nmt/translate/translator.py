"""A trained model as people use it: texts in, translations out.

Any number of texts, in any mixture of directions, of any length: they are cut into sentences,
sentences of like length are decoded together, and each text is put together again. As many come
out as went in, in order. Safe to use from several threads: nothing here changes after loading.

Not its job: searching (search, sampling), cutting (segment), serving, files of text.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.core.config import ConfigError
from m4nmt.core.stages import SearchConfig
from m4nmt.data import origin
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction
from m4nmt.translate import domains, engines, loading
from m4nmt.translate import wishes as wished
from m4nmt.translate.decoder import Cancelled
from m4nmt.translate.document import Document, TextError, checked
from m4nmt.translate.engine import Engine
from m4nmt.translate.guard import Guard
from m4nmt.translate.languages import AUTO, LanguageError, per_text, resolve
from m4nmt.translate.sentences import Identifies, Order, Sentences, Unit
from m4nmt.translate.types import Translation
from m4nmt.translate.wishes import Glossary, Wish, WishError
from m4nmt.translate.words import NextWord

log = logging.getLogger(__name__)

GUARD = Guard()
_SURE = 0.9  # confidence from which a text counts as already being in the target language


class Translator:
    """A model ready to translate.

    Attributes:
        card: of the model folder.
        languages: every language the model has a tag for, sorted.
        directions: those it was trained on; others are allowed (zero-shot).
        domains: that a text can be said to be of, sorted; named as in the training's manifest.
        search: how it decodes unless told otherwise, from the recipe.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        card: CheckpointCard,
        identifier: Identifies | None = None,
    ) -> None:
        self.card = card
        self.languages = tuple(sorted(card.languages))
        self.directions = tuple(map(Direction.parse, card.directions))
        self.domains = domains.domains_of(tokenizer)
        self.search = loading.search_config(card)
        self._engine = engine
        self._tokenizer = tokenizer
        self._identifier = identifier
        seen = loading.longest_row(card)
        self._sentences = Sentences(engine, tokenizer, self.languages, identifier)
        self._longest = min(seen, engine.positions or seen)

    @classmethod
    def load(
        cls,
        path: Path | str | Sequence[Path | str],
        device: str = "auto",
        precision: str = "fp32",
        threads: int = 0,
        engine: str = "auto",
    ) -> "Translator":
        """Load a model folder, the model of a run, or an export folder; or several models, with
        the same tokenizer, as an ensemble: the probabilities of all are averaged at every step.

        Args:
            device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
            precision: "fp32", "bf16", "fp16", or "int8" (on a CPU: products in eight bits).
                "auto" is int8 where the model was exported so, else fp32.
            threads: of the math library, for the whole process; 0 leaves them alone.
            engine: "native", "ctranslate2", or "auto": on a CPU CTranslate2, in fp32 and int8, if
                it is installed and can express the model. An export is then made beside the model
                (`ctranslate2-float32`), or found there. An export folder says its own precision.

        Raises:
            ModelFolderError: no model there, or a damaged one.
            ConfigError: a device, precision or engine that there is not, or not for this model.
        """
        paths = [path] if isinstance(path, Path | str) else list(path)
        if not paths:
            raise ConfigError("no model to load: give a folder, or several")
        if len(paths) == 1:
            ready = engines.load(Path(paths[0]), device, precision, engine, threads)
        elif engine == "ctranslate2":
            raise ConfigError("an ensemble runs on the native engine; use engine auto or native")
        else:
            ready = engines.load_together(list(map(Path, paths)), device, precision, threads)
        log.info("%s", ready.which)
        return cls(ready.engine, ready.tokenizer, ready.card, ready.identifier)

    def is_trained(self, direction: Direction) -> bool:
        """Whether this direction was trained, rather than being zero-shot."""
        return direction in self.directions

    def count(self, texts: Sequence[str]) -> list[int]:
        """Source tokens of each text, without tags and ends: what it costs to translate."""
        return list(map(len, self._tokenizer.encode(checked(texts))))

    def pieces(self, texts: Sequence[str]) -> list[list[str]]:
        """Pieces of each text, as `score_tokens` counts them."""
        return [self._tokenizer.pieces(ids) for ids in self._tokenizer.encode(checked(texts))]

    def detect(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """(code, confidence from 0 to 1) of each text, among the model's languages.

        Raises:
            LanguageError: this model folder has no identifier.
        """
        return self._identify(checked(texts), self.languages)

    def translate(
        self,
        texts: Sequence[str],
        src: str | Sequence[str],
        tgt: str | Sequence[str],
        config: SearchConfig | None = None,
        split: bool = True,
        cancelled: Cancelled | None = None,
        token_scores: bool = False,
        align: bool = False,
        wishes: Wish | Sequence[Wish] | None = None,
        terms: Mapping[str, str] | None = None,
        guard: Guard | None = GUARD,
        domain: str | Sequence[str] = "",
    ) -> list[list[Translation]]:
        """n-best translations of each text, best first, in the order of the texts.

        A text is translated sentence by sentence, line by line; its line breaks are kept. What
        holds no letter, or is in the target language already, is given back as it is. A
        sentence longer than the model takes is cut, never shortened. There are up to
        `config.n_best` translations with different texts, at least one.

        Args:
            src: a language, or one for each text, in any usual spelling; "auto" identifies.
            tgt: a language, or one for each text.
            config: how to decode; None is the recipe's way.
            split: False leaves the sentences of a line together.
            cancelled: asked before every step of decoding.
            align: give links of characters.
            token_scores: give the log-probability of every piece whatever the engine. The native
                one always does; CTranslate2 must look at every translation once more.
            wishes: what each text's translation begins with, and what it must and must not hold
                (`wishes` says what is promised); one, or one for each text.
            terms: {source term: its translation}: required of a sentence where the term occurs.
            guard: what counts as gone wrong: such sentences are searched once more in another way,
                the better result is taken, and what is wrong is in its `marks`. None: nothing.
            domain: of `domains`, one, or one for each text; empty: nothing is known of it.

        Raises:
            LanguageError, DomainError: a language or domain that the model does not know.
            TextError: a text that is not valid Unicode.
            WishError: a wish that cannot be granted; SearchError: not together with `config`.
            NoNativeError: an export was loaded, and this is not CTranslate2's to do.
            CancelledError: `cancelled` said so.
        """
        config = config or self.search
        texts = checked(texts)
        each = wished.per_text(wishes, len(texts))
        documents, ids = self._opened(texts, self._directions(texts, src, tgt, domain), split)
        units = _units(documents, each, Glossary(terms or {}))
        order = Order(config, cancelled, token_scores, align, guard)
        found = self._sentences.translate([u for of in units for u in of], ids, order)
        return [
            document.put_together([found[unit] for unit in of], config.n_best)
            for document, of in zip(documents, units, strict=True)
        ]

    def words(
        self,
        text: str,
        src: str,
        tgt: str,
        prefix: str,
        n: int = 5,
        config: SearchConfig | None = None,
        cancelled: Cancelled | None = None,
        guard: Guard | None = GUARD,
        domain: str = "",
    ) -> list[NextWord]:
        """What could come next in the translation after `prefix`: up to `n` different words, best
        first, each with the best translation of the whole text that was found with it.

        The likeliest next pieces are each gone on with by beam search, so the words that are given
        are those of good translations, and not only of the one that the model would choose. Where
        the prefix does not end with white space its last word may be gone on with; it is given
        whole then. There is none where there is nothing to translate.

        Args:
            prefix: the translation up to the word in question, of all sentences before it, too.
            config: beams of it, and lengths; always beam search.
            guard: marks translations; none is searched again.
            domain: of the text.

        Raises:
            ValueError: no word asked for.
            As `translate`.
        """
        if n < 1:
            raise ValueError(f"need n >= 1 words, got {n}")
        texts = checked([text])
        directions = self._directions(texts, src, tgt, domain)
        (document,), ids = self._opened(texts, directions, True)
        [units] = _units([document], [Wish(prefix)], Glossary({}))
        if not units:
            return []
        at = wished.opened(prefix, len(units), directions[0].tgt)
        order = Order(config or self.search, cancelled, False, False, guard)
        others = self._sentences.translate([*units[:at], *units[at + 1 :]], ids, order)
        options = [others.get(unit, []) for unit in units]
        anew = prefix[-1:].isspace() or not units[at].wish.prefix
        found = []
        for word, translation in self._sentences.going_on(units[at], ids, order, n, anew):
            options[at] = [translation]
            [whole] = document.put_together(options, 1)
            found.append(NextWord(word, whole))
        return found

    def score(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        src: str | Sequence[str],
        tgt: str | Sequence[str],
        domain: str | Sequence[str] = "",
    ) -> list[float]:
        """log p of each target given its source: the sum over its pieces and the end, in nats."""
        return [sum(tokens) for tokens in self.score_tokens(sources, targets, src, tgt, domain)]

    def score_tokens(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        src: str | Sequence[str],
        tgt: str | Sequence[str],
        domain: str | Sequence[str] = "",
    ) -> list[tuple[float, ...]]:
        """log p of every piece of each target, and of its end. Texts are scored whole.

        Raises:
            TextError: unequal numbers of texts, or a text longer than the model has positions.
            LanguageError, DomainError: a language or domain that the model does not know.
        """
        sources, targets = checked(sources), checked(targets)
        if len(sources) != len(targets):
            raise TextError(f"{len(sources)} sources but {len(targets)} targets; give as many")
        directions = self._directions(sources, src, tgt, domain)
        inputs = zip(self._tokenizer.encode(sources), directions, strict=True)
        src_rows = [self._tokenizer.source(ids, direction) for ids, direction in inputs]
        tgt_rows = [[*ids, self._tokenizer.eos] for ids in self._tokenizer.encode(targets)]
        for i, pair in enumerate(zip(src_rows, tgt_rows, strict=True)):
            if max(map(len, pair)) > (self._engine.positions or math.inf):
                raise TextError(
                    f"text {i} has {max(map(len, pair))} tokens, but the model "
                    f"{self._engine.positions} positions; score it in parts"
                )
        return self._engine.score(src_rows, tgt_rows, self.search.batch_tokens)

    def _identify(self, texts: list[str], among: Sequence[str]) -> list[tuple[str, float]]:
        if self._identifier is None:
            raise LanguageError(
                "this model folder has no language identifier (identify.safetensors); name the "
                "source language instead of 'auto'"
            )
        return self._identifier.identify(texts, among=among)

    def _directions(
        self,
        texts: list[str],
        src: str | Sequence[str],
        tgt: str | Sequence[str],
        domain: str | Sequence[str],
    ) -> list[Direction]:
        """The direction of each text, with what is known of it as in training."""
        known = domains.per_text(domain, len(texts), self.domains)
        sources = per_text(src, len(texts), "source")
        targets = per_text(tgt, len(texts), "target")
        names = {code: resolve(code, self.languages) for code in {*sources, *targets} - {AUTO}}
        if AUTO in targets:
            raise LanguageError("the target language must be named; only a source may be 'auto'")
        unnamed = [i for i, code in enumerate(sources) if code == AUTO]
        wanted = [names[targets[i]] for i in unnamed]
        guessed = self._guess([texts[i] for i in unnamed], wanted) if unnamed else []
        found = dict(zip(unnamed, guessed, strict=True))
        ways = [
            (found.get(i) or names[source], names[target])
            for i, (source, target) in enumerate(zip(sources, targets, strict=True))
        ]
        return [
            Direction(a, b, tags=origin.tags(name, (), a))
            for (a, b), name in zip(ways, known, strict=True)
        ]

    def _guess(self, texts: list[str], targets: Sequence[str]) -> list[str]:
        """The likely language of each text. It is the target, which leaves the text untranslated,
        only where that is all but sure."""
        found = self.detect(texts)
        for i, (target, (language, confidence)) in enumerate(zip(targets, found, strict=True)):
            others = [code for code in self.languages if code != target]
            if language == target and confidence < _SURE and others:
                found[i] = self._identify([texts[i]], others)[0]
        return [language for language, _ in found]

    def _opened(
        self, texts: Sequence[str], directions: Sequence[Direction], split: bool
    ) -> tuple[list[Document], dict[str, list[int]]]:
        """The texts in parts that the model can take, and the pieces of each part."""
        pairs = zip(texts, directions, strict=True)
        documents = [Document.of(text, direction, split) for text, direction in pairs]
        ids = self._encode(text for d in documents for text in d.to_translate())
        rooms = [self._room(d.direction) for d in documents]
        both = list(zip(documents, rooms, strict=True))
        if any(len(ids[text]) > room for d, room in both for text in d.to_translate()):
            documents = [d.cut(partial(self._fits, room)) for d, room in both]
            ids = self._encode(text for d in documents for text in d.to_translate())
        return documents, ids

    def _encode(self, texts: Iterable[str]) -> dict[str, list[int]]:
        """Pieces of each different text; none of a text that is all marks to be dropped."""
        unique = sorted(set(texts))
        return dict(zip(unique, self._tokenizer.encode(unique), strict=True))

    def _room(self, direction: Direction) -> int:
        """Pieces of the longest sentence that the model has seen, or can take."""
        return self._longest - len(self._tokenizer.source([], direction))

    def _fits(self, room: int, text: str) -> bool:
        return len(self._tokenizer.encode([text])[0]) <= room


def _units(
    documents: Sequence[Document], wishes: Sequence[Wish], glossary: Glossary
) -> list[list[Unit]]:
    """The sentences of each document that are to be translated, with their share of its wish."""
    units: list[list[Unit]] = []
    for number, (document, wish) in enumerate(zip(documents, wishes, strict=True)):
        sentences, direction = list(document.to_translate()), document.direction
        try:
            shares = wished.share(wish, sentences, direction.tgt)
        except WishError as error:
            raise WishError(error.why, number) from error
        said = [glossary.targets(text, direction.src) for text in sentences]
        units.append(
            [
                Unit(text, direction.tgt, own.with_terms(targets), direction.tags)
                for text, own, targets in zip(sentences, shares, said, strict=True)
            ]
        )
    return units
