"""Sentences in, n-best translations of each out: decoded, ranked, made readable, looked at again.

Equal sentences with equal wishes into the same language are one. Every sentence gets at least one
translation, or an error is raised; what went wrong with it is marked (`guard`), after one more try.

Not its job: cutting texts into sentences and putting them together (document), languages' names.
"""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, Protocol

from m4nmt.core.stages import SearchConfig
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction
from m4nmt.translate import coverage, guard, risk
from m4nmt.translate.constraints import Constraint, Ids
from m4nmt.translate.decoder import Cancelled, Hypothesis, length_penalty
from m4nmt.translate.document import LostSentenceError, one_line
from m4nmt.translate.engine import Engine, NoNativeError
from m4nmt.translate.guard import Guard, plain
from m4nmt.translate.scripts import writes_spaces
from m4nmt.translate.spans import links, original
from m4nmt.translate.types import Translation
from m4nmt.translate.wishes import NOTHING, Speller, Wish
from m4nmt.translate.words import Not, distinct, spaced_word

log = logging.getLogger(__name__)


class Identifies(Protocol):
    """Tells the language of texts."""

    def identify(
        self, texts: Sequence[str], among: Sequence[str] | None = None
    ) -> list[tuple[str, float]]:
        """(code, confidence from 0 to 1) of each text."""


class Unit(NamedTuple):
    """A sentence, the language it goes into, what is wished of it, and what is known of it
    (`Direction.tags`)."""

    text: str
    tgt: str
    wish: Wish = NOTHING
    tags: tuple[str, ...] = ()


class Order(NamedTuple):
    """How sentences are to be translated (`Translator.translate`)."""

    config: SearchConfig
    cancelled: Cancelled | None
    token_scores: bool
    align: bool
    guard: Guard | None


@dataclass(frozen=True)
class Task:
    """A unit as the engine gets it.

    Attributes:
        ids: pieces of the sentence.
        limit: most tokens of its translation.
    """

    unit: Unit
    ids: Sequence[int]
    row: list[int]
    limit: int
    constraint: Constraint


