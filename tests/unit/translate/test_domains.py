"""A text's domain: the rows that a model gets are those it was trained on, to the bit."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from translate_folders import LINES, make_card, make_model_folder, run_config

from m4nmt.cli.main import main
from m4nmt.core.stages import SearchConfig
from m4nmt.data import tokenizer as tokenizers
from m4nmt.data.loader import Loader
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import BlockConfig, DataConfig, FilterConfig, TokenizerConfig
from m4nmt.data.store import Store
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction
from m4nmt.translate import alignment, loading
from m4nmt.translate.decoder import Hypothesis
from m4nmt.translate.domains import DomainError, domains_of
from m4nmt.translate.spans import links, original
from m4nmt.translate.translator import Translator

EN, DE = "eng_Latn", "deu_Latn"
CORPORA = {"plain": [], "law": ['domain = "law"'], "news": ['domain = "news"']}
WITH_BOTH = ['domain = "law"', 'synthetic = ["deu_Latn"]']
LONGEST = 64
Row = tuple[int, ...]


class Heard:
    """An engine that says nothing much, and keeps the rows that it is given."""

    positions = None

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def decode(self, rows: Sequence[Sequence[int]], *_: object) -> list[list[Hypothesis]]:
        self.rows += map(tuple, rows)
        return [[Hypothesis((9, 3), (-0.5, -0.5), -1.0 - row[1], True)] for row in rows]

    def score(
        self, rows: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], _: int
    ) -> list[tuple[float, ...]]:
        self.rows += map(tuple, rows)
        return [(-0.5,) * len(target) for target in targets]


def lines(name: str, language: str) -> list[str]:
    words = {EN: "the house stands", DE: "das Haus steht"}[language]
    return [f"{name} {number}: {words} {number * 7}." for number in range(10)]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    folder, parts = tmp_path_factory.mktemp("corpora"), ['name = "made"', 'license = "CC0-1.0"']
    for name, more in (CORPORA | {"both": WITH_BOTH}).items():
        for language in (EN, DE):
            text = "".join(f"{line}\n" for line in lines(name, language))
            (folder / f"{name}.{language}.txt").write_text(text)
        parts += ["[[corpus]]", f'name = "{name}"', 'split = "train"', 'format = "multiway"']
        parts += [f'path = "{name}.{{lang}}.txt"', f"languages = {[EN, DE]}", *more]
    (folder / "manifest.toml").write_text("\n".join(parts) + "\n")
    return DataConfig(
        manifest=str(folder / "manifest.toml"),
        tokenizer=TokenizerConfig(vocab=330, threads=1),
        filters=FilterConfig(overlap=False, duplicates=False),
        blocks=BlockConfig(tokens=512, examples=300, max_length=LONGEST),
    )


@pytest.fixture(scope="module")
def store(config: DataConfig) -> Store:
    return prepare(config, Path(config.manifest).parent / "out", workers=1)


@pytest.fixture(scope="module")
def trained(store: Store, config: DataConfig) -> dict[str, set[Row]]:
    """The source rows of each direction, as the loader gives them to the model."""
    found: dict[str, set[Row]] = {str(direction): set() for direction in store.directions}
    for _, batch in islice(Loader(store, config).batches(), 40):
        for row, number in zip(batch.src_BS.tolist(), batch.direction_B.tolist(), strict=True):
            if number >= 0:
                text = row[: row.index(store.tokenizer.eos) + 1]
                found[str(store.directions[number])].add(tuple(text))
    return found


def asking(store: Store) -> tuple[Translator, Heard]:
    engine = Heard()
    card = make_card(store.tokenizer, run_config(max_length=LONGEST))
    card = replace(card, directions=tuple(map(str, store.translated)))
    return Translator(engine, store.tokenizer, card), engine


@pytest.mark.parametrize("name", CORPORA)
@pytest.mark.parametrize("way", [(EN, DE), (DE, EN)])
def test_rows_are_those_of_training(
    name: str, way: tuple[str, str], store: Store, trained: dict[str, set[Row]]
) -> None:
    domain = "" if name == "plain" else name
    expected = trained[str(Direction(*way, tags=(domain,) if domain else ()))]
    texts = lines(name, way[0])
    it, engine = asking(store)
    it.translate(texts, *way, split=False, guard=None, domain=domain)
    assert len(engine.rows) == len(expected) == 10
    assert set(engine.rows) == expected
    it.score(texts, texts, *way, domain=domain)
    assert set(engine.rows[10:]) == expected
    it, engine = asking(store)
    it.words("the house stands 7.", *way, prefix="", n=1, guard=None, domain=domain)
    tags = store.tokenizer.ids([f"<2{way[1]}>", *([f"<+{domain}>"] if domain else [])])
    assert {row[: len(tags)] for row in engine.rows} == {tuple(tags)}
    assert {row[len(tags)] in store.tokenizer.tags for row in engine.rows} == {False}


def test_a_domain_and_back_translation_are_told_apart(store: Store) -> None:
    assert store.tokenizer.origins == ("bt", "law", "news")
    assert domains_of(store.tokenizer) == ("law", "news") == asking(store)[0].domains


def test_texts_of_many_domains_go_together(store: Store) -> None:
    """One call, equal texts: each is asked with its own tag, and gets its own translation."""
    it, engine = asking(store)
    texts = ["the house 1.", "the house 2.", "the house 1.", "the house 1."]
    found = it.translate(texts, EN, DE, guard=None, domain=["law", "", "", "news"])
    tag = store.tokenizer.ids([f"<2{DE}>", "<+law>", "<+news>"])
    assert sorted(row[: 1 + (row[1] in tag)] for row in engine.rows) == sorted(
        [(tag[0],), (tag[0],), (tag[0], tag[1]), (tag[0], tag[2])]
    )
    scores = [options[0].score for options in found]
    assert (scores[0], scores[3]) == (-1.0 - tag[1], -1.0 - tag[2])
    assert scores[1] == scores[2] < min(scores[0], scores[3])


@pytest.mark.parametrize(
    ("pieces", "domain", "rows"), [(62, "", 1), (61, "law", 1), (62, "law", 2)]
)
def test_a_tag_takes_the_place_of_a_piece(
    pieces: int, domain: str, rows: int, store: Store
) -> None:
    """No row is longer than those of training, whatever is told; company changes no cut."""
    text = "z" * (pieces - 1)  # and the space before it
    assert len(store.tokenizer.encode([text])[0]) == pieces
    it, engine = asking(store)
    it.translate([text], EN, DE, guard=None, domain=domain)
    assert len(engine.rows) == rows
    assert max(map(len, engine.rows)) <= LONGEST
    alone, long = set(engine.rows), "w" * 200
    it.translate([long, text], EN, DE, guard=None, domain=["news", domain])
    assert alone <= set(engine.rows[rows:])


def test_domains_that_are_none_are_refused(store: Store) -> None:
    it, engine = asking(store)
    for name in ("sports", "bt", "<+law>", "Law"):
        with pytest.raises(DomainError) as refused:
            it.translate(["x"], EN, DE, domain=name)
        assert str(refused.value) == f"there is no domain {name!r}: this model knows law, news"
    with pytest.raises(DomainError, match="no domain 'sports'"):
        it.translate([], EN, DE, domain="sports")
    with pytest.raises(DomainError, match="2 domains for 1 texts"):
        it.translate(["x"], EN, DE, domain=["law", "law"])
    with pytest.raises(DomainError, match="no domain 'sports'"):
        it.score(["x"], ["x"], EN, DE, domain="sports")
    with pytest.raises(DomainError, match="no domain 'sports'"):
        it.words("x", EN, DE, "", domain="sports")
    assert engine.rows == []


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights that knows a domain."""
    folder, settings = tmp_path_factory.mktemp("model"), TokenizerConfig(vocab=360, threads=1)
    tokenizers.train(LINES, settings, sorted(LINES), folder / "tokenizer", ("<+bt>", "<+law>"))
    return make_model_folder(folder / "model", folder / "tokenizer")


