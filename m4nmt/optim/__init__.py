"""Optimisers and learning-rate schedules.

`build` turns the optim section of a recipe into a torch optimiser whose state exists from the
first moment, so that a checkpoint can be read into it in place (`state.tensors`). `schedule.build`
gives the learning rate of a step as a pure function; the trainer writes it into the groups.
Torch is imported when something is built: a recipe is read, and text prepared, without it.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from m4nmt.optim.settings import Adafactor, AdamW, Optim

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["build"]


def build(
    config: Optim,
    named_parameters: "Iterable[tuple[str, nn.Parameter]]",
    zeros: "Callable[[Tensor], Tensor] | None" = None,
) -> "torch.optim.Optimizer":
    """The optimiser of a recipe, over parameters known by name.

    Args:
        zeros: makes the moments of a parameter: fp32, of its shape, laid like it; None: in memory
            beside it.

    Raises:
        ValueError: a parameter is given twice, or none is given.
    """
    import torch

    from m4nmt.optim.adafactor import AdafactorOptimizer
    from m4nmt.optim.groups import decay_groups
    from m4nmt.optim.state import prepare_adam, zeros_like

    zeros = zeros or zeros_like
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
