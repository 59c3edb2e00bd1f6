"""The chunked loss against torch's own cross-entropy, in value and gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from m4nmt.model.embedding import Unsliced, Vocabulary
from m4nmt.model.flow import PAD
from m4nmt.train import loss
from m4nmt.train.loss import CrossEntropy


def case(rows: int = 3, length: int = 7, vocab: int = 23, dim: int = 8) -> tuple[Tensor, ...]:
    """States, table and right-padded outputs; the last row is nothing but padding."""
    torch.manual_seed(rows * 100 + length)
    x_BTD = torch.randn(rows, length, dim, dtype=torch.float64, requires_grad=True)
    table_VD = torch.randn(vocab, dim, dtype=torch.float64, requires_grad=True)
    out_BT = torch.randint(1, vocab, (rows, length))
    out_BT[-1] = PAD
    out_BT[0, length // 2 :] = PAD
    return x_BTD, table_VD, out_BT


def reference(x: Tensor, table: Tensor, out: Tensor, e: float, z: float, cap: float) -> Tensor:
    """All logits at once, torch's label smoothing."""
    logits = x @ table.t()
    logits = cap * torch.tanh(logits / cap) if cap else logits
    logits, out = logits.flatten(0, 1), out.flatten()
    smooth = F.cross_entropy(logits, out, label_smoothing=e, ignore_index=PAD, reduction="sum")
    return smooth + z * (logits.logsumexp(1)[out != PAD] ** 2).sum()


def projection(table_VD: Tensor, cap: float) -> Vocabulary:
    return Vocabulary(table_VD, cap, Unsliced(table_VD.shape[0]))


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "FEWEST_ROWS", 4)
    monkeypatch.setattr(loss, "ELEMENTS_CPU", 1)


@pytest.mark.parametrize("cap", [0.0, 1.5])
@pytest.mark.parametrize(("e", "z"), [(0.0, 0.0), (0.1, 0.0), (0.2, 1e-2)])
def test_value_and_gradients_are_those_of_torch(e: float, z: float, cap: float) -> None:
    x, table, out = case()
    expected = reference(x, table, out, e, z, cap)
    wanted = torch.autograd.grad(expected * 0.37, (x, table))
    x32, table32 = (t.detach().float().requires_grad_() for t in (x, table))
    objective, _ = CrossEntropy(e, z)(x32, projection(table32, cap), out)
    got = torch.autograd.grad(objective * 0.37, (x32, table32))
    assert objective.dtype == torch.float32
    torch.testing.assert_close(objective.double(), expected, rtol=1e-6, atol=1e-6)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cap", [0.0, 1.5])
def test_row_sums_are_plain_log_probabilities(cap: float) -> None:
    x, table, out = case()
    logits = x @ table.t()
    logits = cap * torch.tanh(logits / cap) if cap else logits
    nll_BT = -logits.log_softmax(-1).gather(2, out[..., None])[..., 0] * (out != PAD)
    _, nll_B = CrossEntropy(0.1, 1e-3)(x.float(), projection(table.float(), cap), out)
    assert not nll_B.requires_grad
    torch.testing.assert_close(nll_B.double(), nll_BT.sum(1), rtol=1e-6, atol=1e-5)
    assert nll_B[-1] == 0


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 4), length=st.integers(1, 9), chunk=st.integers(1, 12))
def test_the_chunk_size_changes_nothing(rows: int, length: int, chunk: int) -> None:
    x, table, out = case(rows, length)
    expected = reference(x, table, out, 0.1, 0.0, 0.0)
    wanted = torch.autograd.grad(expected, table)[0]
    x32, table32 = x.detach().float(), table.detach().float().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss, "FEWEST_ROWS", chunk)
        objective, _ = CrossEntropy(0.1)(x32, projection(table32, 0.0), out)
    objective.backward()
    torch.testing.assert_close(objective.double(), expected, rtol=1e-6, atol=1e-6)
    assert table32.grad is not None
    torch.testing.assert_close(table32.grad.double(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cap", [0.0, 2.0])
def test_a_batch_of_padding_has_zero_loss_and_zero_gradients(cap: float) -> None:
    x, table, out = case()
    x32, table32 = (t.detach().float().requires_grad_() for t in (x, table))
    objective, nll_B = CrossEntropy(0.1)(x32, projection(table32, cap), torch.zeros_like(out))
    objective.backward()
    assert objective == 0
    assert not nll_B.any()
    assert x32.grad is not None
    assert not x32.grad.any()


def test_bf16_products_keep_an_fp32_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact but for the rounding of the products themselves."""
    monkeypatch.setattr(loss, "FEWEST_ROWS", 1000)
    torch.manual_seed(0)
    x = torch.randn(2, 16, 32).bfloat16().float().requires_grad_()
    table = (torch.randn(500, 32) * 0.3).bfloat16().float().requires_grad_()
    out = torch.randint(1, 500, (2, 16))
    rounded = (x.bfloat16().flatten(0, 1) @ table.bfloat16().t()).float()
    exact = F.cross_entropy(rounded, out.flatten(), reduction="none").view(2, 16).sum(1)
    with torch.autocast("cpu", torch.bfloat16):
        objective, nll_B = CrossEntropy(0.1)(x, projection(table, 0.0), out)
    torch.testing.assert_close(nll_B, exact.detach(), rtol=1e-5, atol=0)
    expected = reference(x, table, out, 0.1, 0.0, 0.0)
    wanted = torch.autograd.grad(expected, (x, table))
    got = torch.autograd.grad(objective, (x, table))
    assert objective.dtype == got[0].dtype == got[1].dtype == torch.float32
    torch.testing.assert_close(objective, expected, rtol=2e-3, atol=0)
    for a, b in zip(got, wanted, strict=True):
        assert (a - b).norm() < 1e-2 * b.norm()


def test_no_gradient_is_computed_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    x, table, out = case()
    monkeypatch.setattr(torch.Tensor, "scatter_add_", lambda *_: pytest.fail("gradient work"))
    with torch.inference_mode():
        objective, _ = CrossEntropy(0.1)(x.float(), projection(table.float(), 0.0), out)
    assert objective > 0


def test_never_holds_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    mm = torch.mm

    def watched(a: Tensor, b: Tensor, **kwargs: Tensor) -> Tensor:
        seen.append(a.shape[0])
        return mm(a, b, **kwargs)

    monkeypatch.setattr(torch, "mm", watched)
    x, table, out = case(rows=5, length=6)
    CrossEntropy()(x.float(), projection(table.float(), 0.0), out)
    assert sum(seen) == int((out != PAD).sum())
    assert max(seen) == 4


def test_refuses_a_smoothing_that_is_no_share() -> None:
    with pytest.raises(ValueError, match="label_smoothing"):
        CrossEntropy(1.0)
