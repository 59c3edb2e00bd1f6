"""Denoising directions, tags of origin and domain, and pairs by bridges, from text to batches."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import data_made
import numpy as np
import pytest
import torch
from data_made import CODES, lines

from m4nmt.core.config import ConfigError, from_dict, override, to_dict
from m4nmt.data import manifest as manifests
from m4nmt.data.columns.ragged import in_order
from m4nmt.data.directions import select
from m4nmt.data.loader import Loader, fixed_batches
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import DataConfig, DirectionsConfig, Infill, Mass, Weights
from m4nmt.data.store import Store
from m4nmt.data.stream.plan import Plan
from m4nmt.data.tokenizer import Tokenizer, TokenizerError
from m4nmt.data.types import Direction

DE, EN, FR = CODES
WORDS = {
    "bt": ['synthetic = ["deu_Latn"]'],
    "law": ['domain = "law"'],
    "both": ['domain = "law"', 'synthetic = ["fra_Latn"]'],
}


def corpora(folder: Path) -> Path:
    """One corpus of each kind, and lines of a language that has no partner."""
    path = data_made.manifest(
        folder,
        {
            "c.train": {EN: lines(EN, range(120)), DE: lines(DE, range(120))},
            "bt.train": {EN: lines(EN, range(200, 280)), DE: lines(DE, range(200, 280))},
            "law.train": {EN: lines(EN, range(300, 350)), DE: lines(DE, range(300, 350))},
            "both.train": {EN: lines(EN, range(400, 440)), FR: lines(FR, range(400, 440))},
            "mono.train": {FR: lines(FR, range(500, 570))},
            "c.dev": {code: lines(code, range(9000, 9010)) for code in CODES},
        },
    )
    text = path.read_text()
    for name, words in WORDS.items():
        text = text.replace(f'name = "{name}"', "\n".join([f'name = "{name}"', *words]))
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    path = corpora(tmp_path_factory.mktemp("tasks"))
    tasks = (Mass(), Infill(languages=("fr", "deu*")))
    made = replace(data_made.config(path), tasks=tasks)
    return replace(made, blocks=replace(made.blocks, tokens=512, examples=300))


@pytest.fixture(scope="module")
def store(config: DataConfig) -> Store:
    return prepare(config, Path(config.manifest).parent / "out")


def test_every_kind_is_a_direction_of_its_own(store: Store) -> None:
    sizes = {str(direction): store.size(direction) for direction in store.directions}
    assert sizes == {
        "deu_Latn-eng_Latn": 120,
        "eng_Latn-deu_Latn": 120,
        "deu_Latn-eng_Latn+bt": 80,  # and never into the text that a machine made
        "deu_Latn-eng_Latn+law": 50,
        "eng_Latn-deu_Latn+law": 50,
        "fra_Latn-eng_Latn+bt+law": 40,
        "deu_Latn-deu_Latn:denoise": 170,
        "deu_Latn-deu_Latn:mass": 170,
        "eng_Latn-eng_Latn:mass": 290,
        "fra_Latn-fra_Latn:denoise": 70,
        "fra_Latn-fra_Latn:mass": 70,
    }
    assert all(Direction.parse(str(d)) == d for d in store.directions)
    assert all(len(store.examples(d)) == store.size(d) for d in store.directions)


def test_what_is_validated_and_told_has_no_tags(store: Store) -> None:
    assert list(map(str, store.translated)) == [
        "deu_Latn-eng_Latn",
        "eng_Latn-deu_Latn",
        "fra_Latn-eng_Latn",
    ]
    assert store.split_directions("dev") == store.translated


def test_tags_stand_before_the_text_and_are_never_said(store: Store, config: DataConfig) -> None:
    tokenizer = store.tokenizer
    assert tokenizer.extra == ("<+bt>", "<+law>", "<mask>", "<mass>")
    plan = Plan(store, config)
    batches = [b for _, b in islice(Loader(store, config).batches(), 60)]
    seen = set()
    for number, direction in enumerate(store.directions):
        mine = [batch.src_BS[batch.direction_B == number] for batch in batches]
        rows = torch.cat([torch.nn.functional.pad(row, (0, 64))[:, :64] for row in mine])
        seen.add(len(rows) > 0)
        prefix = tokenizer.prefix(direction)
        assert tokenizer.pieces(prefix)[0] == f"<2{direction.tgt}>"
        assert tokenizer.pieces(prefix)[1:] == [
            *([f"<{direction.task}>"] if direction.task != "translate" else []),
            *(f"<+{tag}>" for tag in direction.tags),
        ]
        assert (rows[:, : len(prefix)] == torch.tensor(prefix)).all()
        masks = (rows == tokenizer.mask).sum(1)
        assert (masks > 0).all() if direction.task != "translate" else (masks == 0).all()
    assert seen == {True}
    outputs = torch.cat([b.out_BT.flatten() for b in batches])
    assert not np.isin(outputs.numpy(), tokenizer.tags).any()
    assert plan.reader.noisy_D.sum() == 5
    list(fixed_batches(store, config, "dev", 5))


def test_denoising_gives_back_the_line(store: Store, config: DataConfig) -> None:
    direction = Direction(FR, FR, "denoise")
    number = store.directions.index(direction)
    _, found = Plan(store, config).reader.tokens(np.full(70, number), np.arange(70))
    tgt = in_order(found)
    ids = [tgt.values[a:b].tolist() for a, b in zip(tgt.offsets, tgt.offsets[1:], strict=False)]
    assert sorted(store.tokenizer.decode(ids)) == sorted(lines(FR, range(500, 570)))


def test_the_mixture_knows_tags_and_tasks(store: Store, config: DataConfig) -> None:
    weights = Weights(weights={r"re:.*\+bt.*": 1.0, "*:mass": 2.0})
    plan = Plan(store, replace(config, mixture=weights))
    drawn = {str(d) for d, n in zip(plan.directions, plan.quotas.before(9), strict=True) if n}
    assert drawn == {
        "deu_Latn-eng_Latn+bt",
        "fra_Latn-eng_Latn+bt+law",
        *(f"{code}-{code}:mass" for code in CODES),
    }


def test_other_noise_needs_no_new_store_but_another_task_does(
    store: Store, config: DataConfig
) -> None:
    out = store.out
    before = (out / "store" / "store.json").stat().st_mtime_ns
    prepare(replace(config, tasks=(Mass(ratio=0.3), config.tasks[1])), out)
    assert (out / "store" / "store.json").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match=r"the store has .*:mass, but the recipe has no such"):
        next(Loader(store, replace(config, tasks=config.tasks[1:])).batches())


def test_a_tokenizer_without_a_tag_says_so(tmp_path: Path) -> None:
    plain = prepare(data_made.config(data_made.small(tmp_path)), tmp_path / "out").tokenizer
    assert plain.extra == ()
    for use in (
        lambda: plain.mask,
        lambda: plain.prefix(Direction(DE, EN, tags=("bt",))),
        lambda: plain.prefix(Direction(DE, DE, "mass")),
    ):
        with pytest.raises(TokenizerError, match="was made without <"):
            use()
    assert Tokenizer.load(plain.folder).sha256 == plain.sha256


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('domain = "law"', 'domain = "Law!"', "small letters"),
        ('domain = "law"', 'domain = "bt"', "not as 'bt'"),
        ('["deu_Latn"]', '["deu_Latn", "eng_Latn"]', "some of its languages"),
        ('["deu_Latn"]', '["fra_Latn"]', "some of its languages"),
    ],
)
def test_what_a_manifest_cannot_say(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = corpora(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=message):
        manifests.load(str(path))


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ((Mass(), Mass(ratio=0.2)), "Mass is given twice"),
        ((Infill(languages=("x*",)),), "no training corpus has any of"),
        ((Infill(languages=("swh_Latn",)),), "swh_Latn"),
    ],
)
def test_impossible_tasks(tmp_path: Path, tasks: tuple[Mass | Infill, ...], message: str) -> None:
    made = manifests.load(str(corpora(tmp_path)))
    with pytest.raises(ConfigError, match=message):
        select(made, DirectionsConfig(), tasks)


def test_tasks_are_settings_like_others(config: DataConfig) -> None:
    assert from_dict(DataConfig, to_dict(config)) == config
    changed = override(config, ['tasks=[{"kind": "Infill"}]', "tasks.*.ratio=0.2"])
    assert changed.tasks == (Infill(ratio=0.2),)
    for wrong in ({"ratio": 0.0}, {"ratio": 1.5}):
        with pytest.raises(ValueError, match="need 0 < ratio"):
            Mass(**wrong)
    with pytest.raises(ValueError, match="1 <= mean"):
        Infill(mean=0.5)


LANGUAGES = ["eng_Latn", "hin_Deva", "ben_Beng", "urd_Arab", "spa_Latn", "cat_Latn", "swh_Latn"]
BRIDGES = {"hin": ("ben_Beng", "urd_Arab"), "es": ("cat_Latn",)}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> manifests.Manifest:
    folder = tmp_path_factory.mktemp("wide")
    columns = {code: ["a line"] for code in LANGUAGES}
    return manifests.load(str(data_made.manifest(folder, {"c.train": columns})))


def pairs(manifest: manifests.Manifest, config: DirectionsConfig) -> set[frozenset[str]]:
    trained = select(manifest, config).trained
    both = {(d.src, d.tgt) for d in trained}
    assert both == {(tgt, src) for src, tgt in both}
    return {frozenset((src[:3], tgt[:3])) for src, tgt in both}


def test_pairs_all_centric_and_by_bridges(wide: manifests.Manifest) -> None:
    assert len(pairs(wide, DirectionsConfig())) == 21
    centric = {frozenset(("eng", code[:3])) for code in LANGUAGES[1:]}
    assert pairs(wide, DirectionsConfig(pairs="centric")) == centric
    bridged = pairs(wide, DirectionsConfig(pairs="bridges", bridges=BRIDGES))
    beyond = ["hin ben", "hin urd", "ben urd", "spa cat", "hin spa"]
    assert bridged == centric | {frozenset(names.split()) for names in beyond}


def test_a_group_of_two_bridges(wide: manifests.Manifest) -> None:
    two = {"hin_Deva": ("ben_Beng", "urd_Arab"), "ben_Beng": ("hin_Deva",), "spa_Latn": ()}
    found = pairs(wide, DirectionsConfig(pairs="bridges", bridges=two))
    assert {frozenset(("ben", "spa")), frozenset(("hin", "spa"))} <= found
    assert frozenset(("urd", "spa")) not in found
    with pytest.raises(ConfigError, match='pairs "bridges" needs them'):
        select(wide, DirectionsConfig(pairs="bridges"))
    with pytest.raises(ConfigError, match="fra"):
        select(wide, DirectionsConfig(pairs="bridges", bridges={"fra_Latn": ()}))
