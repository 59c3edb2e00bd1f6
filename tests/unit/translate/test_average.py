"""`m4nmt average`: the mean of models is a model."""

from pathlib import Path

import pytest
import torch
from translate_folders import make_model_folder, make_tokenizer

from m4nmt.checkpoint.model import load_model
from m4nmt.cli.main import main
from m4nmt.core.stages import SearchConfig
from m4nmt.translate.translator import Translator


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("models")
    pieces = make_tokenizer(root / "tokenizer").folder
    return [make_model_folder(root / f"m{i}" / "model", pieces, seed=i) for i in range(3)]


def test_weights_are_the_mean_and_the_outcome_translates(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mean"
    assert main(["average", *map(str, folders), "--output", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    made, members = load_model(out), [load_model(folder) for folder in folders]
    for name, weight in made.weights.items():
        mean = torch.stack([m.weights[name].double() for m in members]).mean(0)
        assert torch.allclose(weight.double(), mean, atol=1e-7)
    assert made.card.name == "tiny-average"
    [[found]] = Translator.load(out, device="cpu", engine="native").translate(
        ["This is a house."], "en", "de", SearchConfig(beam=2, max_extra=4)
    )
    assert found.tokens


def test_of_one_model_it_is_the_model(folders: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "same"
    assert main(["average", str(folders[0]), str(folders[0]), "--output", str(out)]) == 0
    made, member = load_model(out), load_model(folders[0])
    assert all(torch.equal(made.weights[name], w) for name, w in member.weights.items())


@pytest.mark.parametrize(
    ("count", "there", "says"), [(1, False, "two or more"), (2, True, "is there already")]
)
def test_wrong_use(
    count: int,
    there: bool,
    says: str,
    folders: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    if there:
        out.mkdir()
    assert main(["average", *map(str, folders[:count]), "--output", str(out)]) == 2
    assert says in capsys.readouterr().err
