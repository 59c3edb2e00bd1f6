"""Positions against plain Python and against the properties that name them."""

import math

import pytest
import torch
from model_made import config, ids, layer, real

from m4nmt.model import position
from m4nmt.model.flow import Tokens
from m4nmt.model.settings import Learned, RelativeBias, Rotary
from m4nmt.model.translation import build


@pytest.mark.parametrize("dim", [8, 9])
def test_sinusoids_equal_the_formula(dim: int) -> None:
    got = position.SinusoidsAdded()(torch.zeros(1, 5, dim), offset=3)[0]
    half = dim // 2
    for row, place in enumerate(range(3, 8)):
        for i in range(half):
            angle = place / 10000 ** (i / (half - 1))
            assert float(got[row, i]) == pytest.approx(math.sin(angle), abs=1e-6)
            assert float(got[row, half + i]) == pytest.approx(math.cos(angle), abs=1e-6)
    if dim % 2:
        assert float(got[:, -1].abs().max()) == 0.0


def test_sinusoids_made_in_inference_may_be_trained_with() -> None:
    position._sinusoids.cache_clear()
    position._rotations.cache_clear()
    position._angles.cache_clear()
    model = real(config(position=Rotary()))
    batch = Tokens(ids(2, 5), ids(2, 4))
    with torch.inference_mode():
        model(batch)
    model(batch).x.sum().backward()


def test_rotated_products_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    rotary = position.Rotations(10000.0, 8)
    q, k = torch.randn(2, 1, 1, 1, 8)

    def product(at_q: int, at_k: int) -> float:
        a, _ = rotary.rotate(q, q, at_q)
        b, _ = rotary.rotate(k, k, at_k)
        return float((a * b).sum())

    assert product(5, 2) == pytest.approx(product(105, 102), abs=1e-4)
    assert abs(product(5, 2) - product(5, 3)) > 1e-3
    assert float(rotary.rotate(q, k, 9)[0].norm()) == pytest.approx(float(q.norm()), rel=1e-5)


def test_rotation_equals_the_formula() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 6, 2, 8)
    got, _ = position.Rotations(100.0, 8).rotate(x, x, 2)
    for t in range(6):
        for i in range(4):
            angle = (t + 2) * 100.0 ** (-i / 4)
            turn = torch.tensor(
                [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
            )
            pair = slice(2 * i, 2 * i + 2)
            assert torch.allclose(got[0, t, :, pair], x[0, t, :, pair] @ turn.t(), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_ways_to_rotate_are_one(dtype: torch.dtype) -> None:
    turns = position._rotations(6, 4, 100.0, torch.device("cpu"))
    results = []
    for turn in (position._turn, position._turn_by_parts):
        torch.manual_seed(0)
        x = torch.randn(2, 6, 3, 8).to(dtype).requires_grad_()
        out = turn(x, turns)
        out.backward(torch.randn(2, 6, 3, 8).to(dtype))
        results.append((out.detach(), x.grad))
        assert out.dtype == dtype
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-6 if dtype == torch.float32 else 0.04)


def test_rotation_needs_pairs() -> None:
    with pytest.raises(ValueError, match="must be even, not 5"):
        build(config(layer(head_dim=5), position=Rotary()))


def plain_bucket(distance: int, bidirectional: bool, buckets: int, furthest: int) -> int:
    """T5's rule, one number at a time."""
    base = 0
    if bidirectional:
        buckets //= 2
        base = buckets if distance > 0 else 0
        n = abs(distance)
    else:
        n = max(-distance, 0)
    exact = buckets // 2
    if n < exact:
        return base + n
    share = math.log(n / exact) / math.log(furthest / exact)
    return base + min(exact + int(share * (buckets - exact) + 1e-12), buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 20), (16, 1000)])
def test_buckets_equal_plain_python(bidirectional: bool, buckets: int, furthest: int) -> None:
    distances = list(range(-1200, 1201))
    got = position.bucket(torch.tensor(distances), bidirectional, buckets, furthest)
    assert got.tolist() == [plain_bucket(d, bidirectional, buckets, furthest) for d in distances]
    assert set(got.tolist()) == set(range(buckets)) - ({buckets // 2} if bidirectional else set())


def test_a_relative_bias_is_the_same_along_diagonals_and_after_an_offset() -> None:
    biased = position.Biased(RelativeBias(buckets=8, distance=10), 2, bidirectional=False)
    torch.nn.init.normal_(biased.table)
    whole = biased.bias(6, 6)
    assert torch.equal(whole[:, 2, 1], whole[:, 5, 4])
    assert torch.equal(biased.bias(2, 6), whole[:, 4:])


def test_learned_positions_have_an_end() -> None:
    model = real(config(position=Learned(length=6))).eval()
    model(Tokens(ids(2, 6), ids(2, 6)))
    with pytest.raises(
        ValueError, match=r"7 tokens is longer than the 6 learned.*position\.length"
    ):
        model(Tokens(ids(2, 7), ids(2, 6)))


def test_position_matters_in_every_kind_and_would_not_without() -> None:
    """Swapping two source tokens changes the output; with no position at all it would not."""
    a = torch.tensor([[4, 5, 6, 7]])
    b = a[:, [1, 0, 2, 3]]
    tgt = torch.tensor([[2, 9]])
    for where in (Rotary(), RelativeBias(buckets=8), Learned(length=8)):
        model = real(config(position=where)).eval()
        assert not torch.allclose(model(Tokens(a, tgt)).x, model(Tokens(b, tgt)).x, atol=1e-4)
    model = real(config(position=Rotary())).eval()
    for segment in model.children():
        if hasattr(segment, "attention"):
            segment.attention.position = position.Unmoved()
    assert torch.allclose(model(Tokens(a, tgt)).x, model(Tokens(b, tgt)).x, atol=1e-4)


def test_the_encoder_tells_left_from_right_and_the_decoder_sees_further_back() -> None:
    """Half of the encoder's buckets are for keys on the right; the decoder needs none of those."""
    model = real(config(position=RelativeBias(buckets=8, distance=20)))
    bias = model.enc000.attention.position.bias(9, 9)
    assert not torch.allclose(bias[:, 4, 6], bias[:, 4, 2])
    causal = model.dec000.attention.position
    assert causal.bias(9, 9)[:, 8].unique(dim=1).shape[1] == 6  # distances 0 to 3, 4 to 5, 6 to 8
    assert torch.equal(causal.bias(9, 9)[:, 2, 6], causal.table[0])
