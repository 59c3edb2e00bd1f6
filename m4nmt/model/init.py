"""First values of parameters: each is a function of (seed, canonical name) and of nothing else.

A module that owns parameters says in `rules` how each begins; this file draws them. Not its job:
choosing gains (each component does that) and knowing about devices beyond a final copy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from m4nmt.core.seeds import torch_generator

if TYPE_CHECKING:
    from m4nmt.model.translation import TranslationModel

# Fills a CPU fp32 tensor in place from a generator.
Rule = Callable[[Tensor, torch.Generator], None]


@dataclass(frozen=True)
class Each:
    """A rule for every item of the first dimension, each from its own stream of random numbers, so
    that some of them can be drawn without the others."""

    rule: Rule


def zeros(value: Tensor, generator: torch.Generator) -> None:
    """All zero."""
    value.zero_()


def ones(value: Tensor, generator: torch.Generator) -> None:
    """All one."""
    value.fill_(1.0)


def xavier(gain: float = 1.0) -> Rule:
    """Uniform of variance gain^2 * 2 / (in + out) for a matrix [out,in] (Glorot, Bengio 2010)."""

    def rule(value: Tensor, generator: torch.Generator) -> None:
        bound = gain * (6.0 / (value.shape[0] + value.shape[1])) ** 0.5
        value.uniform_(-bound, bound, generator=generator)

    return rule


def normal(std: float) -> Rule:
    """Gaussian of mean zero."""

    def rule(value: Tensor, generator: torch.Generator) -> None:
        value.normal_(0.0, std, generator=generator)

    return rule


class Ruled(nn.Module):
    """A module that owns parameters and says how each of them begins.

    Attributes:
        first: number of the first item here, where parameters with an `Each` hold some items only.
    """

    rules: Mapping[str, Rule | Each]
    first: int = 0


def first_value(
    rule: Rule | Each, shape: Sequence[int], seed: int, name: str, first: int = 0
) -> Tensor:
    """The first value of the parameter called `name`, CPU fp32.

    Args:
        shape: of what is drawn; of an `Each`, the items from number `first` on.
        name: canonical.
    """
    value = torch.empty(tuple(shape), dtype=torch.float32)
    if isinstance(rule, Each):
        for i, item in enumerate(value, first):
            rule.rule(item, torch_generator(seed, "init", name, i))
    else:
        rule(value, torch_generator(seed, "init", name))
    return value


def _owned(model: nn.Module) -> Iterator[tuple[str, Ruled, str]]:
    """(full name, module, name inside it) of every parameter, aliases included."""
    for prefix, module in model.named_modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                if not isinstance(module, Ruled):
                    raise TypeError(
                        f"{prefix}.{key}: {type(module).__name__} has no rules to begin"
                    )
                yield f"{prefix}.{key}", module, key


def draw(model: "TranslationModel", seed: int) -> Iterator[tuple[str, Tensor]]:
    """(canonical name, CPU fp32 value) of every parameter once, one at a time."""
    seen: set[str] = set()
    for name, module, key in _owned(model):
        canonical = model.canonical(name)
        if canonical not in seen:
            seen.add(canonical)
            shape = module._parameters[key].shape  # type: ignore[union-attr]
            yield canonical, first_value(module.rules[key], shape, seed, canonical, module.first)


@torch.no_grad()
def initialise(model: "TranslationModel", seed: int) -> None:
    """Give every parameter of a real (not meta) model its first value."""
    places = model.canonical_parameters()
    for name, value in draw(model, seed):
        places[name].copy_(value)


def materialise(model: "TranslationModel", device: torch.device | str, seed: int) -> None:
    """Turn a model on meta into one with first values on `device`; ties stay one Parameter."""
    dtypes = {name: p.dtype for name, p in model.canonical_parameters().items()}
    made = {name: nn.Parameter(value.to(device, dtypes[name])) for name, value in draw(model, seed)}
    for name, module, key in list(_owned(model)):
        module._parameters[key] = made[model.canonical(name)]
