"""A model cut anywhere computes what the whole model computes, bit for bit, gradients included."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from model_made import config, layer, real, tokens, variants
from torch import Tensor

from m4nmt.model.flow import Flow, Tokens
from m4nmt.model.settings import ModelConfig, Transparent
from m4nmt.model.translation import TranslationModel, segment_names

VARIANTS = variants()
Gradients = dict[str, Tensor]


def weigh(logits: Tensor) -> Tensor:
    """A scalar that depends differently on every logit."""
    return (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum()


def gradients(models: Sequence[TranslationModel]) -> Gradients:
    """By canonical name, summed over the copies of a table."""
    total: Gradients = {}
    for model in models:
        for name, parameter in model.canonical_parameters().items():
            assert parameter.grad is not None, name
            total[name] = total[name] + parameter.grad if name in total else parameter.grad
    return total


def whole(c: ModelConfig) -> tuple[Tensor, Gradients]:
    """Logits and gradients of the model in one piece."""
    model = real(c)
    logits = model(tokens()).x
    weigh(logits).backward()
    return logits.detach(), gradients([model])


def cut_flow(flow: Flow) -> tuple[Flow, list[Tensor]]:
    """What the next process would receive: new leaves with the same numbers."""
    leaves = [t.detach().requires_grad_() for t in (flow.x, flow.aux, *flow.carry)]
    return Flow(leaves[0], leaves[1], tuple(leaves[2:])), leaves


def staged(
    c: ModelConfig, cuts: Sequence[int], lose: int | None = None
) -> tuple[Tensor, Gradients]:
    """As `whole`, as processes would do it: separately built parts that exchange only Flows
    forward and their gradients backward. `lose` leaves out the gradient of one exchanged tensor."""
    names = segment_names(c)
    bounds = [0, *cuts, len(names)]
    parts = [real(c, names=names[a:b]) for a, b in pairwise(bounds)]
    flow, batch, edges = None, tokens(), []
    for part in parts:
        out = part(batch, flow)
        flow, leaves = cut_flow(out)
        edges.append((out, leaves))
    logits = edges[-1][0].x
    weigh(logits).backward()
    for out, leaves in reversed(edges[:-1]):
        sent = [
            (t, leaf.grad) for t, leaf in zip((out.x, out.aux, *out.carry), leaves, strict=True)
        ]
        kept = [
            (t, g)
            for i, (t, g) in enumerate(sent)
            if i != lose and g is not None and t.requires_grad
        ]
        torch.autograd.backward([t for t, _ in kept], [g for _, g in kept])
    return logits.detach(), gradients(parts)


def worst(a: Gradients, b: Gradients) -> float:
    """Largest difference relative to the larger gradient of a parameter."""
    assert a.keys() == b.keys()
    return max(float((a[n] - b[n]).abs().max() / a[n].abs().max().clamp(min=1e-9)) for n in a)


@pytest.mark.parametrize("name", VARIANTS)
def test_parts_one_segment_each_equal_the_whole(name: str) -> None:
    model, batch = real(VARIANTS[name]), tokens()
    flow = None
    for segment in model.names:
        flow = model.part([segment])(batch, flow)
    assert flow is not None
    assert torch.equal(flow.x, model(batch).x)


@pytest.mark.parametrize("name", VARIANTS)
def test_separate_processes_give_the_same_logits_and_gradients(name: str) -> None:
    c = VARIANTS[name]
    logits, expected = whole(c)
    everywhere = range(1, len(segment_names(c)))
    got, found = staged(c, everywhere)
    assert torch.equal(got, logits)
    tied = {"source.table", "target.table"}  # their terms are summed in another order
    for parameter in expected.keys() - tied:
        assert torch.equal(found[parameter], expected[parameter]), parameter
    assert worst(expected, found) < 1e-5


@pytest.mark.parametrize("cut", range(1, 8))
def test_any_one_cut(cut: int) -> None:
    c = config(layer(), memory=Transparent(dropout=0.0))
    logits, expected = whole(c)
    got, found = staged(c, [cut])
    assert torch.equal(got, logits)
    assert worst(expected, found) < 1e-5


@pytest.mark.parametrize("lost", [0, 2, 3])
def test_control_a_lost_gradient_is_seen(lost: int) -> None:
    """Stream, mixtures and mixture weights all carry gradients through a cut in the encoder."""
    c = config(layer(), memory=Transparent(dropout=0.0))
    _, expected = whole(c)
    _, found = staged(c, [2], lose=lost)
    assert worst(expected, found) > 1e-2


def test_control_other_first_values_are_seen() -> None:
    c = config()
    names = segment_names(c)
    batch = tokens()
    first, second = real(c, names=names[:4]), real(c, seed=2, names=names[4:])
    assert not torch.allclose(second(batch, first(batch)).x, real(c)(batch).x, atol=1e-3)


@pytest.mark.parametrize("memory", ["top", "transparent"])
def test_a_batch_may_be_split_at_a_cut(memory: str) -> None:
    """The carry has its batch first: halves of a Flow go on as halves of the batch."""
    model, batch = real(VARIANTS[f"PreNorm-{memory}"]), tokens(rows=6)
    first, second = model.part(model.names[:2]), model.part(model.names[2:])
    flow = first(batch)
    halves = []
    for rows in (slice(0, 3), slice(3, 6)):
        half = Flow(flow.x[rows], flow.aux, tuple(c[rows] for c in flow.carry))
        halves.append(second(Tokens(batch.src_BS[rows], batch.tgt_BT[rows]), half).x)
    assert torch.allclose(torch.cat(halves), model(batch).x, atol=1e-5)


def test_a_part_shares_parameters_and_refuses_what_it_has_not() -> None:
    model = real(config())
    part = model.part(["dec000", "head"])
    assert part.names == ("dec000", "head")
    assert part.head.table is model.source.table
    with pytest.raises(ValueError, match="no segments \\['enc000'\\]"):
        part.part(["enc000"])
