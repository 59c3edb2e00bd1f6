"""Parameters of every segment, as names and shapes, and what an optimiser keeps for them.

Counted on meta, one layer of each kind, so that a model of thousands of layers costs nothing. A
mixture of experts is counted as its router and copies of one expert, whatever code computes it.
Not its job: activations (trace).

Shape letters: D width, F hidden, E experts.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import NamedTuple

from m4nmt.model.settings import FeedForward, ModelConfig, MoEConfig, NoisyTopK, Transparent
from m4nmt.model.translation import TIES, build, segment_names
from m4nmt.optim.settings import Adafactor, Optim

FP32 = 4


class Weight(NamedTuple):
    """A parameter, or as many alike as there are experts.

    Attributes:
        name: in the whole model, a tied table by its canonical name.
        copies: 1, or the experts of the layer.
        active: how many of the copies a token uses.
    """

    name: str
    shape: tuple[int, ...]
    copies: int = 1
    active: float = 1.0

    @property
    def numel(self) -> int:
        """Numbers in all copies."""
        return prod(self.shape) * self.copies


Held = tuple[Weight, ...]


def weights(model: ModelConfig) -> dict[str, Held]:
    """Weights of every segment; a tied table stands in each segment that uses it."""
    names = segment_names(model)
    ends = {name: _named(model, name) for name in ("source", "bridge", "target", "head")}
    stacks = {"enc": model.encoder, "dec": model.decoder}
    kinds = {
        (stack, layer): _layer(alone(model, stack, index), f"{stack}000")
        for stack, layers in stacks.items()
        for layer, index in {layer: i for i, layer in enumerate(layers)}.items()
    }
    held = {}
    for name in names:
        if name in ends:
            held[name] = ends[name]
        else:
            kind = kinds[name[:3], stacks[name[:3]][int(name[3:])]]
            held[name] = tuple(w._replace(name=f"{name}.{w.name}") for w in kind)
    return held


def alone(model: ModelConfig, stack: str, index: int) -> ModelConfig:
    """The model with one layer a stack, layer `index` of `stack` ("enc" or "dec") among them; where
    every decoder layer has its own mixture, with as many decoder layers as before."""
    encoder, decoder = model.encoder[:1], model.decoder[:1]
    if stack == "enc":
        encoder = model.encoder[index : index + 1]
    else:
        decoder = model.decoder[index : index + 1]
    if isinstance(model.memory, Transparent):
        decoder *= len(model.decoder)
    return replace(model, encoder=encoder, decoder=decoder)


def dense_twin(model: ModelConfig) -> ModelConfig:
    """The model with one expert in the place of every mixture."""

    def one(ffn: FeedForward) -> FeedForward:
        return ffn.expert if isinstance(ffn, MoEConfig) else ffn

    return replace(
        model,
        encoder=tuple(replace(layer, ffn=one(layer.ffn)) for layer in model.encoder),
        decoder=tuple(replace(layer, ffn=one(layer.ffn)) for layer in model.decoder),
    )


def _named(model: ModelConfig, name: str) -> Held:
    ties = TIES[model.ties]
    found = build(dense_twin(model), [name]).named_parameters()
    return tuple(Weight(ties.get(key, key), tuple(p.shape)) for key, p in found)


@lru_cache(maxsize=256)
def _layer(model: ModelConfig, name: str) -> Held:
    """Of the one layer of a stack, by names inside the layer."""
    layer = (model.encoder if name.startswith("enc") else model.decoder)[0]
    held = [w._replace(name=w.name.partition(".")[2]) for w in _named(model, name)]
    if not isinstance(layer.ffn, MoEConfig):
        return tuple(held)
    return tuple(_mixed(held, layer.ffn, model))


def _mixed(held: list[Weight], config: MoEConfig, model: ModelConfig) -> Iterator[Weight]:
    """The weights of a layer whose feed-forward is a mixture, from those of its dense twin."""
    for weight in held:
        if weight.name.startswith("ffn."):
            yield weight._replace(copies=config.experts, active=config.choices)
        else:
            yield weight
    gate = Weight("weight", (config.experts, model.dim))
    if config.level == "language":
        gate = Weight("table", (model.vocab, config.experts))
    yield gate._replace(name=f"ffn.router.gate.{gate.name}")
    if isinstance(config.router, NoisyTopK):
        yield gate._replace(name=f"ffn.router.noise.{gate.name}")


def once(held: dict[str, Held], names: tuple[str, ...] | None = None) -> list[Weight]:
    """All weights of these segments (None: of the model), a tied table once."""
    chosen = held if names is None else {name: held[name] for name in names}
    return list({w.name: w for segment in chosen.values() for w in segment}.values())


def moments(weight: Weight, optim: Optim) -> int:
    """Bytes that an optimiser keeps for a weight, all copies: two fp32 moments for AdamW; for
    Adafactor what `optim.adafactor` makes; and the count of steps."""
    numel, shape = weight.numel, weight.shape
    if not isinstance(optim, Adafactor):
        return FP32 * (2 * numel + 1)
    kept = numel
    if len(shape) >= 2 and min(shape[-2:]) >= optim.min_dim_factored:
        kept = numel // shape[-1] + numel // shape[-2]
    return FP32 * (kept + bool(optim.beta1) * numel + 1)


def local(model: ModelConfig, tensor: int) -> ModelConfig:
    """The model that one of `tensor` tensor-parallel devices holds: its share of heads, hidden
    units and vocabulary (Megatron-LM, arXiv:1909.08053, section 3).

    Raises:
        ValueError: heads or hidden units that do not divide.
    """
    if tensor == 1:
        return model

    def share(number: int, what: str) -> int:
        if number % tensor:
            raise ValueError(f"{number} {what} do not divide into tensor={tensor}")
        return number // tensor

    def hidden(ffn: FeedForward) -> FeedForward:
        if isinstance(ffn, MoEConfig):
            one = replace(ffn.expert, hidden=share(ffn.expert.hidden, "hidden units"))
            return replace(ffn, expert=one)
        return replace(ffn, hidden=share(ffn.hidden, "hidden units"))

    changed = {}
    for layer in {*model.encoder, *model.decoder}:
        a = layer.attention
        attention = replace(
            a,
            heads=share(a.heads, "heads"),
            kv_heads=share(a.kv_heads, "key/value heads") if a.kv_heads else 0,
            head_dim=a.head_dim or model.dim // a.heads,
        )
        changed[layer] = replace(layer, attention=attention, ffn=hidden(layer.ffn))
    return replace(
        model,
        vocab=-(-model.vocab // tensor),
        encoder=tuple(changed[layer] for layer in model.encoder),
        decoder=tuple(changed[layer] for layer in model.decoder),
    )


def parameters(held: dict[str, Held]) -> tuple[int, int]:
    """(all, those that one token uses), a tied table once."""
    every = once(held)
    active = sum(prod(w.shape) * w.active for w in every)
    return sum(w.numel for w in every), round(active)
