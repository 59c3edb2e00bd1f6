"""From a manifest to a token store: check, sample, train the tokenizer, encode, filter, count.

Every file is made under a key of all that it depends on and noted in a ledger, so a killed run
goes on where it was, a changed config redoes what it changed, and a second run does nothing.
Not its job: mixing or batching.
"""

import filecmp
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from m4nmt.core.config import ConfigError, to_dict
from m4nmt.core.files import folder_lock, fsync_folder, sha256_file, write_atomic
from m4nmt.data import identify, tokenizer
from m4nmt.data.columns import rows
from m4nmt.data.columns.column import Column
from m4nmt.data.directions import Selection, select
from m4nmt.data.filters.features import FORMAT as FEATURES
from m4nmt.data.filters.features import Features, Wanted
from m4nmt.data.filters.pairs import wanted
from m4nmt.data.filters.settings import FilterChain, LineFilter, MaxChars, MaxTokens
from m4nmt.data.manifest import Corpus, Manifest, load
from m4nmt.data.preparing import clean, report, report_page, spool, tally
from m4nmt.data.preparing import inputs as given
from m4nmt.data.preparing.checked import Checked, check
from m4nmt.data.preparing.encode import IDENTIFIER, EncodeTask, features_path
from m4nmt.data.preparing.judging import judge_pairs
from m4nmt.data.preparing.ledger import Ledger
from m4nmt.data.preparing.parts import encode_all
from m4nmt.data.preparing.scoring import MODELS, Made, Scorer, unchanged
from m4nmt.data.settings import DataConfig
from m4nmt.data.store import (
    FORMAT,
    STORE_FILE,
    Store,
    StoreError,
    column_name,
    keep_name,
    pairs_name,
)
from m4nmt.data.types import Split

_NO_FILTERS = FilterChain(lines=(), rows=(), pairs=())
_FRESH, _OLD, _SPOOL = ".tokenizer.tmp", ".tokenizer.old.tmp", ".spool"
_SMALL = 8 << 20  # bytes of input below which worker processes cost more than they give
_IDENTIFY_LINES = 2000
_SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def prepare(config: DataConfig, out: Path | str, workers: int = 0) -> Store:
    """Make the tokenizer and the token store of a recipe's data section.

    Args:
        config: what to prepare.
        out: folder; gets `tokenizer/`, `store/`, `report.json` and `report.html`.
        workers: processes; 0: one a core. The result does not depend on it.

    Raises:
        ConfigError: the manifest or the directions are wrong, or files are missing.
        FormatError: a file is not what the manifest says, or cannot be read.
        FolderLockedError: another process prepares this folder.
    """
    out = Path(out)
    manifest = load(config.manifest, config.root)
    with folder_lock(out):
        _recover(out)
        job = _Job(config, manifest, out, workers or len(os.sched_getaffinity(0)))
        return job.finished() or job.run()


