"""CTranslate2 as an Engine: the same hypotheses and scores as the native search, faster on a CPU.

How the hypotheses are made the native engine's is in `candidates`. A sentence is searched
1. quickly: CTranslate2 stops as it always does. For nearly all sentences the result is certain (a
   greedy one that met its limit lacks its score alone, which is then read by teacher forcing);
2. if not, thoroughly: with all hypotheses that end in as many steps as our search makes;
3. where forbidden symbols are so likely that they hide the result: both again with these symbols
   made impossible, and scored again (CTranslate2 gives their probability to the others while it
   searches, the native engine does not: where that decides between two, they may differ).

What is not the native engine's: log p by token is not given (`score` does), and a group of
sentences that has begun is not stopped by `cancelled`: the call returns, its work ends unseen.
Draws, groups of beams, constraints and coverage are left to the native engine.

Not its job: writing the model (exchange), texts.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from m4nmt.core.stages import SearchConfig
from m4nmt.translate import candidates
from m4nmt.translate.alignment import Pairs
from m4nmt.translate.batching import pack
from m4nmt.translate.candidates import Again, Best, Cut, Ends, Found
from m4nmt.translate.constraints import Constraint
from m4nmt.translate.decoder import (
    Cancelled,
    Hypothesis,
    Symbols,
    check,
    length_penalty,
    ranked,
)
from m4nmt.translate.engine import Engine, NoNativeError, Rows
from m4nmt.translate.jobs import Job, Run, stopping

_SUMS = 1e-30  # a length penalty whose power is 1: scores are sums, and no early exit is taken
_PATIENCE_SECONDS = 0.001  # between two looks at a batch whose caller may cancel
_INTRA = 4  # threads that work well on one batch; more threads are more batches at once


class CTranslate2:
    """An export in this process.

    Args:
        folder: with `model.bin`.
        pieces: the written form of each id, in CTranslate2's vocabulary.
        positions: the longest row the export takes; None: any.
        device: "cpu", "cuda" or "cuda:1".
        threads: of all batches together; 0: as many as the math library has.
        shift: of the steps where alignments are read (`exchange.ctranslate2.Reading`).
        native: makes the native engine, for what CTranslate2 cannot do as it does: draws that are a
            function of seed and sentence, groups, constraints, coverage; called when first needed.

    Raises:
        RuntimeError: CTranslate2 cannot load it.
    """

    def __init__(
        self,
        folder: Path,
        pieces: Sequence[str],
        symbols: Symbols,
        positions: int | None,
        device: str = "cpu",
        threads: int = 0,
        shift: int = 0,
        native: Callable[[], Engine] | None = None,
    ) -> None:
        import ctranslate2

        kind, _, index = device.partition(":")
        total = threads or torch.get_num_threads()
        intra = min(total, _INTRA)
        self._workers = max(1, total // intra) if kind == "cpu" else 1
        self._translator = ctranslate2.Translator(
            str(folder),
            device=kind,
            device_index=int(index or 0),
            inter_threads=self._workers,
            intra_threads=intra,
        )
        self._pieces = tuple(pieces)
        self._ids: dict[Hashable, int] = {piece: i for i, piece in enumerate(self._pieces)}
        self._forbidden = [self._pieces[i] for i in symbols.forbidden]
        self._end = self._pieces[symbols.eos]
        self._ends = Ends(self._end, frozenset([self._end, *self._forbidden]))
        self._symbols = symbols
        self._positions = positions
        self._shift = shift
        self._make_native = native
        self._native: Engine | None = None

    @property
    def positions(self) -> int | None:
        """Rows of the table of positions that was exported."""
        return self._positions

    def decode(
        self,
        rows: Rows,
        limits: Sequence[int],
        config: SearchConfig,
        cancelled: Cancelled | None = None,
        constraints: Sequence[Constraint] | None = None,
    ) -> list[list[Hypothesis]]:
        """As the protocol says; sentences of like length are decoded together.

        Raises:
            CancelledError: `cancelled` said so, before or between the steps of waiting.
            FloatingPointError: the model gave numbers that are not finite.
            NoNativeError: draws, groups or constraints, where the native engine is not at hand.
            ValueError: a row of one symbol, which CTranslate2 takes for an empty text.
        """
        if min(map(len, rows), default=2) < 2:
            raise ValueError("a source row needs a tag and an end symbol at least")
        if config.sample or config.groups > 1:
            return self._stand_in().decode(rows, limits, config, cancelled, constraints)
        bound = [i for i, constraint in enumerate(constraints or ()) if constraint]
        free = sorted(set(range(len(rows))).difference(bound))
        run = Run(rows, limits, config, cancelled)
        done: dict[int, list[Hypothesis]] = {}
        if bound and constraints is not None:
            some, most = [rows[i] for i in bound], [limits[i] for i in bound]
            told = [constraints[i] for i in bound]
            found = self._stand_in().decode(some, most, config, cancelled, told)
            done |= zip(bound, found, strict=True)
        best, spoilt = self._searched(run, free, {})
        done |= {i: self._made(made) for i, made in best.items()}
        done |= self._without_forbidden(run, spoilt)
        return [done[i] for i in range(len(rows))]

    def score(self, rows: Rows, targets: Rows, budget: int) -> list[tuple[float, ...]]:
        """As the protocol says."""
        if not all(rows) or not all(targets):
            raise ValueError(
                "a row without tokens cannot be scored; targets end with the end symbol"
            )
        lengths = [max(len(s), len(t)) for s, t in zip(rows, targets, strict=True)]
        groups = pack(lengths, 1, budget)
        eos = self._ids[self._end]

        def submit(group: list[int]) -> list[Any]:
            # CTranslate2 puts the end symbol behind every target
            outs = [targets[i][:-1] if targets[i][-1] == eos else targets[i] for i in group]
            batch: list[Any] = self._translator.score_batch(
                [self._written(rows[i]) for i in group],
                [self._written(out) for out in outs],
                max_input_length=0,
                asynchronous=True,
            )
            return batch

        scores: dict[int, tuple[float, ...]] = {}
        for group, results in self._in_flight(groups, submit, None):
            for i, result in zip(group, results, strict=True):
                scores[i] = tuple(result.log_probs[: len(targets[i])])
        return [scores[i] for i in range(len(rows))]

    def align(self, rows: Rows, targets: Rows, budget: int) -> list[Pairs]:
        """As the protocol says. Of a decoder of two or three layers only the last one's attention
        is read, where the native engine reads all."""
        lengths = [max(len(s), len(t)) for s, t in zip(rows, targets, strict=True)]
        tags = [self._symbols.leading(row) for row in rows]
        full = [i for i, target in enumerate(targets) if target and len(rows[i]) > tags[i] + 1]
        groups = [[full[g] for g in group] for group in pack([lengths[i] for i in full], 1, budget)]

        def submit(group: list[int]) -> list[Any]:
            batch: list[Any] = self._translator.translate_batch(
                [self._written(rows[i]) for i in group],
                target_prefix=[self._written(targets[i]) for i in group],
                beam_size=1,
                max_input_length=0,
                max_decoding_length=max(len(targets[i]) for i in group) + self._shift,
                min_decoding_length=0,
                return_attention=True,
                return_end_token=True,
                asynchronous=True,
            )
            return batch

        pairs: list[Pairs] = [()] * len(rows)
        for group, results in self._in_flight(groups, submit, None):
            for i, result in zip(group, results, strict=True):
                steps = result.attention[0][self._shift : len(targets[i]) + self._shift]
                sources = (words[tags[i] : len(rows[i]) - 1] for words in steps)
                pairs[i] = tuple((s.index(max(s)), t) for t, s in enumerate(sources))
        return pairs

    def cover(self, rows: Rows, targets: Rows, budget: int) -> list[tuple[float, ...]]:
        """As the native engine does.

        Raises:
            NoNativeError: it is not at hand.
        """
        return self._stand_in().cover(rows, targets, budget)

    def _searched(
        self, run: Run, members: Sequence[int], options: Mapping[str, Any]
    ) -> tuple[dict[int, list[Best]], list[int]]:
        """The result of each of these sentences; and those for which forbidden symbols hide it."""
        best, again = self._quickly(run, members, options)
        steps = {i: why.steps for i, why in again.items() if not why.spoilt}
        more = self._thoroughly(run, steps, options)
        best |= {i: found for i, found in more.items() if found is not None}
        return best, [i for i in members if i not in best]

    def _quickly(
        self, run: Run, members: Sequence[int], options: Mapping[str, Any]
    ) -> tuple[dict[int, list[Best]], dict[int, Again]]:
        """Those whose result is certain after CTranslate2's usual search, and the others."""
        beam, stop = run.config.beam, stopping(run.config.beam, run.config.beam)
        jobs = []
        for numbers in pack([len(run.rows[i]) for i in members], beam, run.config.batch_tokens):
            group = [members[g] for g in numbers]
            jobs.append(Job(group, max(run.limits[i] for i in group), {**stop, **options}))
        best: dict[int, list[Best]] = {}
        again: dict[int, Again] = {}
        cut: dict[int, Cut] = {}
        for i, found in self._search(run, jobs):
            result = candidates.certain(found, run.limits[i], run.config, self._ends)
            match result:
                case Again():
                    again[i] = result
                case Cut():
                    cut[i] = result
                case _:
                    best[i] = result
        return best | self._summed(run, cut), again

    def _summed(self, run: Run, cut: Mapping[int, Cut]) -> dict[int, list[Best]]:
        """With the scores of what their limits left of them."""
        targets = [[self._ids[piece] for piece in one.tokens] for one in cut.values()]
        scores = self.score([run.rows[i] for i in cut], targets, run.config.batch_tokens)
        alpha = run.config.length_alpha
        return {
            i: [Best(one.tokens, math.fsum(logp) / length_penalty(len(logp), alpha), False)]
            for (i, one), logp in zip(cut.items(), scores, strict=True)
        }

    def _thoroughly(
        self, run: Run, steps: Mapping[int, int], options: Mapping[str, Any]
    ) -> dict[int, list[Best] | None]:
        """These sentences, with all that ends in so many steps; None where forbidden symbols could
        have changed the result. Where nothing ends, the batch must stop at the very limit."""
        made: dict[int, list[Best] | None] = {}
        beam = run.config.beam
        for grouped in (run.by_steps, run.by_limit):
            left = [i for i in steps if made.get(i, []) == []]
            jobs = [
                Job(group, most, {**stopping(beam, beam * (most + 1)), **options})
                for group, most in grouped(left, steps)
            ]
            for i, found in self._search(run, jobs):
                made[i] = candidates.complete(found, steps[i], run.config, self._ends)
        return made

    def _without_forbidden(self, run: Run, members: Sequence[int]) -> dict[int, list[Hypothesis]]:
        """These sentences, with forbidden symbols made impossible, and scored again."""
        options = {
            "end_token": [self._end],
            "suppress_sequences": [[piece] for piece in self._forbidden],
        }
        best, _ = self._searched(run, members, options)
        flat = [(i, h) for i in members for h in self._made(best.get(i, []))]
        rows, tokens = [run.rows[i] for i, _ in flat], [h.tokens for _, h in flat]
        done: dict[int, list[Hypothesis]] = {i: [] for i in members}
        scores = self.score(rows, tokens, run.config.batch_tokens)
        for (i, h), logp in zip(flat, scores, strict=True):
            score = math.fsum(logp) / length_penalty(len(logp), run.config.length_alpha)
            done[i].append(replace(h, logp=logp, score=score))
        return {i: ranked(found, run.config.n_best) for i, found in done.items()}

    def _search(self, run: Run, jobs: Iterable[Job]) -> Iterator[tuple[int, list[Found]]]:
        """(sentence, what was found) of every sentence of the jobs."""
        ends = [self._end, *self._forbidden]

        def submit(job: Job) -> list[Any]:
            options = {"end_token": ends, **job.options}
            batch: list[Any] = self._translator.translate_batch(
                [self._written(run.rows[i]) for i in job.group],
                length_penalty=_SUMS,
                max_input_length=0,
                max_decoding_length=job.limit,
                min_decoding_length=0,
                return_end_token=True,
                return_scores=True,
                asynchronous=True,
                **options,
            )
            return batch

        for job, results in self._in_flight(jobs, submit, run.cancelled):
            for i, result in zip(job.group, results, strict=True):
                yield i, self._found(result)

    def _found(self, result: Any) -> list[Found]:
        """The hypotheses of one sentence."""
        scores = result.scores
        if not all(map(math.isfinite, scores)):
            raise FloatingPointError(
                "the model gave scores that are not finite; its weights are damaged, or the "
                "precision is too small for them: export it as float32, or take another checkpoint"
            )
        return list(map(Found, result.hypotheses, scores))

    def _made(self, best: Sequence[Best]) -> list[Hypothesis]:
        """With ids in the place of pieces."""
        return [
            Hypothesis(tuple(map(self._ids.__getitem__, pieces)), (), score, finished)
            for pieces, score, finished in best
        ]

    def _in_flight(
        self,
        jobs: Iterable[Any],
        submit: Callable[[Any], list[Any]],
        cancelled: Cancelled | None,
    ) -> Iterator[tuple[Any, list[Any]]]:
        """Each job with its results; as many are under way as there are workers, and one waits."""
        pending: deque[tuple[Any, list[Any]]] = deque()
        for job in jobs:
            check(cancelled)
            pending.append((job, submit(job)))
            if len(pending) > self._workers:
                yield self._wait(pending.popleft(), cancelled)
        while pending:
            yield self._wait(pending.popleft(), cancelled)

    def _wait(
        self, job: tuple[Any, list[Any]], cancelled: Cancelled | None
    ) -> tuple[Any, list[Any]]:
        """The job's results, once they are there."""
        while cancelled is not None and not all(part.done() for part in job[1]):
            check(cancelled)
            time.sleep(_PATIENCE_SECONDS)
        return job[0], [part.result() for part in job[1]]

    def _written(self, row: Sequence[int]) -> list[str]:
        return list(map(self._pieces.__getitem__, row))

    def _stand_in(self) -> Engine:
        """The native engine."""
        if self._native is None:
            if self._make_native is None:
                raise NoNativeError(
                    "an export can neither draw translations, nor search in groups, constrain or "
                    "rank them by coverage: that is the native engine's work; give the model "
                    "folder instead of the export"
                )
            self._native = self._make_native()
        return self._native
