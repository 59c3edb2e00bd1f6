"""Export folders: whole, verified, replaced in one piece."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from exchange_folders import make_folder

from m4nmt.checkpoint.model import CARD, WEIGHTS, ModelFolderError, load_model
from m4nmt.core.config import ConfigError
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.exchange import folder as exports
from m4nmt.exchange.ctranslate2 import NotExportableError
from m4nmt.model.settings import Learned, Parallel, Rotary, classic

pytest.importorskip("ctranslate2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "int8"
    exports.write_export(load_model(model), folder, "int8")
    return folder


def test_it_is_complete_in_itself(model: Path, made: Path) -> None:
    export = exports.load_export(made)
    names = {path.name for path in made.iterdir()}
    assert {"model.bin", "config.json", "shared_vocabulary.json", exports.MANIFEST} <= names
    assert not {CARD, WEIGHTS} & names
    assert set(export.files) == names - {exports.MANIFEST, "README.md"}
    loaded = load_model(model)
    assert export.quantization == "int8"
    assert export.weights_sha256 == loaded.card.weights_sha256
    assert exports.card_of(export) == loaded.card
    assert Tokenizer.load(made).sha256 == loaded.card.tokenizer_sha256
    assert (made / "identify.safetensors").read_bytes() == (
        model / "identify.safetensors"
    ).read_bytes()
    assert "int8" in (made / "README.md").read_text()


def test_pieces_are_the_tokenizers(made: Path) -> None:
    tokenizer = Tokenizer.load(made)
    pieces = json.loads((made / "shared_vocabulary.json").read_text())
    assert pieces == tokenizer.pieces(range(tokenizer.size))
    words = exports.words(tokenizer, tokenizer.size + 2)
    assert words.pieces[-2:] == (f"<unused {tokenizer.size}>", f"<unused {tokenizer.size + 1}>")
    assert (words.unk, words.bos, words.eos) == ("<unk>", "<s>", "</s>")


@pytest.mark.parametrize(
    "name", ["model.bin", "config.json", "tokenizer.model", "identify.safetensors", "export.json"]
)
def test_one_flipped_bit_is_refused(made: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    exports.load_export(folder)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelFolderError, match=name):
        exports.load_export(folder)
    (folder / name).unlink()
    with pytest.raises(ModelFolderError, match=name):
        exports.load_export(folder)


def test_a_newer_format_is_named(made: Path, tmp_path: Path) -> None:
    data = json.loads((made / exports.MANIFEST).read_text())
    (tmp_path / exports.MANIFEST).write_text(json.dumps({**data, "format": 2}))
    with pytest.raises(ModelFolderError, match=r"format 2 is newer .* update m4nmt"):
        exports.read_export(tmp_path)


def test_an_older_export_is_replaced_and_nothing_else_is(
    model: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, loaded = tmp_path / "export", load_model(model)
    exports.write_export(loaded, folder, "float32")
    exports.write_export(loaded, folder, "float16")
    assert exports.load_export(folder).quantization == "float16"
    monkeypatch.setattr(exports, "_readme", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        exports.write_export(loaded, folder, "int8")
    assert exports.load_export(folder).quantization == "float16"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    with pytest.raises(ConfigError, match="is no export; choose a new folder"):
        exports.write_export(loaded, model, "int8")
    assert load_model(model)


def test_what_is_refused_leaves_nothing(model: Path, tmp_path: Path) -> None:
    loaded, folder = load_model(model), tmp_path / "export"
    with pytest.raises(ConfigError, match="did you mean 'int8'"):
        exports.write_export(loaded, folder, "int9")
    base = classic(layers=1, dim=16, hidden=24, heads=2)
    layer = replace(base.decoder[0], residual=Parallel())
    other = make_folder(tmp_path / "parallel", replace(base, decoder=(layer,)))
    with pytest.raises(NotExportableError, match=r"decoder\[0\].residual=Parallel"):
        exports.write_export(load_model(other), folder, "int8")
    assert not list(tmp_path.glob("*export*"))


def test_room_for_positions(model: Path, tmp_path: Path) -> None:
    exports.write_export(load_model(model), tmp_path / "sines", "float32")
    assert exports.read_export(tmp_path / "sines").positions == exports.FEWEST_POSITIONS
    base = classic(layers=1, dim=16, hidden=24, heads=2)
    for position, rows in ((Learned(length=20), 20), (Rotary(), 0)):
        name = type(position).__name__
        other = make_folder(tmp_path / f"model-{name}", replace(base, position=position))
        exports.write_export(load_model(other), tmp_path / name, "float32")
        assert exports.read_export(tmp_path / name).positions == rows
