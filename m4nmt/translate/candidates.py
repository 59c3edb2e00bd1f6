"""From the hypotheses that CTranslate2 found to those that our own beam search finds.

CTranslate2's beam search, told that forbidden symbols end a hypothesis too, walks through the very
same live beams as ours (`search`): at every step the best K continuations that do not end stay, and
what ends among the best K is registered with its sum of log p. It differs in three ways:
- it stops at the step that makes the number of registered hypotheses C or more (we ask for C), or
  at the limit of the whole batch, where the K best candidates are registered whether they end or
  not;
- it gives back no more than C of them, those with the largest sums;
- what a forbidden symbol ended is registered and counted (*spoilt*), and each of these pushes at
  most one hypothesis that ended at the same step, with a smaller sum, out of the best K: a *missed*
  one.
So what is given back is read here, and either equals our search's result or is known to be too
little, so that the search must be done again with a larger C, or otherwise. One difference stays:
where so many forbidden symbols are among the best 2K continuations that fewer than K do not end,
CTranslate2 goes on with fewer beams. A trained model all but never does that.

Not its job: calling CTranslate2 (ctranslate2), our own search.
"""

from collections.abc import Hashable, Sequence
from operator import itemgetter
from typing import NamedTuple

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.decoder import length_penalty

Symbol = Hashable  # an id, or its written form: nothing here cares


class Ends(NamedTuple):
    """The symbols that end a hypothesis.

    Attributes:
        end: of a sentence.
        all: that one and the forbidden ones.
    """

    end: Symbol
    all: frozenset[Symbol]


class Found(NamedTuple):
    """A hypothesis as CTranslate2 gives it: symbols, with whatever ended it; their sum of log p."""

    tokens: Sequence[Symbol]
    total: float


class Best(NamedTuple):
    """A hypothesis of our search's result.

    Attributes:
        score: sum of log p over the length penalty.
        finished: False where the limit cut it.
    """

    tokens: Sequence[Symbol]
    score: float
    finished: bool


class Again(NamedTuple):
    """A search whose result is not certain.

    Attributes:
        steps: as many must be looked at whole.
        spoilt: forbidden symbols ended it too early.
    """

    steps: int
    spoilt: bool


class Cut(NamedTuple):
    """What the limit left of a greedy translation; its score is not known yet."""

    tokens: Sequence[Symbol]


class Sorted(NamedTuple):
    """Hypotheses by their end: the end symbol, none (a limit), or a forbidden symbol."""

    finished: list[Found]
    cut: list[Found]
    spoilt: list[Found]


def sort(found: Sequence[Found], ends: Ends) -> Sorted:
    """Tell them apart. An end symbol inside spoils a hypothesis, too: it went on after its end."""
    parts = Sorted([], [], [])
    for one in found:
        last = one.tokens[-1]
        if not ends.all.isdisjoint(one.tokens[:-1]):
            parts.spoilt.append(one)
        elif last == ends.end:
            parts.finished.append(one)
        elif last in ends.all:
            parts.spoilt.append(one)
        else:
            parts.cut.append(one)
    return parts


def certain(
    found: Sequence[Found], limit: int, config: SearchConfig, ends: Ends
) -> list[Best] | Cut | Again:
    """Our search's result, if what CTranslate2 found with C = `config.beam` determines it.

    Proof. Let t be the step at which CTranslate2 stopped. Before t fewer than C hypotheses were
    registered, so one of the C given back is of t: t is the greatest length among them.
    1. Before min(t, limit) our search has fewer than K = C final hypotheses: those that
       CTranslate2 registered, and no more missed ones than it registered spoilt ones. So it goes
       on until then. If all C given back are finished it stops there; if min(t, limit) is the
       limit, too. Otherwise a spoilt hypothesis made CTranslate2 stop early: not certain.
    2. What our search has beyond what was given back was either registered, and sums to no more
       than the least sum given back, or is missed, and sums to no more than a spoilt one: to no
       more than the larger of these, m, in any case. It has at most min(t, limit) tokens. As
       m <= 0 its score is at most m over the largest length penalty up to there. If the n-th best
       of what was given back scores no less, it is not among the n best.

    Where nothing finished was given back, it may be among what was not: not certain. But a greedy
    search has one path: it is what was given back, up to the limit.

    Args:
        limit: of this sentence; the batch may have gone on beyond.
    """
    parts = sort(found, ends)
    last = max([len(one.tokens) for one in found])
    if len(parts.finished) < len(found) and last < limit:
        return Again(limit, True)
    within = [one for one in parts.finished if len(one.tokens) <= limit]
    if not within:
        alone = found[0].tokens[:limit]
        greedy = config.beam == 1 and ends.all.isdisjoint(alone)
        return Cut(alone) if greedy else Again(limit, False)
    best = _ranked(within, config, finished=True)
    if config.beam == 1:
        return best
    sums = [min([one.total for one in found]), *[one.total for one in parts.spoilt]]
    steps = min(last, limit)
    return best if _beats(best, max(sums), steps, config) else Again(steps, False)


def _beats(best: Sequence[Best], total: float, steps: int, config: SearchConfig) -> bool:
    """Whether nothing that sums to no more than `total` in so many steps is among the n best."""
    alpha = config.length_alpha
    largest = max(length_penalty(1, alpha), length_penalty(steps, alpha))
    return len(best) >= config.n_best and best[-1].score >= total / largest


def complete(
    found: Sequence[Found], limit: int, config: SearchConfig, ends: Ends
) -> list[Best] | None:
    """Our search's result of all hypotheses that were registered up to the limit, or beyond.

    Our search stops at the step that makes `config.beam` hypotheses final; what ended later is
    left out. Where nothing ended within the limit, what was cut there is the result; it is empty
    if the batch ran on, beyond the limit. None if missed hypotheses could change the result: the
    step, or the best.
    """
    parts = sort([one for one in found if len(one.tokens) <= limit], ends)
    if not parts.finished:
        return None if parts.spoilt else _ranked(parts.cut, config, finished=False)
    lengths = sorted(len(one.tokens) for one in parts.finished)
    stop = lengths[config.beam - 1] if len(lengths) >= config.beam else limit
    best = _ranked([o for o in parts.finished if len(o.tokens) <= stop], config, finished=True)
    spoilt = [one for one in parts.spoilt if len(one.tokens) <= stop]
    if spoilt:
        before = sum(n < stop for n in lengths) + sum(len(one.tokens) < stop for one in spoilt)
        if before >= config.beam or not _beats(best, max(o.total for o in spoilt), stop, config):
            return None
    return best


def _ranked(found: Sequence[Found], config: SearchConfig, finished: bool) -> list[Best]:
    """The best `config.n_best`, ranked by our length penalty."""
    alpha = config.length_alpha
    made = [
        Best(tokens, total / length_penalty(len(tokens), alpha), finished)
        for tokens, total in found
    ]
    made.sort(key=itemgetter(1), reverse=True)
    return made[: config.n_best]
