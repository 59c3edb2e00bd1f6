"""Counted parameters and moments against built models and real optimisers."""

from dataclasses import replace
from math import prod

import pytest
import torch
from model_made import config, real, variants

from m4nmt.core.names import recipes
from m4nmt.model import cost
from m4nmt.model.translation import build
from m4nmt.optim.adafactor import AdafactorOptimizer
from m4nmt.optim.settings import Adafactor, AdamW
from m4nmt.optim.state import prepare_adam, tensors
from m4nmt.plan.weights import local, moments, once, parameters, weights


@pytest.mark.parametrize("name", variants())
def test_names_and_shapes_are_those_of_the_model(name: str) -> None:
    model = variants()[name]
    counted = once(weights(model))
    built = build(model).canonical_parameters()
    assert sum(w.numel for w in counted) == sum(p.numel() for p in built.values())
    if "moe" not in name:
        assert {w.name: w.shape for w in counted} == {n: tuple(p.shape) for n, p in built.items()}


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_is_counted_exactly(name: str) -> None:
    run = recipes()[name]()
    model = replace(run.model, vocab=run.model.vocab or run.data.tokenizer.vocab)
    assert parameters(weights(model)) == (cost.parameters(model), cost.active_parameters(model))


def test_a_tied_table_counts_once_and_stands_in_every_segment() -> None:
    held = weights(config(ties="all"))
    assert [w.name for w in held["head"] if "table" in w.name] == ["source.table"]
    assert sum(w.name == "source.table" for w in once(held)) == 1


@pytest.mark.parametrize(
    "optim", [AdamW(), Adafactor(), Adafactor(beta1=0.9), Adafactor(min_dim_factored=32)], ids=str
)
@pytest.mark.parametrize("name", ["PreNorm-transparent", "RelativeBias", "gated"])
def test_moments_are_what_the_optimiser_makes(optim: AdamW | Adafactor, name: str) -> None:
    model = real(variants()[name])
    parameters_ = list(model.canonical_parameters().items())
    groups = [{"params": parameters_, "weight_decay": 0.0}]
    made: torch.optim.Optimizer
    if isinstance(optim, AdamW):
        made = torch.optim.AdamW(groups)
        prepare_adam(made)
    else:
        made = AdafactorOptimizer(groups, optim)
    real_bytes = sum(t.numel() * t.element_size() for t in tensors(made).values())
    assert sum(moments(w, optim) for w in once(weights(variants()[name]))) == real_bytes


@pytest.mark.parametrize("size", [2, 4])
def test_a_share_is_megatrons(size: int) -> None:
    """Maps by heads or hidden units, tables by words; norms and the biases behind a sum whole."""
    model = config()
    whole, share = (
        {w.name: w.shape for w in once(weights(m))} for m in (model, local(model, size))
    )
    for name, shape in whole.items():
        split = prod(share[name]) < prod(shape)
        kept = "residual" in name or name.endswith(("norm.weight", "norm.bias"))
        kept |= name.endswith(("out.bias", "down.bias"))
        assert split is not kept, name


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="heads do not divide"):
        local(config(), 3)
