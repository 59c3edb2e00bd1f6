"""Decoders without a model: tables of logits, and the searches done by brute force.

Not a test: the twins that tests compare with.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from m4nmt.translate.decoder import Symbols

BOS, EOS = 0, 1
SYMBOLS = Symbols(bos=BOS, eos=EOS, forbidden=(BOS,))

# (sentence, prefix without begin) -> logits of the next token
Table = Callable[[int, tuple[int, ...]], list[float]]


def random_table(seed: int, vocab: int, spread: float = 2.0) -> Table:
    """Logits drawn once for each (sentence, prefix), the same whenever asked."""

    def table(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        generator = torch.Generator().manual_seed(hash((seed, sentence, prefix)) % 2**62)
        logits: list[float] = (torch.randn(vocab, generator=generator) * spread).tolist()
        return logits

    return table


class ToyDecoder:
    """A `Decoder` over a table that keeps every row's prefix in the open."""

    def __init__(self, table: Table, sentences: Sequence[int]) -> None:
        self.table = table
        self.rows: list[tuple[int, tuple[int, ...]]] = [(s, ()) for s in sentences]
        self.steps: list[int] = []
        self._sentences = list(sentences)

    def step(self, last_R: Tensor) -> Tensor:
        assert len(last_R) == len(self.rows)
        if self.steps:
            pairs = zip(self.rows, last_R.tolist(), strict=True)
            self.rows = [(s, (*prefix, token)) for (s, prefix), token in pairs]
        self.steps.append(len(self.rows))
        return torch.tensor([self.table(s, prefix) for s, prefix in self.rows])

    def select(self, rows_R: Tensor, sentences_B: Tensor | None) -> None:
        self.rows = [self.rows[i] for i in rows_R.tolist()]
        if sentences_B is not None:
            self._sentences = [self._sentences[i] for i in sentences_B.tolist()]
        beams = len(self.rows) // len(self._sentences)
        owners = [s for s in self._sentences for _ in range(beams)]
        assert [s for s, _ in self.rows] == owners, "rows of a sentence must lie together, in order"


def log_softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    total = top + math.log(sum(math.exp(x - top) for x in logits))
    return [x - total for x in logits]


def rescore(table: Table, sentence: int, tokens: Sequence[int]) -> list[float]:
    """Teacher forcing: log p of each token given those before it."""
    return [
        log_softmax(table(sentence, tuple(tokens[:i])))[token] for i, token in enumerate(tokens)
    ]


def penalty(length: int, alpha: float) -> float:
    return ((5 + length) / 6) ** alpha


def every_sentence(
    table: Table, sentence: int, vocab: int, limit: int, alpha: float
) -> list[tuple[float, tuple[int, ...]]]:
    """All sentences that end within the limit, with their scores, best first."""
    inner = [v for v in range(vocab) if v not in (BOS, EOS)]
    found = []
    for length in range(limit):
        for words in itertools.product(inner, repeat=length):
            tokens = (*words, EOS)
            score = sum(rescore(table, sentence, tokens)) / penalty(len(tokens), alpha)
            found.append((score, tokens))
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))


def greedy(table: Table, sentence: int, limit: int) -> tuple[tuple[int, ...], bool]:
    """The likeliest allowed token, again and again: (tokens, whether it ended)."""
    tokens: list[int] = []
    for _ in range(limit):
        logits = table(sentence, tuple(tokens))
        logits[BOS] = -math.inf
        tokens.append(max(range(len(logits)), key=logits.__getitem__))
        if tokens[-1] == EOS:
            return tuple(tokens), True
    return tuple(tokens), False


def plain_beam(
    table: Table, sentence: int, limit: int, beam: int, alpha: float, n_best: int
) -> list[tuple[float, tuple[int, ...], bool]]:
    """Beam search as the rules say it, over lists, without the early stop."""
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    done: list[tuple[float, tuple[int, ...], bool]] = []
    for length in range(1, limit + 1):
        everything = []
        for score, prefix in live:
            logp = log_softmax(table(sentence, prefix))
            everything += [(score + logp[v], (*prefix, v)) for v in range(len(logp)) if v != BOS]
        everything.sort(key=lambda pair: -pair[0])
        done += [
            (score / penalty(length, alpha), tokens, True)
            for score, tokens in everything[:beam]
            if tokens[-1] == EOS
        ]
        live = [pair for pair in everything if pair[1][-1] != EOS][:beam]
        if len(done) >= beam:
            break
    if not done:
        done = [(score / penalty(limit, alpha), tokens, False) for score, tokens in live]
    return sorted(done, key=lambda found: (-found[0], found[1]))[:n_best]
