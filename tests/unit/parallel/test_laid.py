"""The engine in one process: micro-batches, seeds, precision, weights in and out."""

import shutil

import pytest
import torch
from parallel_toys import batch, cross_entropy, distance, engine, gradients, norm, tiny
from torch import Tensor

from m4nmt.data.types import Batch
from m4nmt.model.flow import Projection, Tokens
from m4nmt.model.init import materialise
from m4nmt.model.translation import build
from m4nmt.parallel.apply import choose_device
from m4nmt.train.clip import total


def reference(b: Batch) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of the mean loss by plain autograd, no engine."""
    model = build(tiny())
    materialise(model, "cpu", 1)
    flow = model(Tokens(b.src_BS, b.tgt_BT, readout=lambda x, p: cross_entropy(x, p, b.out_BT)[0]))
    loss = flow.x / b.tokens
    loss.backward()
    named = model.canonical_parameters().items()
    return float(loss.detach()), {n: p.grad for n, p in named if p.grad is not None}


@pytest.mark.parametrize("microbatches", [1, 2, 4, 8])
def test_the_number_of_microbatches_changes_no_gradient(microbatches: int) -> None:
    b, made = batch(), engine(microbatches=microbatches)
    expected_loss, expected = reference(b)
    result = made.step(b)
    assert float(result.loss) == pytest.approx(expected_loss, rel=1e-6)
    assert distance(gradients(made), expected) < 1e-6
    assert total(made.grad_norms()) == pytest.approx(norm(expected), rel=1e-6)
    assert float(result.rows.nll_B.sum()) / b.tokens == pytest.approx(expected_loss, rel=1e-6)


def test_control_other_weights_or_one_other_token_change_every_gradient() -> None:
    b, expected = batch(), reference(batch())[1]
    other = engine(microbatches=4, seed=2)
    other.step(b)
    assert distance(gradients(other), expected) > 0.1
    changed = b.src_BS.clone()
    changed[-1, 0] = changed[-1, 0] % 50 + 1
    made = engine(microbatches=4)
    made.step(Batch(changed, b.tgt_BT, b.out_BT, b.direction_B, b.shape, b.tokens))
    found = gradients(made)
    assert all(not torch.equal(found[n], expected[n]) for n in found)


def test_a_second_step_starts_from_zero_gradients() -> None:
    b, made = batch(), engine(microbatches=2)
    made.step(b)
    first = gradients(made)
    made.step(b)
    assert distance(gradients(made), first) == 0


def test_a_piece_of_padding_alone_changes_nothing() -> None:
    b, made = batch(rows=4), engine(microbatches=2)
    made.step(b)
    expected = gradients(made)

    def longer(x_BL: Tensor) -> Tensor:
        return torch.cat([x_BL, torch.zeros_like(x_BL)])

    padded = Batch(
        longer(b.src_BS),
        longer(b.tgt_BT),
        longer(b.out_BT),
        longer(b.direction_B),
        b.shape,
        b.tokens,
    )
    made.step(padded)
    assert distance(gradients(made), expected) < 1e-6


def test_rows_that_do_not_divide_are_refused_in_training_and_taken_in_validation() -> None:
    made, whole = engine(microbatches=4), engine()
    with pytest.raises(ValueError, match="rows_multiple"):
        made.step(batch(rows=6))
    for rows in (6, 3):
        a, b = made.evaluate(batch(rows=rows)), whole.evaluate(batch(rows=rows))
        assert float(a.loss) == pytest.approx(float(b.loss), rel=1e-6)
        assert a.rows.nll_B.shape == (rows,)


def test_auxiliary_loss_counts_once_whatever_the_pieces() -> None:
    losses, norms = [], []
    for microbatches in (1, 4):
        made = engine(microbatches=microbatches)
        table = dict(made.named_parameters())["source.table"]
        made.stages[0].part.head.register_forward_hook(  # type: ignore[attr-defined]
            lambda _m, _i, flow, table=table: flow._replace(aux=flow.aux + table.square().sum())
        )
        losses.append(float(made.step(batch()).loss))
        norms.append(total(made.grad_norms()))
        assert losses[-1] > float(engine().step(batch()).loss) + 1
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def test_a_step_is_a_function_of_run_seed_and_step_whatever_was_drawn_before() -> None:
    b = batch()

    def run(step: int, seed: int = 1) -> tuple[Tensor, dict[str, Tensor]]:
        made = engine(dropout=0.3, microbatches=2, seed=seed)
        torch.rand(7)
        made.seed_step(step)
        return made.step(b).loss, gradients(made)

    (loss, found), (again, found_again) = run(5), run(5)
    assert torch.equal(loss, again)
    assert distance(found, found_again) == 0
    assert not torch.equal(loss, run(6)[0])
    a, other = engine(dropout=0.3, seed=1), engine(dropout=0.3, seed=2)
    with other.replaced_weights(a.full_weights()):
        assert torch.equal(other.evaluate(b).loss, a.evaluate(b).loss)
        assert not torch.equal(other.step(b).loss, a.step(b).loss)


def test_microbatches_of_equal_rows_see_different_dropout() -> None:
    made = engine(dropout=0.3, microbatches=2)
    half = batch(rows=4)
    twice = Batch(
        *(torch.cat([x, x]) for x in (half.src_BS, half.tgt_BT, half.out_BT, half.direction_B)),
        half.shape,
        2 * half.tokens,
    )
    nll_B = made.step(twice).rows.nll_B
    assert not torch.equal(nll_B[:4], nll_B[4:])
    made.seed_step(0)
    assert torch.equal(made.step(twice).rows.nll_B, nll_B)


def test_evaluation_has_no_dropout_and_leaves_no_trace() -> None:
    b = batch()
    made, plain = engine(dropout=0.3), engine(dropout=0.0)
    assert torch.equal(made.evaluate(b).loss, plain.evaluate(b).loss)
    made.seed_step(3)
    first = made.step(b).loss
    kept = gradients(made)
    made.evaluate(b)
    assert distance(gradients(made), kept) == 0
    made.seed_step(3)
    made.evaluate(b)
    assert torch.equal(made.step(b).loss, first)


def test_bf16_keeps_weights_gradients_and_sums_in_fp32() -> None:
    b = batch()
    made, exact = engine(precision="bf16", microbatches=4), engine()
    loss = made.step(b).loss
    exact_loss = exact.step(b).loss
    assert loss.dtype == torch.float32
    assert all(p.dtype == torch.float32 for _, p in made.named_parameters())
    found = gradients(made)
    assert all(g.dtype == torch.float32 for g in found.values())
    assert float(loss) == pytest.approx(float(exact_loss), rel=1e-2)
    assert 1e-4 < distance(found, gradients(exact)) < 0.05


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_told(value: float) -> None:
    def poisoned(x_BTD: Tensor, project: Projection, out_BT: Tensor) -> tuple[Tensor, Tensor]:
        total, nll_B = cross_entropy(x_BTD, project, out_BT)
        return total * value, nll_B

    made = engine(loss=poisoned, microbatches=2)
    assert not made.step(batch()).finite
    assert not made.evaluate(batch()).finite
    assert engine().step(batch()).finite is True


def test_the_norm_of_a_large_gradient_is_exact() -> None:
    made = engine()
    made.step(batch())
    name, table = next(iter(made.named_parameters()))
    assert name == "source.table"
    for _, p in made.named_parameters():
        p.grad = None
    table.data = torch.zeros(8000, 512)
    table.grad = torch.randn(8000, 512, generator=torch.Generator().manual_seed(0))
    exact = float(torch.linalg.vector_norm(table.grad.double()))
    assert total(made.grad_norms()) == pytest.approx(exact, rel=1e-6)


def test_gradients_are_scaled_in_place_together_or_each_by_its_own() -> None:
    made = engine()
    made.step(batch())
    before = gradients(made)
    made.scale_grads(0.25)
    after = gradients(made)
    assert all(torch.equal(after[n], before[n] * 0.25) for n in before)
    made.scale_grads({n: 2.0 if n == "source.table" else 1.0 for n in before})
    again = gradients(made)
    assert torch.equal(again["source.table"], after["source.table"] * 2)
    assert all(torch.equal(again[n], after[n]) for n in before if n != "source.table")


def test_full_weights_are_whole_copies_with_a_tied_table_once() -> None:
    made = engine()
    weights = made.full_weights()
    assert "source.table" in weights
    assert not {"target.table", "head.table"} & weights.keys()
    own = dict(made.named_parameters())
    assert weights.keys() == own.keys()
    for name, w in weights.items():
        assert w.dtype == torch.float32
        assert w.device.type == "cpu"
        assert torch.equal(w, own[name])
        w.zero_()
    assert own["source.table"].any()


def test_replaced_weights_are_used_inside_and_gone_after() -> None:
    made, other, b = engine(seed=1), engine(seed=2), batch()
    mine, theirs = made.evaluate(b).loss, other.evaluate(b).loss
    before = made.full_weights()
    with made.replaced_weights(other.full_weights()):
        assert torch.equal(made.evaluate(b).loss, theirs)
    assert torch.equal(made.evaluate(b).loss, mine)
    with pytest.raises(KeyError), made.replaced_weights(other.full_weights()):
        raise KeyError
    after = made.full_weights()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_replaced_weights_of_another_model_are_refused() -> None:
    made = engine()
    weights = made.full_weights()
    short = {n: w for n, w in weights.items() if n != "source.table"}
    reshaped = {**weights, "source.table": torch.zeros(3, 3)}
    for wrong in (short, {**weights, "extra": torch.zeros(1)}, reshaped):
        with pytest.raises(ValueError, match="another model"), made.replaced_weights(wrong):
            pass


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        engine(threads=before + 1)
        assert torch.get_num_threads() == before + 1
        engine(threads=0)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="sees no CUDA device"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == choose_device("cuda").type == "cuda"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile on a CPU needs c++")
def test_compiled_segments_give_the_same_numbers_and_names() -> None:
    b, plain, made = batch(), engine(microbatches=2), engine(microbatches=2, compile=True)
    assert float(made.step(b).loss) == pytest.approx(float(plain.step(b).loss), rel=1e-5)
    assert distance(gradients(made), gradients(plain)) < 1e-4
    assert made.full_weights().keys() == plain.full_weights().keys()
    assert float(made.evaluate(b).loss) == pytest.approx(float(plain.evaluate(b).loss), rel=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_gives_the_cpus_gradients(precision: str) -> None:
    from m4nmt.parallel.apply import parallelize
    from m4nmt.parallel.settings import ParallelConfig

    b = batch()
    config = ParallelConfig(device="cuda", microbatches=2, precision=precision)  # type: ignore[arg-type]
    made = parallelize(tiny(), config, cross_entropy, 1)
    loss, expected = float(made.step(b).loss), reference(b)
    assert loss == pytest.approx(expected[0], rel=1e-5 if precision == "fp32" else 2e-2)
    found = {n: g.cpu() for n, g in gradients(made).items()}
    assert distance(found, expected[1]) < (1e-4 if precision == "fp32" else 0.05)
    assert all(w.device.type == "cpu" for w in made.full_weights().values())
