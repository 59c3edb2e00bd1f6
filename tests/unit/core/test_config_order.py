"""Changes on the command line in their order: a union is switched, then its options are reached."""

from dataclasses import dataclass

import pytest

from m4nmt.core import config as c
from m4nmt.data.settings import DataConfig, UniMax, Weights
from m4nmt.model.settings import (
    DenseConfig,
    GatedConfig,
    MoEConfig,
    Switch,
    Top2,
    Transparent,
    modern,
)
from m4nmt.optim.settings import Adafactor, Cosine
from m4nmt.parallel.settings import Disk, Host
from m4nmt.train.settings import RunConfig, TrainConfig

FFN = "model.decoder.*.ffn"


def run() -> RunConfig:
    return RunConfig(
        name="x",
        data=DataConfig(manifest="m", mixture=Weights(weights={"a-*": 1.0})),
        model=modern(layers=2, dim=16, hidden=32, heads=2),
    )


def test_a_union_is_switched_and_its_options_are_reached() -> None:
    changed = c.override(run(), [f"{FFN}=MoEConfig", f"{FFN}.experts=16"])
    assert [layer.ffn for layer in changed.model.decoder] == [MoEConfig(experts=16)] * 2
    assert changed.model.encoder == run().model.encoder


def test_switches_inside_switches() -> None:
    changed = c.override(
        run(),
        [
            f"{FFN}=MoEConfig",
            f"{FFN}.expert=GatedConfig",
            f"{FFN}.expert.hidden=24",
            f"{FFN}.router.capacity=2",
            "model.decoder.0.ffn.router=Switch",
            "model.decoder.-1.ffn.experts=4",
            "model.memory=Transparent",
            "model.memory.dropout=0.25",
        ],
    )
    expert = GatedConfig(hidden=24)
    assert [layer.ffn for layer in changed.model.decoder] == [
        MoEConfig(expert=expert, router=Switch()),
        MoEConfig(expert=expert, router=Top2(capacity=2.0), experts=4),
    ]
    assert changed.model.memory == Transparent(dropout=0.25)


def test_json_may_name_configs_in_any_depth() -> None:
    moe = '{"kind": "MoEConfig", "expert": {"kind": "DenseConfig", "hidden": 24}, "experts": 4}'
    changed = c.override(
        run(),
        [f"{FFN}={moe}", "model.decoder.0.ffn.expert.bias=false", f"{FFN}.router=Switch"],
    )
    assert [layer.ffn for layer in changed.model.decoder] == [
        MoEConfig(experts=4, expert=DenseConfig(hidden=24, bias=bias), router=Switch())
        for bias in (False, True)
    ]


def test_options_without_a_name_are_those_of_the_only_config() -> None:
    changed = c.override(run(), ['train={"steps": 7}', "train.log_every=3", "train.guard.sigma=2"])
    assert changed.train.steps == 7
    assert changed.train.log_every == 3
    assert changed.train.guard.sigma == 2
    assert changed.train.label_smoothing == TrainConfig().label_smoothing


def test_a_config_without_all_defaults_is_filled_by_later_changes() -> None:
    changed = c.override(
        run(), ["parallel.offload=Disk", "parallel.offload.folder=/nvme", "optim=Adafactor"]
    )
    assert changed.parallel.offload == Disk(folder="/nvme")
    with pytest.raises(c.ConfigError, match="the option 'folder' is missing"):
        c.override(run(), ["parallel.offload=Disk"])


@dataclass(frozen=True, kw_only=True)
class Leaf:
    pair: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Stem:
    depth: int = 1


@dataclass(frozen=True, kw_only=True)
class Tree:
    leaves: tuple[Leaf, ...] = (Leaf(), Leaf())
    both: tuple[Leaf, Stem | None] = (Leaf(), None)
    named: dict[str, Leaf | Stem]


def test_items_and_names_are_reached_and_share_nothing() -> None:
    changed = c.override(
        Tree(named={"a": Leaf()}),
        [
            "leaves.*.pair=[2, 3]",
            "leaves.0.pair.1=4",
            "both.1=Stem",
            "both.1.depth=2",
            "named.b=Stem",
            "named.b.depth=3",
            "named.a.pair.0=5",
        ],
    )
    assert changed == Tree(
        leaves=(Leaf(pair=(2.0, 4.0)), Leaf(pair=(2.0, 3.0))),
        both=(Leaf(), Stem(depth=2)),
        named={"a": Leaf(pair=(5.0, 1.0)), "b": Stem(depth=3)},
    )


def test_later_changes_win_where_earlier_ones_keep_a_part() -> None:
    changed = c.override(
        run(),
        ["model.encoder.*.dropout=0.3", "model.encoder.1.dropout=0.1", "data.mixture=UniMax"],
    )
    assert [layer.dropout for layer in changed.model.encoder] == [0.3, 0.1]
    assert changed.data.mixture == UniMax()
    stars = c.override(run(), ["data.mixture.weights.b=2", "data.mixture.weights.*=1"])
    assert stars.data.mixture == Weights(weights={"a-*": 1.0, "b": 2.0, "*": 1.0})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            ["optim.lr=1", "optim=Adafactor"],
            r"--set optim: undoes --set optim\.lr before it; put it first",
        ),
        (
            ["model.encoder.1.dropout=0.1", "model.encoder.*.dropout=0.3"],
            r"undoes --set model\.encoder\.1\.dropout",
        ),
        (["model.encoder.1.dropout=0.1", "model.encoder.-1.dropout=0.3"], "undoes"),
        (["model.encoder.*.ffn.hidden=8", "model.encoder=[]"], "undoes"),
        ([f"{FFN}=MoEConfig", f"{FFN}.expert=4", f"{FFN}.expert.hidden=1"], "no parts; set model"),
        ([f"{FFN}=MoEConfig", f"{FFN}.exprts=4"], "did you mean 'experts'"),
        ([f"{FFN}=MoEConfig", f"{FFN}.experts=many"], r"decoder\[0\]\.ffn\.experts: expected int"),
        (["model.memory=Transprent", "model.memory.dropout=0.1"], r"one of TopLayer, Transparent"),
        (['optim={"kind": "Adafctor"}', "optim.lr=1"], "did you mean 'Adafactor'"),
        (['optim={"lr": 1}', "optim.beta1=1"], 'give "kind" first, one of'),
        (["parallel.offload.folder=/x"], r"offload is None, which has no parts; set .* Disk, Host"),
        (["parallel.offload=Host", "parallel.offload.folder=/x"], "unknown option 'folder'"),
        (["model.encoder=[]", "model.encoder.*.dropout=0.1"], "nothing that '\\*' could stand for"),
        (["optim.kind=Adafactor"], "unknown option 'kind'"),
    ],
)
def test_wrong_orders_and_wrong_steps_are_refused(changes: list[str], says: str) -> None:
    with pytest.raises(c.ConfigError, match=says):
        c.override(run(), changes)


def test_the_config_that_is_changed_stays_as_it_was() -> None:
    before = run()
    c.override(before, [f"{FFN}=MoEConfig", f"{FFN}.experts=16", "schedule=Cosine"])
    assert before == run()
    assert c.override(before, ["schedule=Cosine"]).schedule == Cosine()
    assert c.override(before, ["optim=Adafactor"]).optim == Adafactor()
    assert c.override(before, ["parallel.offload=Host"]).parallel.offload == Host()
