"""Compiled segments compute what the plain ones compute, each as one graph."""

import pytest
import torch
from model_made import config, layer, real, tokens, variants
from torch._dynamo.utils import counters

from m4nmt.model.settings import ModelConfig
from m4nmt.model.translation import TranslationModel

VARIANTS = variants()
SOME = ["PreNorm-top", "DeepNorm-transparent", "Rotary", "RelativeBias", "qk-norm-rms", "soft-caps"]


def compiled(c: ModelConfig) -> TranslationModel:
    torch._dynamo.reset()
    counters.clear()
    model = real(c)
    for name in model.names:
        model.get_submodule(name).compile(backend="aot_eager")
    return model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("name", SOME)
def test_the_same_numbers_and_gradients(name: str) -> None:
    results = []
    for model in (real(VARIANTS[name]), compiled(VARIANTS[name])):
        logits = model(tokens()).x
        (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
        results.append([logits.detach(), *(p.grad for p in model.parameters())])
    for plain, other in zip(*results, strict=True):
        assert torch.allclose(plain, other, atol=1e-4, rtol=1e-4)
    assert not counters["graph_break"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_dropout_breaks_no_graph_and_drops() -> None:
    model = compiled(config(layer(residual_dropout=0.3, ffn_dropout=0.1), embedding_dropout=0.1))
    assert not torch.equal(model(tokens()).x, model(tokens()).x)
    assert not counters["graph_break"]