def _digest(*parts: Any) -> str:
    text = json.dumps(to_dict(list(parts)), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _imported(path: str) -> str:
    """Identity of a tokenizer to import or to keep; "" where none is."""
    if path and Path(path).is_dir():
        return tokenizer.Tokenizer.load(Path(path)).text_sha256
    if path and not Path(path).is_file():
        raise ConfigError(f"data.tokenizer.path: there is no file {path}")
    return sha256_file(Path(path)) if path else ""


def _identity(folder: Path) -> str:
    """Of the tokenizer in a folder; "" where there is none."""
    try:
        return tokenizer.Tokenizer.load(folder).sha256
    except tokenizer.TokenizerError:
        return ""


def _recover(out: Path) -> None:
    """A run that was killed while it put a new tokenizer in place left a whole one beside."""
    folder, fresh = out / "tokenizer", out / _FRESH
    if not folder.exists() and (fresh / tokenizer.CARD).is_file():
        fresh.rename(folder)
        fsync_folder(out)


def _place(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file, or leave it alone where it holds the same already."""
    fresh = path.with_name(f".{path.name}.tmp")
    write(fresh)
    if path.is_file() and filecmp.cmp(fresh, path, shallow=False):
        fresh.unlink()
    else:
        fresh.replace(path)
        fsync_folder(path.parent)


@dataclass(frozen=True)
class _Further:
    """What is looked at in lines beyond their length.

    Attributes:
        filters: line filters.
        features: noted for pair filters.
        identifier: hash of the language identifier; "" where nobody asks it.
    """

    filters: tuple[LineFilter, ...]
    features: Wanted
    identifier: str

    @property
    def key(self) -> tuple[Any, ...]:
        """Part of a column's key; nothing where nothing further is looked at."""
        if not self.filters and not self.features:
            return ()
        return FEATURES, self.filters, self.features, self.identifier if self.filters else ""


class _Job:
    """One preparation, step by step."""

    def __init__(self, config: DataConfig, manifest: Manifest, out: Path, workers: int) -> None:
        self.config, self.manifest, self.out = config, manifest, out
        self.selection: Selection = select(manifest, config.directions, config.tasks)
        self.corpora = [c for c in manifest.corpora if self.selection.wants(c)]
        self.inputs = given.inputs(manifest, self.corpora, self.selection.languages)
        size = sum(given.size(item) for item in self.inputs)
        self.workers = workers if size > _SMALL else 1
        self.chain = clean.chain(config.filters)
        self.request = self._request()

    def _request(self) -> str:
        """Key of everything asked for, save the bytes of the inputs."""
        config = self.config
        parts = (config.directions, config.tokenizer, config.filters, config.blocks.max_length)
        model = _imported(config.tokenizer.path)
        corpora = [vars(corpus) for corpus in self.corpora]
        names = [given.name(item) for item in self.inputs]
        return _digest(FORMAT, parts, model, corpora, self.selection.trained, names)

    @property
    def _facts_path(self) -> Path:
        return self.out / "store" / "inputs.json"

    def finished(self) -> Store | None:
        """The store, where an earlier run made it from the same inputs."""
        known = given.load_facts(self._facts_path)
        if not all(given.unchanged(item, known.get(given.name(item))) for item in self.inputs):
            return None
        try:
            store = Store.open(self.out)
        except StoreError:
            return None
        same = store.request == self.request and unchanged(self.chain, self._facts_path.parent)
        return store if same else None

    def run(self) -> Store:
        """Make what is missing."""
        folder = self.out / "store"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STORE_FILE).unlink(missing_ok=True)
        fsync_folder(folder)
        self.inputs = spool.beside(self.inputs, folder / _SPOOL)
        ledger = Ledger(self.out, folder / "ledger.jsonl")
        scorer = Scorer(self.chain, folder)
        checked = check(self.inputs, self._facts_path, self.workers)
        names = [*self._train_tokenizer(checked, ledger), self._train_identifier(checked, ledger)]
        tokens = tokenizer.Tokenizer.load(self.out / "tokenizer")
        columns, encoded = self._encode(checked, tokens.text_sha256, ledger)
        training = [corpus for corpus in self.corpora if corpus.split == "train"]
        pairs = {corpus.key: self.selection.pairs(corpus) for corpus in training}
        scored = scorer.score(checked.found, pairs, ledger)
        counts = report.Counts(tokens)
        counted = self._count(columns, scored, counts, ledger)
        written = [*names, *counted, *encoded, *scorer.names(scored)]
        made = report.make(checked.found, columns, counts)
        write_atomic(self.out / "report.json", json.dumps(made, ensure_ascii=False, indent=1))
        write_atomic(self.out / "report.html", report_page.to_html(made))
        ledger.compact(written)
        self._sweep(written)
        identity = [tokens.sha256, *scorer.models.values()]
        self._write(checked, identity, ledger.files(sorted(written)))
        report.show(made)
        return Store.open(self.out)

    def _train_tokenizer(self, checked: Checked, ledger: Ledger) -> list[str]:
        """Sample the training lines and train, or import, the tokenizer."""
        names = ["tokenizer/tokenizer.model", "tokenizer/tokenizer.json"]
        config, languages = self.config.tokenizer, self.selection.languages
        extra = tokenizer.extra_tags(self.selection.trained)
        model = _imported(config.path)
        text = [] if model else checked.hashes("train")
        key = _digest("tokenizer", FORMAT, config, model, languages, extra, text)
        if all(ledger.has(name, key) for name in names):
            return names
        folder, temporary = self.out / "tokenizer", self.out / _FRESH
        if not model:
            checked.unpack(self.workers)
        samples = checked.drawn(languages, config)
        shutil.rmtree(temporary, ignore_errors=True)
        made = tokenizer.train(samples, config, languages, temporary, extra)
        if _identity(folder) != made.sha256:
            if folder.exists():
                folder.rename(self.out / _OLD)
            temporary.rename(folder)
            fsync_folder(self.out)
        for left in (temporary, self.out / _OLD):
            shutil.rmtree(left, ignore_errors=True)
        for name in names:
            ledger.add(name, key)
        return names

    def _train_identifier(self, checked: Checked, ledger: Ledger) -> str:
        """Train the language identifier from some lines of every language."""
        name, languages = f"tokenizer/{IDENTIFIER}", self.selection.languages
        key = _digest("identify", identify.TRAINING, languages, checked.hashes("train"))
        if not ledger.has(name, key):
            checked.unpack(self.workers)
            samples = {
                code: checked.sample(code, min(_IDENTIFY_LINES, checked.lines(code)), 0)
                for code in languages
            }
            identify.Identifier.train(samples).save(self.out / name)
            ledger.add(name, key)
        return name

    def _encode(
        self, checked: Checked, sha256: str, ledger: Ledger
    ) -> tuple[dict[tuple[str, str], Path], list[str]]:
        """Write the columns that are not there yet.

        Returns:
            All columns by corpus and language, and the names of all files.
        """
        columns: dict[tuple[str, str], Path] = {}
        tasks: list[EncodeTask] = []
        keys: dict[Path, str] = {}
        for item, facts in checked.found:
            train = item.corpus.split == "train"
            tags = len(item.corpus.tags(next(iter(item.corpus.synthetic), "")))
            bounds = clean.limits(self.config.filters, self.config.blocks, train, tags)
            paths = [self.out / "store" / column_name(item.corpus.key, c) for c in item.languages]
            columns |= {
                (item.corpus.key, c): path for c, path in zip(item.languages, paths, strict=True)
            }
            further = self._further(train, ledger)
            about = (FORMAT, sha256, facts.sha256, bounds, train, given.reading(item), *further.key)
            made = [_digest("column", *about, field) for field in item.source.fields]
            task = EncodeTask(
                source=item.source,
                rows=facts.rows,
                columns=tuple(paths),
                languages=item.languages,
                tokenizer=self.out / "tokenizer",
                sha256=sha256,
                limits=bounds,
                filters=further.filters,
                features=further.features,
                keep_text=not train,
            )
            keys |= dict(zip(task.files, made * (len(task.files) // len(made)), strict=True))
            tasks.append(task)
        encode_all(tasks, keys, ledger, self.workers)
        return columns, [f"store/{path.name}" for path in keys]

    def _further(self, train: bool, ledger: Ledger) -> _Further:
        """What is looked at in lines beyond their length."""
        lengths = (MaxChars, MaxTokens)
        filters = tuple(one for one in self.chain.lines if not isinstance(one, lengths))
        name = f"tokenizer/{IDENTIFIER}"
        identifier = ledger.files([name])[name][1] if filters else ""
        return _Further(filters if train else (), wanted(self.chain, train), identifier)

    def _count(
        self,
        columns: Mapping[tuple[str, str], Path],
        scored: Made,
        counts: report.Counts,
        ledger: Ledger,
    ) -> list[str]:
        """The row pass over all corpora, counted; returns the files it wrote."""
        by_split = {split: self._open(split, columns, scored) for split in _SPLITS}
        test_sets = [*by_split["dev"], *by_split["test"]]
        looked_for = tally.known(self.chain, test_sets)
        written: list[str] = []
        for split, corpora in by_split.items():
            for corpus in corpora:
                tally.keep_rows(corpus, looked_for if split == "train" else [])
                counts.open(corpus)
                path = self.out / "store" / keep_name(corpus.key)
                _place(path, partial(tally.write_keep, corpus=corpus))
                written.append(f"store/{keep_name(corpus.key)}")
            tables = {corpus.key: tally.PairTable() for corpus in corpora}
            chain = self.chain if split == "train" else _NO_FILTERS
            for number, count, shift in judge_pairs(corpora, chain, self.workers):
                corpus = corpora[number]
                tables[corpus.key].add(count.pair, count.kept, shift)
                counts.add(corpus, count)
            for corpus in corpora:
                for pair, kept in tally.count_alone(corpus):
                    tables[corpus.key].add(pair, kept, rows.shifts(np.empty(0, np.int64)))
            for key, table in tables.items():
                _place(self.out / "store" / pairs_name(key), table.write)
                written.append(f"store/{pairs_name(key)}")
        for name in written:
            ledger.add(name, "")
        return written

    def _open(
        self, split: Split, columns: Mapping[tuple[str, str], Path], scored: Made
    ) -> list[tally.CorpusColumns]:
        return [
            tally.CorpusColumns(
                corpus.key,
                {code: Column(path) for (key, code), path in columns.items() if key == corpus.key},
                self.selection.pairs(corpus),
                self.selection.alone(corpus),
                features={
                    code: Features(features_path(path))
                    for (key, code), path in columns.items()
                    if key == corpus.key and wanted(self.chain, split == "train")
                },
                scores=scored.get(corpus.key, {}),
            )
            for corpus in self.corpora
            if corpus.split == split
        ]

    def _write(
        self, checked: Checked, identity: Sequence[str], files: Mapping[str, tuple[int, str]]
    ) -> None:
        """store.json, the last file: with it the store is whole."""
        config, selection = self.config, self.selection
        decisive = (config.filters, config.blocks.max_length, config.directions)
        about = {
            "format": FORMAT,
            "fingerprint": _digest("store", FORMAT, checked.hashes(), *identity, decisive),
            "request": self.request,
            "manifest": self.manifest.name,
            "languages": selection.languages,
            "trained": [str(d) for d in selection.trained],
            "held_out": [str(d) for d in selection.held_out],
            "corpora": [_about(corpus) for corpus in self.corpora],
            "licences": _licences(self.corpora, selection.languages),
            "files": files,
        }
        path = self.out / "store" / STORE_FILE
        write_atomic(path, json.dumps(about, ensure_ascii=False, sort_keys=True))

    def _sweep(self, written: Sequence[str]) -> None:
        """Remove what earlier configs or killed runs left behind."""
        kept = {
            *written,
            *(f"store/{name}" for name in (self._facts_path.name, "ledger.jsonl", MODELS)),
        }
        for path in [*self.out.glob("store/*"), *self.out.glob("**/.*.tmp")]:
            if str(path.relative_to(self.out)) not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _about(corpus: Corpus) -> dict[str, Any]:
    """What the store must know of a corpus."""
    names = ("key", "name", "split", "domain", "synthetic")
    return {name: getattr(corpus, name) for name in names}


def _licences(corpora: Sequence[Corpus], languages: Sequence[str]) -> dict[str, str]:
    """Corpus, or corpus/language, -> licence."""
    found = {}
    for corpus in corpora:
        found[corpus.key] = corpus.license
        own = sorted(set(corpus.licenses) & set(languages))
        found |= {f"{corpus.key}/{code}": corpus.licenses[code] for code in own}
    return found
