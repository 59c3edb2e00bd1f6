"""The optimiser factory, its groups, and its state as named tensors."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from m4nmt import optim
from m4nmt.model.init import materialise
from m4nmt.model.settings import ModelConfig, Transparent, classic
from m4nmt.model.translation import build
from m4nmt.optim import state
from m4nmt.optim.groups import decay_groups
from m4nmt.optim.settings import Adafactor, AdamW, Optim

OPTIMISERS: list[Optim] = [AdamW(), Adafactor(), Adafactor(beta1=0.9, min_dim_factored=64)]


def test_only_weight_matrices_decay() -> None:
    tiny = classic(layers=1, dim=8, hidden=16, heads=2, vocab=11)
    config = ModelConfig(
        vocab=11, dim=8, encoder=tiny.encoder, decoder=tiny.decoder, memory=Transparent()
    )
    named = build(config).canonical_parameters()
    decayed, others = decay_groups(named.items(), 0.1)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    names = {name for name, _ in decayed["params"]}
    assert "enc000.attention.q.weight" in names
    assert all(named[n].ndim == 2 and n.endswith(".weight") for n in names)
    left = {name for name, _ in others["params"]}
    assert {"source.table", "source.memory.weight", "enc000.attention.q.bias"} <= left
    assert names | left == set(named)


def test_decay_moves_matrices_and_nothing_else() -> None:
    matrix, table = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3, 3))
    named = [("a.weight", matrix), ("a.table", table)]
    optimizer = optim.build(AdamW(lr=0.1, weight_decay=0.5), named)
    for p in (matrix, table):
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(matrix.detach(), torch.full((3, 3), 0.95))
    assert torch.equal(table, torch.ones(3, 3))


def test_adamw_is_fused_and_equal_to_the_plain_loop() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 60).view(6, 10)) for _ in range(2))
    config = AdamW(lr=1e-2, betas=(0.8, 0.95), eps=1e-2, weight_decay=0.1)
    fused = optim.build(config, [("a.weight", ours)])
    assert fused.param_groups[0]["fused"]
    plain = torch.optim.AdamW(
        [theirs], lr=1e-2, betas=(0.8, 0.95), eps=1e-2, weight_decay=0.1, foreach=False
    )
    for _ in range(20):
        ours.grad = torch.randn(6, 10)
        theirs.grad = ours.grad.clone()
        fused.step()
        plain.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("config", OPTIMISERS, ids=str)
def test_state_is_there_before_the_first_step_and_keeps_its_names(config: Optim) -> None:
    named = [("a.weight", nn.Parameter(torch.ones(4, 5))), ("a.bias", nn.Parameter(torch.ones(4)))]
    optimizer = optim.build(config, named)
    before = state.tensors(optimizer)
    assert all(not value.any() for value in before.values())
    for _, p in named:
        p.grad = torch.ones_like(p)
    optimizer.step()
    after = state.tensors(optimizer)
    assert list(before) == list(after)
    assert all(after[name] is before[name] for name in before)
    assert all(value.any() for value in after.values())
    assert {name.rpartition(".")[0] for name in after} == {"a.weight", "a.bias"}


@pytest.mark.parametrize("config", OPTIMISERS, ids=str)
def test_state_copied_in_place_continues_bit_for_bit(config: Optim) -> None:
    def fresh() -> tuple[nn.Parameter, torch.optim.Optimizer]:
        p = nn.Parameter(torch.linspace(-1, 1, 20).view(4, 5))
        return p, optim.build(config, [("a.weight", p)])

    def step(p: nn.Parameter, optimizer: torch.optim.Optimizer, seed: int) -> None:
        p.grad = torch.randn(4, 5, generator=torch.Generator().manual_seed(seed))
        optimizer.step()

    p, first = fresh()
    for seed in range(4):
        step(p, first, seed)
    q, second = fresh()
    for name, value in state.tensors(second).items():
        value.copy_(state.tensors(first)[name])
    with torch.no_grad():
        q.copy_(p)
    step(p, first, 99)
    step(q, second, 99)
    assert torch.equal(p, q)


def test_a_tied_table_given_twice_is_refused() -> None:
    table = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match="twice"):
        optim.build(AdamW(), [("source.table", table), ("head.table", table)])
    with pytest.raises(ValueError, match="at least one"):
        optim.build(AdamW(), [])


def test_every_parameter_of_a_model_has_state() -> None:
    model = build(classic(layers=1, dim=8, hidden=16, heads=2, vocab=11))
    materialise(model, "cpu", 1)
    optimizer = optim.build(AdamW(), model.canonical_parameters().items())
    assert len(state.tensors(optimizer)) == 3 * len(model.canonical_parameters())


def test_split_parameters_are_updated_beside_whole_ones(tmp_path: Path) -> None:
    """Tensor parallelism splits biases and leaves norms whole; a fused update takes no mixture."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        split = nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
        whole = nn.Parameter(torch.ones(4))
        optimizer = optim.build(AdamW(lr=0.1), [("up.bias", split), ("norm.weight", whole)])
        split.grad, whole.grad = torch.ones_like(split), torch.ones_like(whole)
        optimizer.step()
        torch.testing.assert_close(split.to_local(), whole)
        assert float(whole.mean()) < 1
    finally:
        dist.destroy_process_group()
