"""A trained model as people use it: texts in, translations out.

Any number of texts, in any mixture of directions, of any length: they are cut into sentences,
sentences of like length are decoded together, and each text is put together again. As many come
out as went in, in order. Safe to use from several threads: nothing here changes after loading.

Not its job: searching (search, sampling), cutting (segment), serving, files of text.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.core.stages import SearchConfig
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction
from m4nmt.translate import engines, loading
from m4nmt.translate.decoder import Cancelled, Hypothesis
from m4nmt.translate.document import Document, TextError, checked, one_line
from m4nmt.translate.engine import Engine
from m4nmt.translate.languages import AUTO, LanguageError, per_text, resolve
from m4nmt.translate.spans import links, original
from m4nmt.translate.types import Translation

log = logging.getLogger(__name__)

_SURE = 0.9  # confidence from which a text counts as already being in the target language


class Identifies(Protocol):
    """Tells the language of texts."""

    def identify(
        self, texts: Sequence[str], among: Sequence[str] | None = None
    ) -> list[tuple[str, float]]:
        """(code, confidence from 0 to 1) of each text."""


class Translator:
    """A model ready to translate.

    Attributes:
        card: of the model folder.
        languages: every language the model has a tag for, sorted.
        directions: those it was trained on; others are allowed (zero-shot).
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
        self.search = loading.search_config(card)
        self._engine = engine
        self._tokenizer = tokenizer
        self._identifier = identifier
        seen = loading.longest_row(card)
        specials = len(tokenizer.source([], Direction(self.languages[0], self.languages[0])))
        self._room = min(seen, engine.positions or seen) - specials

    @classmethod
    def load(
        cls,
        path: Path | str,
        device: str = "auto",
        precision: str = "fp32",
        threads: int = 0,
        engine: str = "auto",
    ) -> "Translator":
        """Load a model folder, the model of a run, or an export folder.

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
        ready = engines.load(Path(path), device, precision, engine, threads)
        log.info("%s", ready.which)
        return cls(ready.engine, ready.tokenizer, ready.card, ready.identifier)

    def is_trained(self, direction: Direction) -> bool:
        """Whether this direction was trained, rather than being zero-shot."""
        return direction in self.directions

    def count(self, texts: Sequence[str]) -> list[int]:
        """Source tokens of each text, without tags and ends: what it costs to translate."""
        return list(map(len, self._tokenizer.encode(checked(texts))))

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
    ) -> list[list[Translation]]:
        """n-best translations of each text, best first, in the order of the texts.

        A text is translated sentence by sentence, line by line; its line breaks are kept. What
        holds no letter or digit, or is in the target language already, is given back as it is. A
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

        Raises:
            LanguageError: a language that the model does not know.
            TextError: a text that is not valid Unicode.
            CancelledError: `cancelled` said so.
        """
        config = config or self.search
        texts = checked(texts)
        directions = self._directions(texts, src, tgt)
        pairs = zip(texts, directions, strict=True)
        documents = [Document.of(text, direction, split) for text, direction in pairs]
        ids = self._encode(text for d in documents for text in d.to_translate())
        if any(len(row) > self._room for row in ids.values()):
            documents = [d.cut(self._fits) for d in documents]
            ids = self._encode(text for d in documents for text in d.to_translate())
        units = {(text, d.direction.tgt) for d in documents for text in d.to_translate()}
        some = sorted(unit for unit in units if ids[unit[0]])
        found = self._decode(some, ids, config, cancelled, token_scores)
        if align:
            found = self._aligned(found, ids, config.batch_tokens)
        return [d.put_together(found.get(d.direction.tgt, {}), config.n_best) for d in documents]

    def score(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        src: str | Sequence[str],
        tgt: str | Sequence[str],
    ) -> list[float]:
        """log p of each target given its source: the sum over its pieces and the end, in nats."""
        return [sum(tokens) for tokens in self.score_tokens(sources, targets, src, tgt)]

    def score_tokens(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        src: str | Sequence[str],
        tgt: str | Sequence[str],
    ) -> list[tuple[float, ...]]:
        """log p of every piece of each target, and of its end. Texts are scored whole.

        Raises:
            TextError: unequal numbers of texts, or a text longer than the model has positions.
            LanguageError: a language that the model does not know.
        """
        sources, targets = checked(sources), checked(targets)
        if len(sources) != len(targets):
            raise TextError(f"{len(sources)} sources but {len(targets)} targets; give as many")
        directions = self._directions(sources, src, tgt)
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
        self, texts: list[str], src: str | Sequence[str], tgt: str | Sequence[str]
    ) -> list[Direction]:
        """The direction of each text."""
        sources = per_text(src, len(texts), "source")
        targets = per_text(tgt, len(texts), "target")
        names = {code: resolve(code, self.languages) for code in {*sources, *targets} - {AUTO}}
        if AUTO in targets:
            raise LanguageError("the target language must be named; only a source may be 'auto'")
        unnamed = [i for i, code in enumerate(sources) if code == AUTO]
        wanted = [names[targets[i]] for i in unnamed]
        guessed = self._guess([texts[i] for i in unnamed], wanted) if unnamed else []
        found = dict(zip(unnamed, guessed, strict=True))
        return [
            Direction(found.get(i) or names[source], names[target])
            for i, (source, target) in enumerate(zip(sources, targets, strict=True))
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

    def _encode(self, texts: Iterable[str]) -> dict[str, list[int]]:
        """Pieces of each different text; none of a text that is all marks to be dropped."""
        unique = sorted(set(texts))
        return dict(zip(unique, self._tokenizer.encode(unique), strict=True))

    def _fits(self, text: str) -> bool:
        """Whether a sentence is no longer than what the model has seen."""
        return len(self._tokenizer.encode([text])[0]) <= self._room

    def _decode(
        self,
        units: Sequence[tuple[str, str]],
        ids: Mapping[str, Sequence[int]],
        config: SearchConfig,
        cancelled: Cancelled | None,
        token_scores: bool,
    ) -> dict[str, dict[str, list[Translation]]]:
        """Translations of each (sentence, target language), by language, then by sentence.

        Equal sentences of different texts came here as one.
        """
        rows = [self._tokenizer.source(ids[text], Direction(tgt, tgt)) for text, tgt in units]
        limits = [
            math.ceil(config.max_ratio * len(ids[text])) + config.max_extra for text, _ in units
        ]
        most = self._engine.positions
        if most is not None:
            limits = [min(limit, most) for limit in limits]
        # several hypotheses may spell one text: look at all of them to find n that differ
        wide = replace(config, n_best=config.beam) if config.n_best > 1 else config
        found: dict[str, dict[str, list[Translation]]] = {}
        hypotheses = self._engine.decode(rows, limits, wide, cancelled)
        if token_scores:
            hypotheses = self._with_scores(rows, hypotheses, config.batch_tokens)
        for (text, tgt), best in zip(units, hypotheses, strict=True):
            found.setdefault(tgt, {})[text] = self._readable(best)
        return found

    def _with_scores(
        self, rows: Sequence[list[int]], hypotheses: Sequence[list[Hypothesis]], budget: int
    ) -> list[list[Hypothesis]]:
        """With log p of every token, which not every engine gives by itself."""
        bare = [(row, h) for row, best in zip(rows, hypotheses, strict=True) for h in best]
        bare = [(row, h) for row, h in bare if not h.logp]
        scores = iter(
            self._engine.score([row for row, _ in bare], [h.tokens for _, h in bare], budget)
        )
        return [
            [h if h.logp else replace(h, logp=next(scores)) for h in best] for best in hypotheses
        ]

    def _aligned(
        self,
        found: Mapping[str, Mapping[str, Sequence[Translation]]],
        ids: Mapping[str, Sequence[int]],
        budget: int,
    ) -> dict[str, dict[str, list[Translation]]]:
        """The same translations, aligned with their sentences."""
        flat = [(tgt, text, t) for tgt, of in found.items() for text, ts in of.items() for t in ts]
        rows = [self._tokenizer.source(ids[text], Direction(tgt, tgt)) for tgt, text, _ in flat]
        pairs = self._engine.align(rows, [self._tokenizer.ids(t.tokens) for *_, t in flat], budget)
        aligned: dict[str, dict[str, list[Translation]]] = {}
        for (tgt, text, translation), found_pairs in zip(flat, pairs, strict=True):
            linked = links(
                found_pairs,
                self._tokenizer.pieces(ids[text]),
                translation.tokens,
                original(self._tokenizer.normalise(text), text),
            )
            of = aligned.setdefault(tgt, {}).setdefault(text, [])
            of.append(replace(translation, alignment=linked))
        return aligned

    def _readable(self, hypotheses: Sequence[Hypothesis]) -> list[Translation]:
        """As texts, each text once with its best score."""
        tokens = [h.tokens[:-1] if h.finished else h.tokens for h in hypotheses]
        readable: dict[str, Translation] = {}
        for text, h, ids in zip(self._tokenizer.decode(tokens), hypotheses, tokens, strict=True):
            pieces = tuple(self._tokenizer.pieces(ids))
            line = one_line(text)
            readable.setdefault(
                line, Translation(line, h.score, pieces, h.logp[: len(ids)], h.finished)
            )
        return list(readable.values())
