"""A linear map whose first weights are Xavier-uniform with a gain."""

from torch import nn

from m4nmt.model.init import Ruled, xavier, zeros


class Linear(nn.Linear, Ruled):
    """y = x W^T + b, W [outputs,inputs]. torch's own, so that its tools know it."""

    def __init__(self, inputs: int, outputs: int, bias: bool, gain: float = 1.0) -> None:
        super().__init__(inputs, outputs, bias)
        self.rules = {"weight": xavier(gain), "bias": zeros}

    def reset_parameters(self) -> None:
        """First values come from the rules."""
