"""Configs: JSON there and back, changes from the command line, and clear refusals."""

import pytest

from m4nmt.core import config as c
from m4nmt.data.settings import DataConfig, UniMax, Weights
from m4nmt.model.settings import DeepNorm, Transparent, modern
from m4nmt.optim.settings import Adafactor, AdamW
from m4nmt.train.settings import RunConfig


def run() -> RunConfig:
    return RunConfig(
        name="x",
        data=DataConfig(manifest="m", mixture=Weights(weights={"a-*": 1.0})),
        model=modern(layers=2, dim=16, hidden=32, heads=2),
    )


def test_json_there_and_back() -> None:
    assert c.from_dict(RunConfig, c.parse_json(c.canonical_json(run()))) == run()
    assert c.config_hash(run()) == c.config_hash(run())


def test_override_reaches_every_kind_of_option() -> None:
    changed = c.override(
        run(),
        [
            "optim=Adafactor",
            "model.encoder.*.dropout=0.3",
            "model.encoder.1.residual=DeepNorm",
            "model.memory=Transparent",
            'data.mixture={"kind":"UniMax","max_epochs":2}',
            'data.directions.only=["eng_Latn-*"]',
            "train.steps=7",
            "name=other",
        ],
    )
    assert changed.optim == Adafactor()
    assert [layer.dropout for layer in changed.model.encoder] == [0.3, 0.3]
    assert changed.model.encoder[1].residual == DeepNorm()
    assert changed.model.memory == Transparent()
    assert changed.data.mixture == UniMax(max_epochs=2.0)
    assert changed.data.directions.only == ("eng_Latn-*",)
    assert (changed.train.steps, changed.name) == (7, "other")
    assert run().optim == AdamW()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("optm.lr=1", "did you mean 'optim'"),
        ("optim.lrr=1", "did you mean 'lr'"),
        ("optim.lr=fast", "expected float"),
        ("train.steps=1.5", "expected int"),
        ("train.steps=true", "expected int"),
        ("model.memory=Transprent", "did you mean 'Transparent'"),
        ("train.choose=bst", "did you mean 'best'"),
        ("model.encoder.9.dropout=0.1", "not an index"),
        ("optim.lr", "section.option=value"),
        ("optim.lr.x=1", "no parts"),
        ("train.steps=0", "steps >= 1"),
        ("model.ties.x=1", "no parts"),
    ],
)
def test_wrong_changes_are_refused_with_a_hint(change: str, says: str) -> None:
    with pytest.raises(c.ConfigError, match=says):
        c.override(run(), [change])


def test_a_change_given_twice_is_refused() -> None:
    with pytest.raises(c.ConfigError, match="given twice"):
        c.override(run(), ["optim.lr=1", "optim.lr=2"])


def test_duplicate_json_keys_are_refused() -> None:
    with pytest.raises(c.ConfigError, match="'a' is given twice"):
        c.parse_json('{"a": 1, "a": 2}', "run.json")


def test_missing_and_unknown_keys_are_refused() -> None:
    data = c.to_dict(run())
    del data["data"]["manifest"]
    with pytest.raises(c.ConfigError, match="'manifest' is missing"):
        c.from_dict(RunConfig, data)
    data = c.to_dict(run())
    data["train"]["stepz"] = 3
    with pytest.raises(c.ConfigError, match="did you mean 'steps'"):
        c.from_dict(RunConfig, data)
