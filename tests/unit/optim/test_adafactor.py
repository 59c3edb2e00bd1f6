"""Adafactor against torch's and against the formula in float64."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from m4nmt import optim
from m4nmt.optim.settings import Adafactor

SHAPES = {
    "matrix.weight": (6, 10),
    "vector.bias": (7,),
    "scalar": (),
    "experts.weight": (3, 4, 5),
    "tiny.bias": (9,),
}


def gradients(steps: int, seed: int = 0) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    scales = [10.0 ** (i % 5 - 3) for i in range(steps)]
    return [
        {n: torch.randn(shape, generator=generator) * scale for n, shape in SHAPES.items()}
        for scale in scales
    ]


def parameters(seed: int = 1) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    scales = {"tiny.bias": 1e-5}
    return {
        n: nn.Parameter(torch.randn(s, generator=generator) * scales.get(n, 1.0))
        for n, s in SHAPES.items()
    }


def train(
    optimizer: torch.optim.Optimizer,
    weights: dict[str, nn.Parameter],
    steps: Sequence[dict[str, Tensor]],
) -> None:
    for gradient in steps:
        for name, weight in weights.items():
            weight.grad = gradient[name].clone().to(weight.dtype)
        optimizer.step()


def by_formula(
    w: NDArray[np.float64], gs: Sequence[NDArray[np.float64]], config: Adafactor
) -> NDArray[np.float64]:
    """The update written out in float64, for one tensor."""
    r: float | NDArray[np.float64] = 0.0
    c: float | NDArray[np.float64] = 0.0
    v: float | NDArray[np.float64] = 0.0
    m = np.zeros_like(w)
    factored = w.ndim >= 2 and min(w.shape[-2:]) >= config.min_dim_factored
    for t, g in enumerate(gs, start=1):
        b = 1 - t**-config.decay_exponent
        if config.decay == "adam":
            b = config.beta2 * (1 - config.beta2 ** (t - 1)) / (1 - config.beta2**t)
        square = g**2 + 1e-30
        if factored:
            r = b * r + (1 - b) * square.mean(-1, keepdims=True)
            c = b * c + (1 - b) * square.mean(-2, keepdims=True)
            second = r * c / r.mean(-2, keepdims=True)
        else:
            v = b * v + (1 - b) * square
            second = v
        x = g / np.sqrt(second)
        x = x / max(1.0, np.sqrt((x**2).mean()) / config.clip_threshold)
        scale = max(1e-3, np.sqrt((w**2).mean())) if config.scale_by_parameter else 1.0
        x = config.lr * scale * x
        if config.beta1:
            m = config.beta1 * m + (1 - config.beta1) * x
            x = m
        w = w * (1 - config.lr * config.weight_decay * (w.ndim >= 2)) - x
    return w


@pytest.mark.parametrize(
    "config",
    [
        Adafactor(),
        Adafactor(beta1=0.9),
        Adafactor(decay="adam", beta2=0.95, scale_by_parameter=False, lr=1e-3),
        Adafactor(weight_decay=0.1, clip_threshold=0.5),
        Adafactor(min_dim_factored=5),
        Adafactor(decay_exponent=0.5, beta1=0.5),
    ],
    ids=["plain", "momentum", "adam", "decay", "unfactored", "exponent"],
)
def test_every_option_is_the_formula(config: Adafactor) -> None:
    weights, steps = parameters(), gradients(20)
    start = {name: w.detach().double().numpy().copy() for name, w in weights.items()}
    train(optim.build(config, weights.items()), weights, steps)
    for name, w in weights.items():
        expected = by_formula(start[name], [s[name].double().numpy() for s in steps], config)
        np.testing.assert_allclose(w.detach().numpy(), expected, rtol=2e-6, atol=2e-7, err_msg=name)


def test_equal_to_torch_in_the_shared_subset() -> None:
    ours, theirs, steps = parameters(), parameters(), gradients(50)
    train(optim.build(Adafactor(lr=1e-2, weight_decay=0.1), ours.items()), ours, steps)
    shared = {n: w for n, w in theirs.items() if w.ndim >= 2}
    rest = {n: w for n, w in theirs.items() if w.ndim < 2}
    train(torch.optim.Adafactor(shared.values(), lr=1e-2, weight_decay=0.1), shared, steps)
    train(torch.optim.Adafactor(rest.values(), lr=1e-2), rest, steps)
    for name in SHAPES:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-6, atol=1e-6, msg=name)


def test_no_update_is_larger_than_the_clip() -> None:
    weights = parameters()
    before = {name: w.detach().clone() for name, w in weights.items()}
    config = Adafactor(lr=0.01, clip_threshold=0.3, scale_by_parameter=False)
    train(optim.build(config, weights.items()), weights, gradients(1))
    for name, w in weights.items():
        moved = float((w.detach() - before[name]).square().mean().sqrt())
        assert 0 < moved <= 0.01 * 0.3 * (1 + 1e-4), name


def test_a_matrix_costs_rows_plus_columns_in_fp32_whatever_its_dtype() -> None:
    weight = nn.Parameter(torch.zeros(300, 200, dtype=torch.bfloat16))
    optimizer = optim.build(Adafactor(), [("w.weight", weight)])
    state = optimizer.state[weight]
    assert {k: tuple(v.shape) for k, v in state.items()} == {
        "step": (),
        "row": (300,),
        "column": (200,),
    }
    assert all(value.dtype == torch.float32 for value in state.values())


def test_zero_gradient_and_missing_gradient() -> None:
    weights = parameters()
    before = {name: w.detach().clone() for name, w in weights.items()}
    optimizer = optim.build(Adafactor(beta1=0.9), weights.items())
    train(optimizer, weights, [{n: torch.zeros(s) for n, s in SHAPES.items()}])
    for w in weights.values():
        w.grad = None
    optimizer.step()
    for name, w in weights.items():
        assert torch.equal(w, before[name]), name
        assert float(optimizer.state[w]["step"]) == 1


def test_state_dict_continues_the_run_bit_for_bit() -> None:
    steps, config = gradients(12), Adafactor(beta1=0.9)
    whole = parameters()
    train(optim.build(config, whole.items()), whole, steps)
    first = parameters()
    optimizer = optim.build(config, first.items())
    train(optimizer, first, steps[:5])
    second = {name: nn.Parameter(w.detach().clone()) for name, w in first.items()}
    resumed = optim.build(config, second.items())
    resumed.load_state_dict(optimizer.state_dict())
    train(resumed, second, steps[5:])
    for name in SHAPES:
        assert torch.equal(whole[name], second[name]), name


def test_bf16_parameters_learn_with_fp32_statistics() -> None:
    torch.manual_seed(0)
    target = torch.randn(16, 16)
    weight = nn.Parameter(torch.zeros(16, 16, dtype=torch.bfloat16))
    optimizer = optim.build(Adafactor(lr=0.05, scale_by_parameter=False), [("w.weight", weight)])
    for _ in range(200):
        weight.grad = (weight.detach().float() - target).bfloat16()
        optimizer.step()
    assert float((weight.detach().float() - target).square().mean()) < 0.02