@pytest.mark.parametrize("engine", ["native", "ctranslate2"])
def test_words_are_aligned_to_their_own(engine: str, model: Path) -> None:
    if engine == "ctranslate2":
        pytest.importorskip("ctranslate2")
    it = Translator.load(model, device="cpu", engine=engine)
    text, known = "We are going home.", Tokenizer.load(model)
    search = SearchConfig(beam=2, max_ratio=1.0, max_extra=2)
    [[found]] = it.translate([text], "en", "de", search, align=True, guard=None, domain="law")
    [ids] = known.encode([text])
    tags = known.ids(["<2deu_Latn>", "<+law>"])
    src_BS = torch.tensor([[*tags, *ids, known.eos]])
    tgt_BT = torch.tensor([[known.bos, *known.ids(found.tokens)]])
    inner = loading.load(model, "cpu", "fp32").model
    [seen_TS] = alignment.attention(inner, ["dec000"], src_BS, tgt_BT)
    where = seen_TS[: len(found.tokens), 2:-1].argmax(1).tolist()
    pairs = tuple((s, t) for t, s in enumerate(where))
    assert len(set(where)) > 2
    assert found.alignment == links(pairs, known.pieces(ids), found.tokens, original(text, text))


def test_the_command_line_knows_domains(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    it = Translator.load(model, device="cpu", engine="native")
    texts, native = ["We are going home.", "Good day."], ["--engine", "native"]
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("\n".join(texts) + "\n")
    a, b, out = (str(tmp_path / name) for name in ("a.txt", "b.txt", "report"))
    ways = ["--from", "en", "--to", "de"]

    assert main(["languages", str(model)]) == 0
    assert "domains: law\n" in capsys.readouterr().out
    scores = {}
    for domain in ("", "law"):
        asked = ["score", str(model), a, b, *ways, *native, "--domain", domain]
        assert main(asked) == 0
        scores[domain] = capsys.readouterr().out.split()
        expected = it.score(texts, texts, "en", "de", domain=domain)
        assert scores[domain] == [f"{score:.4f}" for score in expected]
    assert scores[""] != scores["law"]

    files = ["--source", a, "--reference", b, *ways, "--output", out, "--json", *native]
    assert main(["evaluate", str(model), *files, "--domain", "law"]) == 0
    assert json.loads(capsys.readouterr().out)["domain"] == "law"
    [kept] = (tmp_path / "report" / "hypotheses").rglob("*.txt")
    found = it.translate(texts, "en", "de", split=False, guard=None, domain="law")
    assert kept.read_text().splitlines() == [options[0].text for options in found]

    document = ["translate-file", str(model), a, str(tmp_path / "c.txt"), *ways, *native]
    assert main([*document, "--domain", "sports"]) == 1
    assert "no domain 'sports': this model knows law" in capsys.readouterr().err
    assert main([*document, "--domain", "law", "--ensemble", str(model), "--no-guard"]) == 0
    assert (tmp_path / "c.txt").is_file()
