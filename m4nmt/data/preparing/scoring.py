"""Scores of all pairs by embedded sentences: made once, kept in a file a corpus, pair and model.

The store keeps no training text, so the sources are read once more, all files of a corpus side by
side, some rows at a time. Every line goes through the model once, however many pairs it is part of;
of its vector nothing stays but two scores a pair, four bytes. They depend on the two texts and the
model alone: no other filter, no threshold and no tokenizer makes them anew, which is why rows that
other filters drop are scored too. A killed run goes on at the rows where it was.

Runs in this process: one model in memory, which has the CPU or the CUDA device to itself. Not its
job: embedding (filters/embedding.py), judging (filters/pairs.py).

Letters: R rows of a window, D components.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from m4nmt.core.files import write_atomic
from m4nmt.core.progress import Ticker, progress
from m4nmt.data.directions import Pair
from m4nmt.data.filters import embedding_model, scores
from m4nmt.data.filters.scores import Draft
from m4nmt.data.filters.settings import EmbeddingScore, FilterChain
from m4nmt.data.formats import Faults, read
from m4nmt.data.preparing import inputs as given
from m4nmt.data.preparing.inputs import Facts, Input
from m4nmt.data.preparing.ledger import Ledger
from m4nmt.data.preparing.spool import fill

if TYPE_CHECKING:
    from m4nmt.data.filters.embedding import Embedder, Vectors

WINDOW = 1024  # rows that are embedded together; scores depend on it
MODELS = "models.json"
Made = dict[str, dict[Pair, dict[EmbeddingScore, Path]]]


def _asking(chain: FilterChain) -> list[EmbeddingScore]:
    return [one for one in chain.pairs if isinstance(one, EmbeddingScore)]


def _noted(store: Path) -> dict[str, Any]:
    """What is known of models: state and sha256 by name; nothing where the file is damaged."""
    try:
        known = json.loads((store / MODELS).read_text(encoding="utf-8"))
        return {
            name: {"state": one["state"], "sha256": one["sha256"]} for name, one in known.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def unchanged(chain: FilterChain, store: Path) -> bool:
    """Whether the models are what they were when the scores in a store were made.

    A store is used where its models are not: one that is not here has not changed.
    """
    known = _noted(store)
    for config in _asking(chain):
        folder = embedding_model.find(config.model, reach=False) if config.model in known else None
        if config.model not in known:
            return False
        if folder and embedding_model.state(folder) != known[config.model]["state"]:
            return False
    return True


@dataclass(frozen=True)
class _Task:
    """The scores of one pair of one corpus.

    Attributes:
        pair, path, key: which, where, and all that they depend on.
    """

    pair: Pair
    path: Path
    key: str

    @property
    def draft(self) -> Path:
        """Where they are while they are made."""
        return self.path.with_name(f".{self.path.name}.{self.key[:12]}.draft")


class Scorer:
    """Makes the scores that the filters of a chain ask for.

    Args:
        chain: the filters.
        store: folder of the store.

    Raises:
        ConfigError: a model, or the package that reads it, is not at hand.
    """

    def __init__(self, chain: FilterChain, store: Path) -> None:
        self._store, self._asking = store, _asking(chain)
        self._folders: dict[str, Path | None] = {}
        known, now = _noted(store), {}
        for name in sorted({one.model for one in self._asking}):
            # Scores of a model that is no longer here are as good as they were.
            folder = embedding_model.find(name, reach=name not in known)
            self._folders[name] = folder
            now[name] = known[name] if folder is None else _about(folder, known.get(name))
        self.models = {name: str(one["sha256"]) for name, one in now.items()}
        if now:
            write_atomic(store / MODELS, json.dumps(now))
        else:
            (store / MODELS).unlink(missing_ok=True)

    def score(
        self,
        found: Sequence[tuple[Input, Facts]],
        pairs: Mapping[str, Sequence[Pair]],
        ledger: Ledger,
    ) -> Made:
        """Make what is missing; returns all files, by corpus, pair and filter.

        Args:
            found: the inputs.
            pairs: to score, by corpus.
            ledger: gets the files.

        Raises:
            ConfigError: a model cannot be read.
            FormatError: a source cannot be read.
        """
        made: Made = {key: {pair: {} for pair in some} for key, some in pairs.items()}
        for asked in self._asking:
            todo: list[tuple[list[Input], int, list[_Task]]] = []
            for key, some in pairs.items():
                inputs = [(item, facts) for item, facts in found if item.corpus.key == key]
                tasks = [self._task(asked, key, pair, inputs) for pair in some]
                for task in tasks:
                    made[key][task.pair][asked] = task.path
                # Filters that differ in their threshold alone have the same files.
                missing = [t for t in tasks if not ledger.has(f"store/{t.path.name}", t.key)]
                if missing:
                    items = _having([item for item, _ in inputs], missing)
                    todo.append((items, inputs[0][1].rows, missing))
            if todo:
                self._make(asked, todo, ledger)
        return made

    @staticmethod
    def names(made: Made) -> list[str]:
        """Of all files, as the ledger has them."""
        pairs = [files for some in made.values() for files in some.values()]
        return sorted({f"store/{path.name}" for files in pairs for path in files.values()})

    def _task(
        self,
        asked: EmbeddingScore,
        corpus: str,
        pair: Pair,
        inputs: Sequence[tuple[Input, Facts]],
    ) -> _Task:
        sides: list[Any] = []
        for code in pair:
            item, facts = next((i, f) for i, f in inputs if code in i.languages)
            field = item.source.fields[item.languages.index(code)]
            sides.append([code, facts.sha256, given.reading(item), field])
        how = [asked.model, asked.tokens, asked.prefix]
        model = self.models[asked.model]
        key = _digest(scores.FORMAT, WINDOW, model, asked.tokens, asked.prefix, sides)
        name = f"{corpus}.{'-'.join(pair)}.{_digest(how)[:8]}.scores"
        return _Task(pair, self._store / name, key)

    def _make(
        self,
        asked: EmbeddingScore,
        todo: Sequence[tuple[list[Input], int, list[_Task]]],
        ledger: Ledger,
    ) -> None:
        folder = self._folders[asked.model] or embedding_model.find(asked.model)
        assert folder is not None  # find raises where it is to reach out
        from m4nmt.data.filters.embedding import Embedder  # torch, which nothing else here needs

        fill((item.source for items, _, _ in todo for item in items), 1)
        embedder = Embedder(folder, asked)
        with progress("embedding rows", sum(rows for _, rows, _ in todo)) as ticker:
            for items, rows, tasks in todo:
                drafts = {task.pair: Draft(task.draft, rows) for task in tasks}
                _pass(items, drafts, embedder, ticker)
                for task in tasks:
                    drafts[task.pair].finish(task.path, {"model": self.models[asked.model]})
                    ledger.add(f"store/{task.path.name}", task.key)
                    drafts[task.pair].remove()


def _about(folder: Path, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """State and sha256 of a model; large files are hashed only where something changed."""
    state = embedding_model.state(folder)
    if known and known["state"] == state:
        return dict(known)
    return {"state": state, "sha256": embedding_model.digest(folder)}


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _having(items: Sequence[Input], tasks: Sequence[_Task]) -> list[Input]:
    """The files that hold the languages of these pairs."""
    wanted = {code for task in tasks for code in task.pair}
    return [item for item in items if wanted & set(item.languages)]


def _windows(items: Sequence[Input]) -> Iterator[dict[str, list[str]]]:
    """Some rows at a time, the lines of every language; blank ones are empty."""
    streams = [read(item.source, Faults()) for item in items]
    codes = [code for item in items for code in item.languages]
    rows = zip(*streams, strict=True)
    while chunk := list(islice(rows, WINDOW)):
        columns = zip(*([text for part in row for text in part] for row in chunk), strict=True)
        yield {
            code: [text if text and not text.isspace() else "" for text in texts]
            for code, texts in zip(codes, columns, strict=True)
        }


def _pass(
    items: Sequence[Input], drafts: Mapping[Pair, Draft], embedder: "Embedder", ticker: Ticker
) -> None:
    """Score what is missing of some pairs of one corpus."""
    start = 0
    for texts in _windows(items):
        has = {code: np.array([bool(line) for line in lines]) for code, lines in texts.items()}
        rows = len(next(iter(has.values())))
        missing = {
            pair: draft
            for pair, draft in drafts.items()
            if not draft.has(start, has[pair[0]] & has[pair[1]])
        }
        vectors = {
            code: _embedded(embedder, texts[code], code)
            for code in sorted({code for pair in missing for code in pair})
        }
        for (one, other), draft in missing.items():
            present_R = has[one] & has[other]
            draft.put(start, scores.compare(vectors[one], vectors[other], present_R))
        start += rows
        ticker.advance(rows)


def _embedded(embedder: "Embedder", lines: Sequence[str], language: str) -> "Vectors":
    """Vectors [R, D] of the lines of a window; zeros where there is no text."""
    rows_P = [i for i, line in enumerate(lines) if line]
    found_PD = embedder.embed([lines[i] for i in rows_P], language)
    found_RD = np.zeros((len(lines), found_PD.shape[1]), np.float32)
    found_RD[rows_P] = found_PD
    return found_RD
