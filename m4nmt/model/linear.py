"""A linear map whose first weights are Xavier-uniform with a gain."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.model.init import Ruled, xavier, zeros


class Linear(Ruled):
    """y = x W^T + b, W [outputs,inputs]."""

    def __init__(self, inputs: int, outputs: int, bias: bool, gain: float = 1.0) -> None:
        super().__init__()
        self.rules = {"weight": xavier(gain), "bias": zeros}
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)
