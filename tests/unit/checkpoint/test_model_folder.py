"""Model folders: whole, checked, replaceable, averaged, and readable by people."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoint_toys import (
    LANGUAGES,
    card,
    flip,
    flip_somewhere,
    model_config,
    same,
    tokenizer_folder,
    weights,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from m4nmt.checkpoint import model
from m4nmt.checkpoint.average import average
from m4nmt.checkpoint.model import ModelFolderError, load_card, load_model, model_folder, save_model
from m4nmt.core.config import config_hash, from_dict, to_dict
from m4nmt.core.files import sha256_file
from m4nmt.model.settings import ModelConfig
from m4nmt.model.translation import build


def saved(folder: Path, seed: int = 1, dim: int = 16) -> Path:
    save_model(folder, weights(seed, dim), card(dim), tokenizer_folder())
    return folder


def reseal(folder: Path, **changes: object) -> None:
    """Write a card with changes, as valid as a card can be."""
    data = to_dict(replace(load_card(folder), **changes))  # type: ignore[arg-type]
    (folder / "card.json").write_text(model._encode(data), encoding="utf-8")


def test_round_trip(tmp_path: Path) -> None:
    folder = saved(tmp_path / "run" / "model")
    loaded = load_model(folder)
    assert same(loaded.weights, weights(1))
    assert loaded.folder == folder
    assert replace(loaded.card, files={}, weights_sha256="") == card()
    assert {"tokenizer.model", "tokenizer.json"} == set(loaded.card.files)
    assert from_dict(ModelConfig, loaded.card.config["model"]) == model_config()
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]


def test_a_tied_table_is_stored_once_and_a_model_can_be_filled(tmp_path: Path) -> None:
    loaded = load_model(saved(tmp_path / "model"))
    assert "source.table" in loaded.weights
    assert not {"target.table", "head.table"} & loaded.weights.keys()
    made = build(from_dict(ModelConfig, loaded.card.config["model"]), device="cpu")
    for name, p in made.canonical_parameters().items():
        p.data.copy_(loaded.weights[name])
    assert torch.equal(made.get_submodule("head").table, loaded.weights["source.table"])  # type: ignore[arg-type]


def test_a_run_is_as_good_as_its_model_folder(tmp_path: Path) -> None:
    saved(tmp_path / "run" / "model")
    assert model_folder(tmp_path / "run") == tmp_path / "run" / "model"
    assert load_card(tmp_path / "run").name == "toy"
    for wrong in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ModelFolderError, match="neither a model folder"):
            load_model(wrong)


def test_a_model_folder_may_lend_its_tokenizer(tmp_path: Path) -> None:
    first = saved(tmp_path / "a")
    save_model(tmp_path / "b", weights(2), load_card(first), first)
    assert set(load_card(tmp_path / "b").files) == set(load_card(first).files)


def test_replacing_a_folder(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", seed=1)
    (folder / "left.txt").write_text("of the old one")
    saved(folder, seed=2)
    assert same(load_model(folder).weights, weights(2))
    assert not (folder / "left.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_leavings_of_a_killed_replacement_are_tolerated(tmp_path: Path) -> None:
    old, new = saved(tmp_path / ".old-model-0a", seed=1), saved(tmp_path / ".tmp-model-0b", seed=2)
    assert same(load_model(tmp_path / "model").weights, weights(1))
    assert same(load_model(tmp_path).weights, weights(1))
    saved(tmp_path / "model", seed=3)
    assert same(load_model(tmp_path / "model").weights, weights(3))
    assert not old.exists()
    assert not new.exists()


def test_a_failed_replacement_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "model", seed=1)
    rename, count = Path.rename, 0

    def second_fails(self: Path, target: Path) -> Path:
        nonlocal count
        count += target.parent == tmp_path
        if count == 2:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(OSError, match="No space"):
        saved(folder, seed=2)
    assert count == 3  # aside, in (failed), back
    assert same(load_model(folder).weights, weights(1))
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_is_an_oserror_and_leaves_the_old_one(small_disk: Path) -> None:
    folder = saved(small_disk / "model", seed=1)
    (small_disk / "filler").write_bytes(bytes(200_000))
    with pytest.raises(OSError, match="No space left"):
        saved(folder, seed=2)
    assert same(load_model(folder).weights, weights(1))
    assert sorted(p.name for p in small_disk.iterdir()) == ["filler", "model"]


# ---- refusals


def test_one_flipped_bit_in_any_file_is_refused(tmp_path: Path) -> None:
    folder, draw = saved(tmp_path / "model"), random.Random(0)
    names = {p.name for p in folder.iterdir()} - {"README.md"}
    assert names == {"model.safetensors", "card.json", "tokenizer.model", "tokenizer.json"}
    for name in sorted(names):
        good = (folder / name).read_bytes()
        for _ in range(100):
            bit = flip_somewhere(folder / name, draw)
            with pytest.raises(ModelFolderError, match=name):
                load_model(folder)
            flip(folder / name, bit)
        assert (folder / name).read_bytes() == good
    load_model(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "card.json", "tokenizer.model"])
def test_missing_and_truncated_files_are_named(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path / "model")
    path = folder / name
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelFolderError, match=name):
        load_model(folder)
    path.unlink()
    with pytest.raises(ModelFolderError, match=name):
        load_model(folder)


def test_people_may_edit_the_readme(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    (folder / "README.md").write_text("mine")
    load_model(folder)


def test_a_newer_format_says_so(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    reseal(folder, format=2)
    with pytest.raises(ModelFolderError, match="format 2 is newer than this m4nmt"):
        load_model(folder)


def test_another_tokenizer_is_refused_when_saving_and_when_loading(tmp_path: Path) -> None:
    other = tokenizer_folder("pack my box with five dozen liquor jugs")
    with pytest.raises(ModelFolderError, match="another tokenizer"):
        save_model(tmp_path / "model", weights(), card(), other)
    assert not (tmp_path / "model").exists()
    folder = saved(tmp_path / "model")
    for path in other.iterdir():
        shutil.copy(path, folder)
    with pytest.raises(ModelFolderError, match="was exchanged"):
        load_model(folder)
    files = {name: sha256_file(folder / name) for name in load_card(folder).files}
    reseal(folder, files=files)
    with pytest.raises(ModelFolderError, match="another tokenizer"):
        load_model(folder)


def rewritten(folder: Path, change: dict[str, Tensor | None]) -> None:
    """Replace weights and make every hash agree."""
    held = {**load_file(folder / "model.safetensors"), **change}
    save_file({n: w for n, w in held.items() if w is not None}, folder / "model.safetensors")
    reseal(folder, weights_sha256=sha256_file(folder / "model.safetensors"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source.table": None}, "source.table: missing"),
        ({"extra.weight": torch.zeros(1)}, "extra.weight: not in the model"),
        ({"source.table": torch.zeros(3, 16)}, r"source.table: \[3, 16\] stored, \[60, 16\]"),
    ],
)
def test_weights_of_another_model_are_refused(
    tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    folder = saved(tmp_path / "model")
    rewritten(folder, change)
    with pytest.raises(ModelFolderError, match=message):
        load_model(folder)
    held = {n: w for n, w in {**weights(), **change}.items() if w is not None}
    with pytest.raises(ModelFolderError, match=message):
        save_model(tmp_path / "other", held, card(), tokenizer_folder())


def test_the_card_s_config_must_be_the_one_it_hashes(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    reseal(folder, config_sha256=config_hash({"model": "another"}))
    with pytest.raises(ModelFolderError, match="config_sha256"):
        load_model(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"sha256": 1}', '{"format": "x"}'])
def test_what_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    folder = saved(tmp_path / "model")
    (folder / "card.json").write_text(text)
    with pytest.raises(ModelFolderError, match=r"card\.json is damaged or no card"):
        load_model(folder)


# ---- averages


def test_the_average_is_the_mean(tmp_path: Path) -> None:
    folders = [saved(tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    mean = average(folders)
    for name, value in mean.items():
        exact = sum(weights(seed)[name].double() for seed in (1, 2, 3)) / 3
        assert torch.equal(value, exact.float())  # type: ignore[union-attr]
    assert same(average(folders[:1]), weights(1))


def test_averages_are_summed_in_fp64(tmp_path: Path) -> None:
    big = {n: torch.full_like(w, 2.0**24) for n, w in weights().items()}
    one = {n: torch.ones_like(w) for n, w in weights().items()}
    folders = [tmp_path / name for name in "abcde"]
    for folder, held in zip(folders, (big, one, one, one, one), strict=True):
        save_model(folder, held, card(), tokenizer_folder())
    expected = torch.tensor((2**24 + 4) / 5, dtype=torch.float64).float()
    assert all((value == expected).all() for value in average(folders).values())


def test_folders_that_differ_have_no_average(tmp_path: Path) -> None:
    first = saved(tmp_path / "a")
    with pytest.raises(ValueError, match=r"differs from .* in names or shapes"):
        average([first, saved(tmp_path / "wide", dim=32)])
    other = tokenizer_folder("pack my box with five dozen liquor jugs")
    save_model(tmp_path / "c", weights(), card(tokens=other), other)
    with pytest.raises(ValueError, match="different tokenizers"):
        average([first, tmp_path / "c"])
    with pytest.raises(ValueError, match="at least one"):
        average([])


# ---- for people


def test_the_readme_tells_what_a_person_asks(tmp_path: Path) -> None:
    text = (saved(tmp_path / "model") / "README.md").read_text(encoding="utf-8")
    for fact in ("# toy", "German", "`eng_Latn-deu_Latn`", "31.2", "CC0-1.0", "m4nmt translate"):
        assert fact in text, fact
    assert all(f"`{code}`" in text for code in LANGUAGES)
    total = sum(w.numel() for w in weights().values())
    assert f"{total:,} parameters" in text


def test_the_card_is_json_that_other_programs_can_read(tmp_path: Path) -> None:
    data = json.loads((saved(tmp_path / "model") / "card.json").read_text(encoding="utf-8"))
    assert data["directions"] == ["deu_Latn-eng_Latn", "eng_Latn-deu_Latn"]
    sealed = data.pop("sha256")
    assert sealed == config_hash(data)
