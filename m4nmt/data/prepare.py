"""From a manifest to a token store: check, sample, train the tokenizer, encode, filter, count.

Every file is made under a key of all that it depends on and noted in a ledger, so a killed run
goes on where it was, a changed config redoes what it changed, and a second run does nothing.
Not its job: mixing or batching.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m4nmt.core.config import ConfigError, to_dict
from m4nmt.core.files import folder_lock, fsync_folder, sha256_file, write_atomic
from m4nmt.data import clean, identify, report, tally, tokenizer
from m4nmt.data import inputs as given
from m4nmt.data.column import Column
from m4nmt.data.directions import Selection, select
from m4nmt.data.encode import EncodeTask, encode, spread
from m4nmt.data.inputs import Facts, Input
from m4nmt.data.ledger import Ledger
from m4nmt.data.manifest import Corpus, Manifest, load
from m4nmt.data.sample import Sample, picks, quotas
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

_SMALL = 8 << 20  # bytes of input below which worker processes cost more than they give
_IDENTIFY_LINES = 2000
_SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def prepare(config: DataConfig, out: Path | str, workers: int = 0) -> Store:
    """Make the tokenizer and the token store of a recipe's data section.

    Args:
        config: what to prepare.
        out: folder; gets `tokenizer/`, `store/` and `report.json`.
        workers: processes; 0: one a core. The result does not depend on it.

    Raises:
        ConfigError: the manifest or the directions are wrong, or files are missing.
        FormatError: a file is not what the manifest says, or cannot be read.
        FolderLockedError: another process prepares this folder.
    """
    out = Path(out)
    manifest = load(config.manifest, config.root)
    with folder_lock(out):
        job = _Job(config, manifest, out, workers or len(os.sched_getaffinity(0)))
        return job.finished() or job.run()


def _digest(*parts: Any) -> str:
    text = json.dumps(to_dict(list(parts)), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _imported(path: str) -> str:
    """Hash of a tokenizer model to import; "" where none is."""
    if path and not Path(path).is_file():
        raise ConfigError(f"data.tokenizer.path: there is no file {path}")
    return sha256_file(Path(path)) if path else ""


@dataclass(frozen=True)
class _Checked:
    """The inputs with what is known of them."""

    found: list[tuple[Input, Facts]]

    def hashes(self, split: Split | None = None) -> list[list[Any]]:
        """What decides the text: corpus, languages, fields and hash of every file."""
        return [
            [item.corpus.key, item.languages, item.source.fields, facts.sha256]
            for item, facts in self.found
            if split in (None, item.corpus.split)
        ]

    def _columns(self, language: str) -> list[tuple[Input, Facts, int]]:
        """Training inputs that have a language, and the number of its column."""
        return [
            (item, facts, item.languages.index(language))
            for item, facts in self.found
            if language in item.languages and item.corpus.split == "train"
        ]

    def lines(self, language: str) -> int:
        """Training lines of a language that are not blank."""
        return sum(facts.present[column] for _, facts, column in self._columns(language))

    def sample(self, language: str, wanted: int, seed: int) -> Sample:
        """Some training lines of a language, evenly spread."""
        columns = [(item.source, column) for item, _, column in self._columns(language)]
        return Sample(columns, picks(self.lines(language), wanted, seed, "sample", language))


class _Job:
    """One preparation, step by step."""

    def __init__(self, config: DataConfig, manifest: Manifest, out: Path, workers: int) -> None:
        self.config, self.manifest, self.out = config, manifest, out
        self.selection: Selection = select(manifest, config.directions)
        self.corpora = [c for c in manifest.corpora if self.selection.pairs(c)]
        self.inputs = given.inputs(manifest, self.corpora, self.selection.languages)
        size = sum(item.source.path.stat().st_size for item in self.inputs)
        self.workers = workers if size > _SMALL else 1
        self.request = self._request()

    def _request(self) -> str:
        """Key of everything asked for, save the bytes of the inputs."""
        config = self.config
        parts = (config.directions, config.tokenizer, config.filters, config.blocks.max_length)
        model = _imported(config.tokenizer.path)
        corpora = [vars(corpus) for corpus in self.corpora]
        return _digest(FORMAT, parts, model, corpora, [given.name(item) for item in self.inputs])

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
        return store if store.request == self.request else None

    def run(self) -> Store:
        """Make what is missing."""
        folder = self.out / "store"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STORE_FILE).unlink(missing_ok=True)
        fsync_folder(folder)
        ledger = Ledger(self.out, folder / "ledger.jsonl")
        checked = self._check()
        names = [*self._train_tokenizer(checked, ledger), self._train_identifier(checked, ledger)]
        tokens = tokenizer.Tokenizer.load(self.out / "tokenizer")
        columns = self._encode(checked, tokens.sha256, ledger)
        counts = report.Counts(tokens)
        rows = self._count(columns, counts, ledger)
        written = [*names, *rows, *(f"store/{column_name(*key)}" for key in columns)]
        made = report.make(checked.found, columns, counts)
        write_atomic(self.out / "report.json", json.dumps(made, ensure_ascii=False, indent=1))
        ledger.compact(written)
        self._sweep(written)
        self._write(checked, tokens.sha256, ledger.files(sorted(written)))
        report.show(made)
        return Store.open(self.out)

    def _check(self) -> _Checked:
        """Hash, read and count every input that changed since it was last looked at."""
        known = given.load_facts(self._facts_path)
        named = {given.name(item): item for item in self.inputs}
        stale = [i for n, i in named.items() if not given.unchanged(i, known.get(n))]
        for item, facts in spread(given.look, stale, self.workers, "checking files"):
            known[given.name(item)] = facts
        given.save_facts(self._facts_path, {name: known[name] for name in named})
        found = [(item, known[name]) for name, item in named.items()]
        given.check_rows(found)
        return _Checked(found)

    def _train_tokenizer(self, checked: _Checked, ledger: Ledger) -> list[str]:
        """Sample the training lines and train, or import, the tokenizer."""
        names = ["tokenizer/tokenizer.model", "tokenizer/tokenizer.json"]
        config, languages = self.config.tokenizer, self.selection.languages
        model = _imported(config.path)
        key = _digest("tokenizer", FORMAT, config, model, languages, checked.hashes("train"))
        if all(ledger.has(name, key) for name in names):
            return names
        lines = {code: checked.lines(code) for code in languages}
        wanted = quotas(lines, config.sample, config.temperature)
        samples = {code: checked.sample(code, wanted[code], config.seed) for code in languages}
        temporary = self.out / ".tokenizer.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        tokenizer.train(samples, config, languages, temporary)
        shutil.rmtree(self.out / "tokenizer", ignore_errors=True)
        temporary.rename(self.out / "tokenizer")
        fsync_folder(self.out)
        for name in names:
            ledger.add(name, key)
        return names

    def _train_identifier(self, checked: _Checked, ledger: Ledger) -> str:
        """Train the language identifier from some lines of every language."""
        name, languages = "tokenizer/identify.safetensors", self.selection.languages
        key = _digest("identify", identify.FORMAT, languages, checked.hashes("train"))
        if not ledger.has(name, key):
            samples = {
                code: checked.sample(code, min(_IDENTIFY_LINES, checked.lines(code)), 0)
                for code in languages
            }
            identify.Identifier.train(samples).save(self.out / name)
            ledger.add(name, key)
        return name

    def _encode(
        self, checked: _Checked, sha256: str, ledger: Ledger
    ) -> dict[tuple[str, str], Path]:
        """Write the columns that are not there yet; returns all, by corpus and language."""
        columns: dict[tuple[str, str], Path] = {}
        tasks: list[EncodeTask] = []
        keys: dict[Path, str] = {}
        for item, facts in checked.found:
            train = item.corpus.split == "train"
            bounds = clean.limits(self.config.filters, self.config.blocks, train)
            paths = [self.out / "store" / column_name(item.corpus.key, c) for c in item.languages]
            columns |= {
                (item.corpus.key, c): path for c, path in zip(item.languages, paths, strict=True)
            }
            about = (FORMAT, sha256, facts.sha256, bounds, train, item.source.header)
            made = [_digest("column", *about, field) for field in item.source.fields]
            keys |= dict(zip(paths, made, strict=True))
            if not all(ledger.has(f"store/{p.name}", k) for p, k in zip(paths, made, strict=True)):
                tokens = self.out / "tokenizer"
                tasks.append(EncodeTask(item.source, tuple(paths), tokens, bounds, not train))
        for task, _ in spread(encode, tasks, self.workers, "encoding"):
            for path in task.columns:
                ledger.add(f"store/{path.name}", keys[path])
        return columns

    def _count(
        self, columns: Mapping[tuple[str, str], Path], counts: report.Counts, ledger: Ledger
    ) -> list[str]:
        """The row pass over all corpora, counted; returns the files it wrote."""
        by_split = {split: self._open(split, columns) for split in _SPLITS}
        test_sets = [*by_split["dev"], *by_split["test"]]
        filters = self.config.filters
        known = tally.known_keys(test_sets) if filters.overlap else {}
        written: list[str] = []
        for split, corpora in by_split.items():
            for corpus in corpora:
                tally.keep_rows(corpus, known if split == "train" else {})
                counts.open(corpus)
                tally.write_keep(self.out / "store" / keep_name(corpus.key), corpus)
                written.append(f"store/{keep_name(corpus.key)}")
            tables = {corpus.key: tally.PairTable() for corpus in corpora}
            judged = tally.count_pairs(corpora, filters if split == "train" else None)
            for corpus, count, shift in judged:
                tables[corpus.key].add(count, shift)
                counts.add(corpus, count)
            for key, table in tables.items():
                table.write(self.out / "store" / pairs_name(key))
                written.append(f"store/{pairs_name(key)}")
        for name in written:
            ledger.add(name, "")
        return written

    def _open(
        self, split: Split, columns: Mapping[tuple[str, str], Path]
    ) -> list[tally.CorpusColumns]:
        return [
            tally.CorpusColumns(
                corpus.key,
                {code: Column(path) for (key, code), path in columns.items() if key == corpus.key},
                self.selection.pairs(corpus),
            )
            for corpus in self.corpora
            if corpus.split == split
        ]

    def _write(self, checked: _Checked, sha256: str, files: Mapping[str, tuple[int, str]]) -> None:
        """store.json, the last file: with it the store is whole."""
        config, selection = self.config, self.selection
        decisive = (config.filters, config.blocks.max_length, config.directions)
        about = {
            "format": FORMAT,
            "fingerprint": _digest("store", FORMAT, checked.hashes(), sha256, decisive),
            "request": self.request,
            "manifest": self.manifest.name,
            "languages": selection.languages,
            "trained": [str(d) for d in selection.trained],
            "held_out": [str(d) for d in selection.held_out],
            "corpora": [{"key": c.key, "name": c.name, "split": c.split} for c in self.corpora],
            "licences": _licences(self.corpora, selection.languages),
            "files": files,
        }
        path = self.out / "store" / STORE_FILE
        write_atomic(path, json.dumps(about, ensure_ascii=False, sort_keys=True))

    def _sweep(self, written: Sequence[str]) -> None:
        """Remove what earlier configs or killed runs left behind."""
        kept = {*written, *(f"store/{name}" for name in (self._facts_path.name, "ledger.jsonl"))}
        for path in [*self.out.glob("store/*"), *self.out.glob("**/.*.tmp")]:
            if str(path.relative_to(self.out)) not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _licences(corpora: Sequence[Corpus], languages: Sequence[str]) -> dict[str, str]:
    """Corpus, or corpus/language, -> licence."""
    found = {}
    for corpus in corpora:
        found[corpus.key] = corpus.license
        own = sorted(set(corpus.licenses) & set(languages))
        found |= {f"{corpus.key}/{code}": corpus.licenses[code] for code in own}
    return found