class Sentences:
    """One model at work on sentences. Safe in several threads."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        languages: Sequence[str],
        identifier: Identifies | None,
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._languages = languages
        self._identifier = identifier
        self._speller = Speller(tokenizer)

    def translate(
        self, units: Sequence[Unit], ids: Mapping[str, Sequence[int]], order: Order
    ) -> dict[Unit, list[Translation]]:
        """n-best translations of each different unit, best first; at least one.

        Args:
            ids: pieces of each sentence.

        Raises:
            WishError: a wish that the vocabulary cannot express.
            CancelledError: the caller wants no more.
        """
        some = sorted({unit for unit in units if ids[unit.text]})
        tasks = [self._task(unit, ids[unit.text], order.config) for unit in some]
        found = self._render(tasks, order.config, order)
        if order.guard is not None:
            found = self._guarded(tasks, found, order, order.guard)
        if order.align:
            found = self._aligned(tasks, found, order.config.batch_tokens)
        as_it_is = {unit: [Translation(unit.text, 0.0)] for unit in units if not ids[unit.text]}
        return as_it_is | {task.unit: best for task, best in zip(tasks, found, strict=True)}

    def going_on(
        self, unit: Unit, ids: Mapping[str, Sequence[int]], order: Order, count: int, anew: bool
    ) -> list[tuple[str, Translation]]:
        """Up to `count` words that may follow a unit's prefix, best first, each once, with the
        best translation that was found with it.

        Twice as many likely next pieces are each gone on with, by a search of its own. The last
        word of a prefix may be one that the model would cut into other pieces: where it may be
        gone on with, so are the likeliest pieces that spell its beginning.

        Args:
            ids: pieces of each sentence.
            anew: the prefix's last word is whole.
        """
        spaced = writes_spaces(unit.tgt)
        if not ids[unit.text]:
            return []
        task = self._task(unit, ids[unit.text], order.config)
        starts = [task]
        if spaced and not anew:
            starts.append(self._with_last_word_open(task))
        begins = [
            (start, tokens)
            for start in starts
            for tokens in self._next_pieces(start, order, 2 * count, anew and spaced)
        ]
        tasks = [
            replace(start, constraint=replace(start.constraint, prefix=tokens))
            for start, tokens in begins
        ]
        beam = order.config.beam
        config = replace(plain(order.config), n_best=beam)
        found = self._render(tasks, config, order)
        if order.guard is not None:
            found = self._marked(tasks, found, order.guard)
        heads = self._lines([task.constraint.prefix, *(tokens for _, tokens in begins)])
        words: list[tuple[str, Translation]] = []
        for head, best in zip(heads[1:], found, strict=True):
            for translation in best:
                text, before = translation.text, heads[0]
                word = spaced_word(text, before) if spaced else text[len(before) : len(head)]
                words.append((word.strip(), translation))
        return distinct(words, count)

    def _with_last_word_open(self, task: Task) -> Task:
        told = task.constraint
        before, begun = self._speller.open_word(told.prefix)
        return replace(task, constraint=replace(told, prefix=before, unsaid=(*told.unsaid, begun)))

    def _next_pieces(self, task: Task, order: Order, count: int, anew: bool) -> list[Ids]:
        """The likeliest ways to go on with a task's prefix by one piece."""
        begin = len(task.constraint.prefix)
        refused = [self._tokenizer.eos, *(self._speller.glued() if anew and begin else ())]
        told = replace(task.constraint, unsaid=(*task.constraint.unsaid, Not(begin, refused)))
        config = replace(plain(order.config), beam=count, n_best=count)
        limit = self._within(begin + 1)
        [found] = self._engine.decode([task.row], [limit], config, order.cancelled, [told])
        return [h.tokens for h in found]

    def _lines(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        return [one_line(text) for text in self._tokenizer.decode(tokens)]

    def _task(self, unit: Unit, ids: Sequence[int], config: SearchConfig) -> Task:
        direction = Direction(unit.tgt, unit.tgt, tags=unit.tags)
        constraint = self._speller.constraint(unit.wish, direction)
        asked = len(constraint.prefix) + sum(min(map(len, x)) for x in constraint.required)
        limit = math.ceil(config.max_ratio * len(ids)) + config.max_extra + asked
        row = self._tokenizer.source(ids, direction)
        return Task(unit, ids, row, self._within(limit), constraint)

    def _within(self, limit: int) -> int:
        """The limit, or what the model has positions for: scoring what was cut takes one more."""
        most = self._engine.positions
        return limit if most is None else max(1, min(limit, most - 1))

    def _render(
        self, tasks: Sequence[Task], config: SearchConfig, order: Order
    ) -> list[list[Translation]]:
        """Translations of each task, those that read alike as one."""
        # several hypotheses may spell one text, and some are ranked again: look at all of them
        every = config.n_best > 1 or config.coverage or config.risk
        wide = replace(config, n_best=config.beam) if every else config
        rows = [task.row for task in tasks]
        told = [task.constraint for task in tasks]
        found = self._engine.decode(
            rows, [task.limit for task in tasks], wide, order.cancelled, told if any(told) else None
        )
        if len(found) != len(tasks):
            raise LostSentenceError(f"{len(tasks)} sentences went in, {len(found)} came out")
        if order.token_scores or config.coverage:
            found = self._with_scores(rows, found, config.batch_tokens)
        found = coverage.rank_again(self._engine, rows, found, config.coverage, config.batch_tokens)
        lines = iter(self._lines([_said(h) for best in found for h in best]))
        return [
            self._readable(best, list(islice(lines, len(best))), task.unit.tgt, config)
            for task, best in zip(tasks, found, strict=True)
        ]

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

    def _readable(
        self,
        hypotheses: Sequence[Hypothesis],
        lines: Sequence[str],
        language: str,
        config: SearchConfig,
    ) -> list[Translation]:
        """With their texts, each text once with its best score; where nothing at all was found, an
        empty one that is not finished."""
        readable: dict[str, Translation] = {}
        for line, h in zip(lines, hypotheses, strict=True):
            if line not in readable:
                readable[line] = self._translation(line, h, config.length_alpha)
        if not readable:
            return [Translation("", 0.0, finished=False)]
        if not config.risk:
            return list(readable.values())
        counts, measure = Counter(lines), risk.utility(config.risk, language)
        gains = risk.expected(list(readable), [counts[line] for line in readable], measure)
        made = zip(readable.values(), gains, strict=True)
        ranked = [replace(translation, utility=gain) for translation, gain in made]
        return sorted(ranked, key=lambda t: (-t.utility, -t.score, t.text))

    def _translation(self, text: str, h: Hypothesis, alpha: float) -> Translation:
        ids = _said(h)
        total = math.fsum(h.logp) if h.logp else h.score * length_penalty(len(h.tokens), alpha)
        return Translation(
            text,
            h.score,
            tuple(self._tokenizer.pieces(ids)),
            h.logp[: len(ids)],
            h.finished,
            confidence=math.exp(total / max(1, len(h.tokens))),
            least=math.exp(min(h.logp)) if h.logp else None,
            marks=() if h.met else (guard.REQUIRED,),
        )

    def _guarded(
        self,
        tasks: Sequence[Task],
        found: Sequence[list[Translation]],
        order: Order,
        limits: Guard,
    ) -> list[list[Translation]]:
        """With marks; those that went wrong searched again in another way, the better one kept.
        Draws are not searched again: they are what was asked for."""
        marked = self._marked(tasks, found, limits)
        if order.config.sample and not order.config.risk:
            return marked
        wrong = [i for i, best in enumerate(marked) if best[0].marks]
        if not wrong:
            return marked
        log.info("%d of %d sentences are searched again", len(wrong), len(tasks))
        again = [self._otherwise(tasks[i], marked[i][0], limits) for i in wrong]
        config = guard.other_settings(order.config)
        try:
            second = self._render(again, config, order)
        except NoNativeError:  # what is said again and again cannot be forbidden then
            pairs = zip(wrong, again, strict=True)
            plain = [replace(new, constraint=tasks[i].constraint) for i, new in pairs]
            second = self._render(plain, config, order)
        second = self._marked(again, second, limits)
        for i, options in zip(wrong, second, strict=True):
            marked[i] = guard.better(marked[i], options)
        return marked

    def _otherwise(self, task: Task, translation: Translation, limits: Guard) -> Task:
        """With what it says again and again forbidden; else, if it was cut, with twice the room."""
        pieces = self._tokenizer.pieces(task.ids)
        unit = [str(piece) for piece in guard.repeated(pieces, translation.tokens, limits)]
        if unit:
            twice = tuple(self._tokenizer.ids([*unit, *unit]))
            forbidden = (*task.constraint.forbidden, twice)
            return replace(task, constraint=replace(task.constraint, forbidden=forbidden))
        if not translation.finished:
            return replace(task, limit=self._within(2 * task.limit))
        return task

    def _marked(
        self, tasks: Sequence[Task], found: Sequence[list[Translation]], limits: Guard
    ) -> list[list[Translation]]:
        """With the marks that each translation deserves."""
        flat = [(task, t) for task, best in zip(tasks, found, strict=True) for t in best]
        strange = self._strange([(t.text, task.unit.tgt) for task, t in flat], limits)
        out: list[list[Translation]] = []
        at = 0
        for task, best in zip(tasks, found, strict=True):
            marked = []
            for translation in best:
                marks = guard.faults(task.ids, translation, limits)
                marks += ("language",) if strange[at] else ()
                same = marks == translation.marks
                marked.append(translation if same else replace(translation, marks=marks))
                at += 1
            out.append(marked)
        return out

    def _strange(self, pairs: Sequence[tuple[str, str]], limits: Guard) -> list[bool]:
        """Which (text, language) are in another language."""
        strange = [False] * len(pairs)
        if self._identifier is None:
            return strange
        some = [i for i, pair in enumerate(pairs) if guard.long_enough(*pair, limits)]
        guesses = self._identifier.identify([pairs[i][0] for i in some], among=self._languages)
        for i, (code, confidence) in zip(some, guesses, strict=True):
            strange[i] = code != pairs[i][1] and confidence >= limits.sure
        return strange

    def _aligned(
        self, tasks: Sequence[Task], found: Sequence[list[Translation]], budget: int
    ) -> list[list[Translation]]:
        """The same translations, aligned with their sentences."""
        flat = [(task, t) for task, best in zip(tasks, found, strict=True) for t in best]
        rows = [task.row for task, _ in flat]
        targets = [self._tokenizer.ids(t.tokens) for _, t in flat]
        pairs = iter(self._engine.align(rows, targets, budget))
        aligned: list[list[Translation]] = []
        for task, best in zip(tasks, found, strict=True):
            text, pieces = task.unit.text, self._tokenizer.pieces(task.ids)
            where = original(self._tokenizer.normalise(text), text)
            aligned.append(
                [replace(t, alignment=links(next(pairs), pieces, t.tokens, where)) for t in best]
            )
        return aligned


def _said(h: Hypothesis) -> tuple[int, ...]:
    """Without the end symbol."""
    return h.tokens[:-1] if h.finished else h.tokens
