"""Predicted memory against what tensors really take: on a CPU every byte can be counted."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from model_made import config, real, variants
from plan_held import Held, run, wider
from torch import Tensor

from m4nmt.data.types import Shape
from m4nmt.model.flow import Flow, Projection, Tokens
from m4nmt.model.settings import ModelConfig
from m4nmt.optim.settings import AdamW
from m4nmt.parallel.remat import remat
from m4nmt.parallel.settings import Host, KeepAll, ParallelConfig, Recompute, Remat, Selective
from m4nmt.parallel.stage import Wants, crossing
from m4nmt.plan.job import Job, job
from m4nmt.plan.memory import KINDS, device_bytes, stage_kept
from m4nmt.plan.trace import footprint
from m4nmt.train.loss import CrossEntropy

VARIANTS = variants()


def measured_peak(made: Job, model: ModelConfig, precision: str, rule: Remat) -> int:
    """Most bytes alive at once in three micro-batches, without weights; gradients stay."""
    net = real(model).train()
    remat(net, rule)
    B, S, T = made.piece
    src, tgt = torch.randint(1, model.vocab, (B, S)), torch.randint(1, model.vocab, (B, T))
    loss = CrossEntropy(0.1)

    def readout(x_BTD: Tensor, project: Projection) -> Tensor:
        return loss(x_BTD, project, tgt)[0]

    tokens = Tokens(src, tgt, readout=readout)
    outside = [*net.parameters(), src, tgt, tokens.src_mask_B11S]
    with Held(outside) as held, torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        for _ in range(3):
            net(tokens).x.backward()
    return held.peak


def predicted_peak(made: Job) -> float:
    found = device_bytes(made)[0].bytes
    assert set(found) == set(KINDS)
    return sum(found.values()) - found["weights"] - found["moments"]


HALF = ("PreNorm-top", "PostNorm-transparent", "qk-norm-rms", "soft-caps", "gated", "moe-top2")


@pytest.mark.parametrize(
    ("name", "precision"), [(n, "fp32") for n in VARIANTS] + [(n, "bf16") for n in HALF]
)
def test_peak_of_every_part_within_a_tenth(name: str, precision: Any) -> None:
    model = wider(VARIANTS[name])
    made = job(run(model, ParallelConfig(precision=precision, microbatches=3)), 1, "cpu")
    peak = measured_peak(made, model, precision, KeepAll())
    assert predicted_peak(made) == pytest.approx(peak, rel=0.1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("rule", [Recompute(), Recompute(every=2), Selective()], ids=str)
def test_peak_of_every_rule_within_a_tenth(rule: Remat, precision: Any) -> None:
    model = wider(config(n=3, m=3))
    parallel = ParallelConfig(precision=precision, remat=rule, microbatches=3)
    made = job(run(model, parallel), 1, "cpu")
    assert predicted_peak(made) == pytest.approx(
        measured_peak(made, model, precision, rule), rel=0.1
    )
    keeping = job(run(model, replace(parallel, remat=KeepAll())), 1, "cpu")
    assert predicted_peak(made) < 0.9 * predicted_peak(keeping)  # the control


KEPT = [
    *((n, KeepAll()) for n in ("PreNorm-top", "PreNorm-transparent", "DeepNorm-transparent")),
    *(("PreNorm-transparent", rule) for rule in (Recompute(), Recompute(every=2), Selective())),
]


@pytest.mark.parametrize(("name", "rule"), KEPT, ids=str)
@pytest.mark.parametrize("cut", [("enc001", "dec001"), ("bridge", "target"), ("target", "head")])
def test_stages_of_a_pipeline_keep_what_is_predicted(
    name: str, rule: Remat, cut: tuple[str, ...]
) -> None:
    """Each stage for itself: what it is given lies in buffers, what it gives is kept."""
    model = wider(VARIANTS[name])
    parallel = ParallelConfig(pipeline=3, cut=cut, schedule="gpipe", remat=rule)
    made = job(run(model, parallel), 3, "cpu")
    B, S, T = made.piece
    src, tgt = torch.randint(1, model.vocab, (B, S)), torch.randint(1, model.vocab, (B, T))
    tokens = Tokens(src, tgt, readout=lambda x, _: x.sum())
    for number, names in enumerate(made.stages):
        part = real(model, names=names).train()
        remat(part, rule)
        given = [
            torch.randn(t.shape, requires_grad=True)
            for t in crossing(model, names[0], Shape(*made.piece), torch.float32)
        ]
        flow = _flow(model, names[0], given) if number else None
        outside = [*part.parameters(), src, tgt, tokens.src_mask_B11S, *given]
        with Held(outside) as held:
            out = part(tokens, flow)
            kept = _sent(model, made, number, out)
            del out, flow
            assert stage_kept(made, number).alive == pytest.approx(held.now, rel=0.05, abs=9000)
        del kept


def _flow(model: ModelConfig, first: str, given: list[Tensor]) -> Flow:
    wants = Wants.of(model, first)
    rest = list(given)
    x = rest.pop(0) if wants.x else torch.zeros(0)
    return Flow(x, torch.zeros(1), tuple(rest))


def _sent(model: ModelConfig, made: Job, number: int, out: Flow) -> list[Tensor]:
    if number + 1 == len(made.stages):
        return [out.x]
    wants = Wants.of(model, made.stages[number + 1][0])
    return ([out.x] if wants.x else []) + list(out.carry if wants.carry else ())


def test_a_gpu_keeps_less_attention_and_smaller_masks() -> None:
    """Fused attention in bf16, where a CPU holds all scores; a byte for an element of dropout."""
    model = replace(wider(config()), memory=config().memory)
    piece = job(run(model, ParallelConfig()), 1, "cpu").piece
    long = piece._replace(src=256, tgt=256)
    on_cpu, on_gpu = (footprint(model, "enc000", long, "bf16", kind) for kind in ("cpu", "cuda"))
    assert on_gpu.own < 0.6 * on_cpu.own
    source = [footprint(model, "source", piece, "fp32", kind) for kind in ("cpu", "cuda")]
    assert source[0].own == 4 * source[1].own


def test_activations_grow_with_rows_and_copies_do_not() -> None:
    model = wider(config())
    piece = job(run(model, ParallelConfig()), 1, "cpu").piece
    for kind in ("cpu", "cuda"):
        one = footprint(model, "dec000", piece, "bf16", kind)
        two = footprint(model, "dec000", piece._replace(rows=2 * piece.rows), "bf16", kind)
        assert two.own == pytest.approx(2 * one.own, rel=0.01)
        matrices = 8 * 64 * 64 + 2 * 64 * 256
        assert (
            one.fixed == pytest.approx(two.fixed, abs=100) == pytest.approx(2 * matrices, abs=100)
        )


def test_a_copy_of_a_real_table_stays_in_the_models_caches() -> None:
    """Tensors without memory must not stay where a real model would find them."""
    model = wider(config())
    made = job(run(model, ParallelConfig()), 1, "cpu")
    assert measured_peak(made, model, "fp32", KeepAll()) > 0
    footprint(model, "dec000", made.piece._replace(rows=3), "fp32", "cpu")
    assert measured_peak(made, model, "fp32", KeepAll()) > 0


def test_what_is_alive_follows_the_schedule() -> None:
    model = wider(config(n=4, m=4))
    parallel = ParallelConfig(pipeline=4, microbatches=8, schedule="gpipe")
    gpipe = device_bytes(job(run(model, parallel), 4))
    flush = device_bytes(job(run(model, replace(parallel, schedule="1f1b")), 4))
    assert [d.alive for d in gpipe] == [(8,)] * 4
    assert [d.alive for d in flush] == [(4,), (3,), (2,), (1,)]
    for a, b, alive in zip(gpipe, flush, (4, 3, 2, 1), strict=True):
        assert b.bytes["activations"] == pytest.approx(a.bytes["activations"] * alive / 8, rel=0.03)
        assert a.bytes["buffers"] == b.bytes["buffers"]  # torch makes one for every micro-batch


def test_buffers_are_what_crosses_the_cuts() -> None:
    model = wider(config(n=4, m=4))
    parallel = ParallelConfig(pipeline=2, microbatches=4, cut=("dec001",))
    first, second = device_bytes(job(run(model, parallel), 2))
    crossed = 8 * 32 * 64 * 4 * 2  # stream and memory, rows x length x width x bytes
    assert first.bytes["buffers"] == second.bytes["buffers"] == 4 * crossed


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_sharding_divides_what_zero_says(zero: Any) -> None:
    model = wider(config(n=4, m=4))
    alone = device_bytes(job(run(model, ParallelConfig()), 1))[0]
    parallel = ParallelConfig(shard=4, zero=zero, microbatches=2)
    made = run(model, parallel)
    blocks = replace(made.data.blocks, rows_multiple=8, tokens=8 * 32)
    one = device_bytes(job(replace(made, data=replace(made.data, blocks=blocks)), 4))[0]
    assert one.bytes["weights"] == alone.bytes["weights"] / 4
    assert one.bytes["moments"] == pytest.approx(alone.bytes["moments"] / 4)
    whole = alone.bytes["weights"]
    assert (one.bytes["gathered"] >= whole) is (zero < 3)
    assert (one.bytes["gradients"] >= whole) is (zero == 1)


def test_tensor_parallelism_divides_matrices_and_tables() -> None:
    model = wider(config(n=4, m=4))
    one = device_bytes(job(run(model, ParallelConfig()), 1))[0]
    half = device_bytes(job(run(model, ParallelConfig(tensor=2)), 2))[0]
    assert half.parameters == pytest.approx(one.parameters / 2, rel=0.02)
    assert half.parameters > one.parameters / 2  # norms and last biases are whole on both
    assert 0.4 < half.bytes["activations"] / one.bytes["activations"] < 0.9


def test_offload_leaves_weights_and_moments_to_the_host() -> None:
    model = wider(config(n=4, m=4))
    moved = device_bytes(job(run(model, ParallelConfig(offload=Host())), 1))[0].bytes
    assert moved["weights"] == moved["moments"] == 0 < moved["gathered"]
    with pytest.raises(ValueError, match="offload with a pipeline"):
        job(run(model, ParallelConfig(offload=Host(), pipeline=2, microbatches=2)), 2)


def test_gpipe_keeps_the_losss_states_of_every_micro_batch_and_one_tables_gradient() -> None:
    model = wider(config(n=4, m=4))
    parallel = ParallelConfig(pipeline=2, microbatches=8, schedule="gpipe")
    gpipe = device_bytes(job(run(model, parallel), 2))[-1].bytes["logits"]
    flush = device_bytes(job(run(model, replace(parallel, schedule="1f1b")), 2))[-1].bytes["logits"]
    assert gpipe - flush == pytest.approx(7 * 4 * 64 * 8 * 32, rel=0.1)


def test_adamw_keeps_two_moments() -> None:
    model = wider(config())
    found = device_bytes(job(run(model, ParallelConfig(), AdamW()), 1))[0]
    assert found.bytes["moments"] == pytest.approx(2 * found.bytes["weights"], rel=0.01)
