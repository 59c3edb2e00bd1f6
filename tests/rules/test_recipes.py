"""Shipped recipes: they build, they survive JSON, and the papers' sizes are the papers' sizes."""

import pytest

from m4nmt.cli.recipes import describe
from m4nmt.core.config import from_dict, to_dict
from m4nmt.core.names import recipes
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


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_survives_json(name: str) -> None:
    config = RECIPES[name]()
    assert config.name == name
    assert from_dict(RunConfig, to_dict(config)) == config


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_papers(name: str) -> None:
    counted = describe(name, RECIPES[name])["parameters"]
    assert counted == pytest.approx(PUBLISHED[name], rel=0.05)


def test_every_size_of_the_road_is_there() -> None:
    assert {"quickstart", "debug", "multi30k", "bible100", *PUBLISHED} <= set(RECIPES)
