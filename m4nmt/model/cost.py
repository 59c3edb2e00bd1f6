"""What a model costs, before it exists: parameters (exact, counted on meta) and operations.

Shape letters: S source length, T target length, V vocabulary, D width.
"""

from typing import NamedTuple

from torch import nn

from m4nmt.model.attention import Attention
from m4nmt.model.embedding import Head
from m4nmt.model.experts import Stack
from m4nmt.model.layers import DecoderLayer
from m4nmt.model.linear import Linear
from m4nmt.model.moe import MoE
from m4nmt.model.routers import Gate
from m4nmt.model.settings import ModelConfig
from m4nmt.model.translation import build, segment_names


def parameters(config: ModelConfig) -> int:
    """Parameters of the whole model, a tied table once."""
    return sum(p.numel() for p in build(config).parameters())


def active_parameters(config: ModelConfig) -> int:
    """Parameters that work on a token: of the experts only those that it is given to (on average,
    where none is dropped), of everything else all."""
    model = build(config)
    total = float(sum(p.numel() for p in model.parameters()))
    for mixture in model.modules():
        if isinstance(mixture, MoE):
            idle = 1 - mixture.config.choices / mixture.config.experts
            total -= idle * sum(p.numel() for p in mixture.experts.parameters())
    return round(total)


def by_segment(config: ModelConfig) -> dict[str, int]:
    """Parameters by segment; a tied table counts in the first segment that holds it."""
    counts = dict.fromkeys(segment_names(config), 0)
    for name, parameter in build(config).named_parameters():
        counts[name.partition(".")[0]] += parameter.numel()
    return counts


class Flops(NamedTuple):
    """Floating-point operations of one forward pass, by what they grow with.

    Attributes:
        source: for each source token.
        target: for each target token.
    """

    source: float
    target: float


def flops_per_token(config: ModelConfig, source_length: int, target_length: int) -> Flops:
    """Operations of the matrix products of a forward pass, two for a multiply and add.

    A training step takes three times as many: the backward pass has two products for each of the
    forward's. Counted as PaLM counts model FLOPs (arXiv:2204.02311, appendix B): attention over
    whole rows, though half of the causal one is masked; no embeddings, norms, activations; nothing
    that rematerialisation does again; no choice dropped.
    """
    source = target = 0.0
    for segment in build(config).children():
        total = _linear(segment)
        if isinstance(segment, DecoderLayer):
            cross = segment.cross
            read = _linear(cross.k) + _linear(cross.v)  # once for each source token
            source += read
            target += total - read
            target += _products(segment.attention, target_length)
            target += _products(cross, source_length)
        elif isinstance(segment, Head):
            target += 2.0 * segment.table.numel()
        else:
            source += total
            for attention in segment.modules():
                if isinstance(attention, Attention):
                    source += _products(attention, source_length)
    return Flops(source, target)


def _linear(module: nn.Module) -> float:
    """Operations of the linear maps inside for one token; of a mixture those of its gates and of
    the experts that a token is given to."""
    total = 2.0 * sum(m.weight.numel() for m in module.modules() if isinstance(m, Linear))
    return total + sum(_mixture(m) for m in module.modules() if isinstance(m, MoE))


def _mixture(mixture: MoE) -> float:
    config = mixture.config
    one = sum(m.weight[0].numel() for m in mixture.experts.modules() if isinstance(m, Stack))
    gates = sum(m.weight.numel() for m in mixture.router.modules() if isinstance(m, Gate))
    return 2.0 * (config.choices * one + (gates if config.level == "token" else 0))


def _products(attention: Attention, keys: int) -> float:
    """Operations of queries by keys and weights by values for one query token."""
    return 4.0 * attention.q.weight.shape[0] * keys
