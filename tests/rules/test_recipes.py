"""Shipped recipes: they build, they survive JSON, and the papers' sizes are the papers' sizes."""

from dataclasses import replace

import pytest

from m4nmt.cli.recipes import describe
from m4nmt.core.config import from_dict, to_dict
from m4nmt.core.names import recipes
from m4nmt.model import cost
from m4nmt.model.settings import MoEConfig
from m4nmt.plan.estimate import plan
from m4nmt.plan.job import GIB, Machine
from m4nmt.plan.weights import parameters
from m4nmt.train.settings import RunConfig

RECIPES = recipes()
# Published counts: GPipe (arXiv:1811.06965, section 5) for M4; Vaswani et al. 2017, table 3, less
# the 5,000 to 5,800 pieces by which their vocabulary of about 37,000 is larger than ours.
PUBLISHED = {
    "m4_400m": 400e6,
    "m4_1_3b_wide": 1.3e9,
    "m4_1_3b_deep": 1.3e9,
    "m4_3b": 3e9,
    "m4_6b": 6e9,
    "base": 65e6 - 5_000 * 512,
    "big": 213e6 - 5_000 * 1024,
}
# GShard (arXiv:2006.16668, table 1): all experts of the model, parameters. The printed counts are
# 600B divided and rounded; experts alone make 3 % more (768 of 16.8 million are 12.9 billion).
GSHARD = {
    "gshard_12_5b": (768, 12.5e9),
    "gshard_37b": (2304, 37e9),
    "gshard_50b": (3072, 50e9),
    "gshard_150b": (9216, 150e9),
    "gshard_200b": (12_288, 200e9),
    "gshard_600b": (36_864, 600e9),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_survives_json(name: str) -> None:
    config = RECIPES[name]()
    assert config.name == name
    assert from_dict(RunConfig, to_dict(config)) == config


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_papers(name: str) -> None:
    counted = describe(name, RECIPES[name])["parameters"]
    assert counted == pytest.approx(PUBLISHED[name], rel=0.05)


@pytest.mark.parametrize("name", GSHARD)
def test_experts_are_gshards(name: str) -> None:
    run = RECIPES[name]()
    experts, published = GSHARD[name]
    model = replace(run.model, vocab=run.data.tokenizer.vocab)
    mixtures = [one.ffn for one in (*model.encoder, *model.decoder)]
    assert sum(m.experts for m in mixtures if isinstance(m, MoEConfig)) == experts
    assert published < cost.parameters(model) < 1.07 * published
    assert cost.parameters(model) > 16.7e6 * experts
    assert cost.active_parameters(model) < 2e9  # 2 experts a token, whatever their number


def test_every_size_of_the_road_is_there() -> None:
    small = {"quickstart", "debug", "multi30k", "bible100", "gshard_small"}
    assert {*small, *PUBLISHED, *GSHARD} <= set(RECIPES)


# On how many devices a giant runs as its recipe lays it, and its parameters as published: GPipe
# (arXiv:1811.06965, table 1 and section 5), DeepNet (arXiv:2203.00555).
GIANTS = {
    "gpipe_1_3b_deep_8": (8, 1.3e9, 0.05),
    "gpipe_6b_16": (16, 6e9, 0.05),
    "gpipe_84b": (128, 83.9e9, 0.02),
    "deepnet_200": (8, 863e6, 0.02),
    "deepnet_1000": (8, 3.8e9, 0.02),
}
TWINS = {
    "gpipe_1_3b_deep_8_tiny": 4,
    "gpipe_6b_16_tiny": 4,
    "gpipe_84b_tiny": 4,
    "deepnet_200_tiny": 2,
    "deepnet_1000_tiny": 4,
}


@pytest.mark.parametrize("name", GIANTS)
def test_giants_are_the_papers_and_fit(name: str) -> None:
    devices, published, within = GIANTS[name]
    made = plan(RECIPES[name](), Machine(devices=devices))
    total, _ = parameters(made.job.whole)
    assert total == pytest.approx(published, rel=within)
    assert made.fits


@pytest.mark.parametrize("name", TWINS)
def test_twins_have_the_layout_of_their_giants(name: str) -> None:
    twin, giant = RECIPES[name](), RECIPES[name.removesuffix("_tiny")]()
    made = plan(twin, Machine(devices=TWINS[name], memory=GIB), "cpu")
    assert made.fits
    for field in ("schedule", "virtual", "remat", "shard", "tensor"):
        assert getattr(twin.parallel, field) == getattr(giant.parallel, field)
    assert (twin.parallel.pipeline > 1) == (giant.parallel.pipeline > 1)
