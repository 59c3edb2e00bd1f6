"""First values of parameters: each is a function of (seed, canonical name) and of nothing else.

A module that owns parameters says in `rules` how each begins; this file draws them, on the CPU
whatever the device, so that numbers do not depend on it. Not its job: choosing gains (each
component does that), and knowing how parameters are spread over ranks (parallel.weights).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

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
    """A module that owns parameters and says how each of them begins."""

    rules: Mapping[str, Rule | Each]


class Part(NamedTuple):
    """What of a parameter lies here.

    Attributes:
        here: shares the parameter's memory.
        place: a slice of each dimension of the whole parameter.
    """

    here: Tensor
    place: tuple[slice, ...]


def all_here(parameter: Tensor) -> Part:
    """All of a parameter that lies here as it is."""
    return Part(parameter.detach(), (slice(None),) * parameter.dim())


def _drawn(rule: Rule, shape: Sequence[int], *stream: int | str) -> Tensor:
    value = torch.empty(tuple(shape), dtype=torch.float32, device="cpu")
    rule(value, torch_generator(*stream))
    return value


def _fill(part: Part, rule: Rule | Each, shape: Sequence[int], seed: int, name: str) -> None:
    """Write into a part what it has of the first value of a whole parameter of this shape."""
    here, place = part
    if not here.numel():
        return
    if not isinstance(rule, Each):
        here.copy_(_drawn(rule, shape, seed, "init", name)[place])
        return
    numbers = range(shape[0])[place[0]]
    for item, number in zip(here.unbind(), numbers, strict=True):
        item.copy_(_drawn(rule.rule, shape[1:], seed, "init", name, number)[place[1:]])


def _owned(model: nn.Module) -> Iterator[tuple[str, Ruled, str, Tensor]]:
    """(full name, module, name inside it, value) of every parameter, aliases included."""
    for prefix, module in model.named_modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                if not isinstance(module, Ruled):
                    raise TypeError(
                        f"{prefix}.{key}: {type(module).__name__} has no rules to begin"
                    )
                yield f"{prefix}.{key}", module, key, parameter


@torch.no_grad()
def initialise(
    model: "TranslationModel", seed: int, part: Callable[[Tensor], Part] = all_here
) -> None:
    """Give every parameter of a real (not meta) model its first value, one after another.

    Of a parameter with an `Each` only the items that lie here are drawn, one at a time; of any
    other the whole, once.

    Args:
        part: what of a parameter lies here.

    Raises:
        TypeError: a parameter whose module has no rules.
    """
    done: set[str] = set()
    for name, module, key, parameter in _owned(model):
        canonical = model.canonical(name)
        if canonical not in done:
            done.add(canonical)
            _fill(part(parameter), module.rules[key], parameter.shape, seed, canonical)


def materialise(model: "TranslationModel", device: torch.device | str, seed: int) -> None:
    """Turn a model on meta into one with first values on `device`; ties stay one Parameter."""
    model.to_empty(device=device)
    model.tie()
    initialise(model, seed)
