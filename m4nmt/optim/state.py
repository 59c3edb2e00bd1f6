"""The state of an optimiser as named tensors, for checkpoints.

State exists from the first moment, so the names do not depend on the step, and a checkpoint is read
into the tensors in place. Not its job: writing or reading files.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def zeros_like(weight: Tensor) -> Tensor:
    """fp32 zeros laid like a weight, beside it."""
    return torch.zeros_like(weight, dtype=torch.float32)


def prepare_adam(
    optimizer: torch.optim.AdamW, zeros: Callable[[Tensor], Tensor] = zeros_like
) -> None:
    """Make the zero state that AdamW would make lazily at its first step.

    Args:
        zeros: makes the moments of a parameter, laid like it.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": zeros(parameter),
                "exp_avg_sq": zeros(parameter),
            }


def tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Every state tensor, by `<parameter name>.<state name>`: the tensors themselves, no copies."""
    return {
        f"{name}.{key}": value
        for group in optimizer.param_groups
        for name, parameter in zip(group["param_names"], group["params"], strict=True)
        for key, value in optimizer.state[parameter].items()
    }
