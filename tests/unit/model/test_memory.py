"""Memory rules: running sums against the stacked form."""

import pytest
import torch
from model_made import DIM, config, layer, real, tokens
from torch import Tensor

from m4nmt.model.flow import Flow
from m4nmt.model.settings import PostNorm, PreNorm, Transparent
from m4nmt.model.translation import TranslationModel

N, M = 3, 2


def states_and_memories(model: TranslationModel) -> tuple[list[Tensor], list[Tensor], Flow]:
    """Embedding and encoder states; what each decoder layer was given; the flow after `bridge`."""
    batch, states, flow = tokens(), [], None
    seen: list[Tensor] = []
    for name in model.names:
        segment = model.get_submodule(name)
        if name.startswith("dec"):
            segment.cross.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
        flow = model.part([name])(batch, flow)
        if name == "source" or name.startswith("enc"):
            states.append(flow.x)
        if name == "bridge":
            bridged = flow
    return states, seen, bridged


@pytest.mark.parametrize("rule", [PreNorm(), PostNorm()])
def test_running_sums_equal_the_stacked_form(rule: PreNorm | PostNorm) -> None:
    c = config(layer(residual=rule), n=N, m=M, memory=Transparent(dropout=0.0))
    model = real(c)
    states, seen, bridged = states_and_memories(model)
    weights_MN = (model.source.memory.weight + 1 / (N + 1)).softmax(-1)
    stacked = torch.einsum("mn,nbsd->mbsd", weights_MN, torch.stack(states))
    assert bridged.carry[0].shape == (5, M, 7, DIM)
    assert len(seen) == M
    for got, mixture in zip(seen, stacked, strict=True):
        assert torch.allclose(got, model.bridge.norm(mixture), atol=1e-5)
    assert not torch.allclose(seen[0], seen[1], atol=1e-2)


def test_top_layer_gives_every_decoder_layer_the_normed_top() -> None:
    model = real(config(n=N, m=M))
    states, seen, _ = states_and_memories(model)
    for got in seen:
        assert torch.allclose(got, model.bridge.norm(states[-1]), atol=1e-6)


def test_the_mixture_begins_uniform() -> None:
    model = real(config(n=N, m=M, memory=Transparent(dropout=0.0)), noise=0.0)
    assert model.source.memory.weight.shape == (M, N + 1)
    x = torch.randn(2, 3, DIM)
    acc, rest = model.source.memory(x)
    assert torch.allclose(acc, x[:, None] / (N + 1), atol=1e-6)
    assert torch.allclose(rest, torch.full((2, M, N), 1 / (N + 1)))


def test_dropout_acts_on_the_logits_before_the_softmax() -> None:
    """The weights still sum to one, and a dropped logit counts as zero: e^0 against e^(w/(1-p))."""
    model = real(config(n=N, m=M, memory=Transparent(dropout=0.5)))
    torch.manual_seed(0)
    mixture, x = model.source.memory, torch.ones(1, 1, DIM)
    logits = (mixture.weight + 1 / (N + 1)) / 0.5
    seen = set()
    for _ in range(20):
        acc, rest = mixture(x)
        weights = torch.cat((acc[0, :, :1, 0], rest[0]), -1)
        assert torch.allclose(weights.sum(-1), torch.ones(M))
        log = weights.log() - weights.log().max(-1, keepdim=True).values
        for row in range(M):
            kept = [
                torch.allclose(log[row], torch.where(mask, logits[row], 0.0) - top, atol=1e-4)
                for mask in _all_masks(N + 1)
                for top in [torch.where(mask, logits[row], 0.0).max()]
            ]
            seen.add(kept.index(True))
    assert len(seen) > 3
    assert torch.equal(mixture.eval()(x)[1], mixture(x)[1])


def _all_masks(n: int) -> list[Tensor]:
    return [torch.tensor([bool(i >> j & 1) for j in range(n)]) for i in range(1 << n)]
