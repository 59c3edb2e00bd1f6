"""Dropout: rate, mean, gradients, and that it belongs to training."""

import pytest
import torch

from m4nmt.model.dropout import Dropout, keep_mask


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rate_and_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    n = 1 << 18
    mask = keep_mask(torch.empty(n, dtype=dtype), p)
    values = mask.unique()
    assert len(values) == 2
    assert float(values[0]) == 0.0
    assert float(values[1]) == pytest.approx(1 / (1 - p), rel=5e-3)
    deviation = 4 * (p * (1 - p) / n) ** 0.5
    assert float((mask == 0).float().mean()) == pytest.approx(p, abs=deviation)


def test_elements_are_independent() -> None:
    """Neighbours (which share a random word), and the same place in the next draw."""
    torch.manual_seed(0)
    first, second = (keep_mask(torch.empty(1 << 18), 0.5) - 1.0 for _ in range(2))
    for lag in (1, 2, 3, 4, 5):
        assert abs(float((first[lag:] * first[:-lag]).mean())) < 0.01
    assert abs(float((first * second).mean())) < 0.01


@pytest.mark.parametrize("shape", [(3, 5, 7), (1,), (0, 4), (2, 8)])
def test_any_shape_and_the_seed_decides(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape)
    torch.manual_seed(3)
    first = keep_mask(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(keep_mask(x, 0.5), first)
    assert first.shape == shape


def test_a_mask_of_a_transposed_tensor() -> None:
    x = torch.ones(40, 30).t()
    assert keep_mask(x, 0.5).shape == x.shape
    assert float(Dropout(0.5)(x).mean()) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_a_join_is_a_sum_with_the_right_gradients(p: float) -> None:
    drop = Dropout(p)
    stream, x = (torch.randn(6, 50, requires_grad=True) for _ in range(2))
    torch.manual_seed(1)
    joined = drop.join(stream, x)
    torch.manual_seed(1)
    mask = keep_mask(x, p)
    assert torch.allclose(joined, stream + x * mask, atol=1e-6)
    upstream = torch.randn(6, 50)
    joined.backward(upstream)
    assert torch.allclose(stream.grad, upstream)
    assert torch.allclose(x.grad, upstream * mask)


def test_none_in_inference_and_at_zero() -> None:
    x = torch.randn(5, 5)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.5).eval().join(x, x), 2 * x)
    assert torch.equal(Dropout(0.0)(x), x)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_impossible_probabilities_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"lies in \[0, 1\)"):
        Dropout(p)
