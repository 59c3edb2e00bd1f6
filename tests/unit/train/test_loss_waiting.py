"""Micro-batches whose losses wait together for their backward passes: as one after another, to the
bit, and with one gradient of the table among them."""

import pytest
import torch
from torch import Tensor

from m4nmt.model.embedding import Unsliced, Vocabulary
from m4nmt.train import loss
from m4nmt.train.loss import CrossEntropy

PIECES, VOCAB, DIM = 5, 40, 8


def pieces() -> list[tuple[Tensor, Tensor]]:
    """States and outputs of some micro-batches, with padding."""
    torch.manual_seed(3)
    states = [torch.randn(3, 6, DIM, requires_grad=True) for _ in range(PIECES)]
    return [(x, torch.randint(0, VOCAB, (3, 6))) for x in states]


def table() -> Tensor:
    return torch.randn(VOCAB, DIM, generator=torch.Generator().manual_seed(4)).requires_grad_()


def run(order: list[int], precision: str, *, together: bool) -> list[Tensor]:
    """Gradients of the table and of all states, backward in this order."""
    batch, table_VD, minimised = pieces(), table(), CrossEntropy(0.1, 1e-3)
    project = Vocabulary(table_VD, 0.0, Unsliced(VOCAB))

    def forward(number: int) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            x_BTD, out_BT = batch[number]
            objective: Tensor = minimised(x_BTD, project, out_BT)[0]
            return objective

    made = {number: forward(number) for number in range(PIECES)} if together else {}
    for number in order:
        objective = made.pop(number) if together else forward(number)
        (objective / 7).backward()  # outside of autocast
    assert not minimised.waiting
    found = [table_VD.grad, *(x.grad for x, _ in batch)]
    return [g for g in found if g is not None]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_waiting_together_changes_no_bit(order: list[int], precision: str) -> None:
    alone, together = (run(order, precision, together=way) for way in (False, True))
    assert len(alone) == len(together) == 1 + PIECES
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_one_gradient_of_the_table_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[bool] = []
    inner = loss._summed

    def watched(*args: object, **kwargs: object) -> object:
        computed.append(bool(kwargs.get("gradients", args[-1])))
        return inner(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loss, "_summed", watched)
    minimised, project = CrossEntropy(), Vocabulary(table(), 0.0, Unsliced(VOCAB))
    made = [minimised(x, project, out)[0] for x, out in pieces()]
    assert computed == [True, False, False, False, False]
    assert [g.dtable_VD.shape for g in minimised.waiting] == [(VOCAB, DIM)]
    made[1].backward()
    made[0].backward()
    assert computed[PIECES:] == [True]  # the first one's were there
    assert not minimised.waiting


def test_a_micro_batch_that_never_goes_back_is_not_waited_for() -> None:
    minimised, project = CrossEntropy(), Vocabulary(table(), 0.0, Unsliced(VOCAB))
    (x, out), *_ = pieces()
    objective, _ = minimised(x, project, out)
    assert len(minimised.waiting) == 1
    del objective
    assert not minimised.waiting
