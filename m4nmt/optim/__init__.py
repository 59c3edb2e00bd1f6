"""Optimisers and learning-rate schedules.

`build` turns the optim section of a recipe into a torch optimiser whose state exists from the
first moment, so that a checkpoint can be read into it in place (`state.tensors`). `schedule.build`
gives the learning rate of a step as a pure function; the trainer writes it into the groups.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from m4nmt.optim.adafactor import AdafactorOptimizer
from m4nmt.optim.groups import decay_groups
from m4nmt.optim.settings import Adafactor, AdamW, Optim
from m4nmt.optim.state import prepare_adam, zeros_like

__all__ = ["build"]


def build(
    config: Optim,
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    zeros: Callable[[Tensor], Tensor] = zeros_like,
) -> torch.optim.Optimizer:
    """The optimiser of a recipe, over parameters known by name.

    Args:
        zeros: makes the moments of a parameter: fp32, of its shape, laid like it.

    Raises:
        ValueError: a parameter is given twice, or none is given.
    """
    groups = decay_groups(named_parameters, config.weight_decay)
    match config:
        case AdamW():
            optimizer = torch.optim.AdamW(
                groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True
            )
            prepare_adam(optimizer, zeros)
            return optimizer
        case Adafactor():
            return AdafactorOptimizer(groups, config, zeros)
