"""Mixtures against brute force; experts in shards; cuts; statistics."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from model_made import VOCAB, config, ids, layer, mixtures, moe, real, tokens
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.utils.checkpoint import checkpoint

from m4nmt.model import experts, ffn
from m4nmt.model.experts import Arrived, Experts
from m4nmt.model.flow import PAD, Flow, Tokens
from m4nmt.model.moe import MoE, watch
from m4nmt.model.routing import summary
from m4nmt.model.settings import (
    DenseConfig,
    ExpertChoice,
    GatedConfig,
    MoEConfig,
    NoisyTopK,
    Switch,
    Top2,
    TopK,
)
from m4nmt.model.translation import segment_names

D = 8
EXPERTS = [
    DenseConfig(hidden=12),
    DenseConfig(hidden=12, activation="gelu", bias=False),
    GatedConfig(hidden=12, bias=True),
    GatedConfig(hidden=10),  # no multiple of 16 bytes: the loop
]
TOP4 = TopK(k=4)


def made(c: MoEConfig) -> MoE:
    torch.manual_seed(0)
    mixture = MoE(c, D, VOCAB, 1.0)
    for parameter in mixture.parameters():
        nn.init.normal_(parameter, std=0.5)
    return mixture


def given(rows: int = 5, length: int = 7) -> tuple[Tensor, Tensor, Tokens]:
    """States, their ids, the batch."""
    batch = tokens(rows, length)
    torch.manual_seed(1)
    return torch.randn(rows, length, D), batch.src_BS, batch


def one_expert(mixture: MoE, number: int) -> nn.Module:
    """An expert as a plain feed-forward that shares nothing."""
    part = ffn.build(mixture.config.expert, D, 0.0, 1.0)
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            parameter.copy_(mixture.experts.get_parameter(name)[number])
    return part


@pytest.mark.parametrize("expert", EXPERTS)
@pytest.mark.parametrize("k", [2, 4])
def test_dropless_equals_the_sum_of_all_experts_by_their_weights(expert: Any, k: int) -> None:
    mixture = made(moe(router=TopK(k=k), expert=expert))
    x_BLD, ids_BL, batch = given()
    x_BLD.requires_grad_()
    out_BLD, _ = mixture(x_BLD, ids_BL, batch)
    upstream = torch.randn_like(out_BLD)
    out_BLD.backward(upstream)
    got = [x_BLD.grad, mixture.experts.up.weight.grad, mixture.router.gate.weight.grad]

    parts = [one_expert(mixture, e) for e in range(4)]
    gate_ED = mixture.router.gate.weight.detach().clone().requires_grad_()
    other_BLD = x_BLD.detach().clone().requires_grad_()
    p_BLE = (other_BLD @ gate_ED.t()).softmax(-1)
    worst_BL1 = p_BLE.topk(k).values[..., -1:]
    share_BLE = p_BLE * (p_BLE >= worst_BL1)
    share_BLE = share_BLE / share_BLE.sum(-1, keepdim=True) * (ids_BL != PAD)[..., None]
    expected = sum(part(other_BLD) * share_BLE[..., e : e + 1] for e, part in enumerate(parts))
    assert isinstance(expected, Tensor)
    expected.backward(upstream)
    ups = torch.stack([part.up.weight.grad for part in parts])
    assert torch.allclose(out_BLD, expected, atol=1e-5)
    for a, b in zip(got, [other_BLD.grad, ups, gate_ED.grad], strict=True):
        assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("expert", EXPERTS)
def test_equal_experts_are_the_dense_twin(expert: Any) -> None:
    mixture = made(moe(expert=expert, router=Top2(capacity=4.0, random_second=False)))
    with torch.no_grad():
        for parameter in mixture.experts.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter))
    x_BLD, ids_BL, batch = given()
    real_BL1 = (ids_BL != PAD)[..., None]
    expected = one_expert(mixture, 0)(x_BLD) * real_BL1
    assert torch.allclose(mixture(x_BLD, ids_BL, batch)[0], expected, atol=1e-5)
    with torch.no_grad():
        mixture.experts.up.weight[1] += 1.0  # control
    assert not torch.allclose(mixture(x_BLD, ids_BL, batch)[0], expected, atol=1e-2)


def test_dropped_tokens_and_padding_get_nothing() -> None:
    mixture = made(moe(router=Switch(capacity=0.01)))
    x_BLD, ids_BL, batch = given(6, 9)
    out_BLD, _ = mixture(x_BLD, ids_BL, batch)
    empty_BL = (out_BLD == 0).all(-1)
    assert empty_BL[ids_BL == PAD].all()
    assert int((~empty_BL).sum()) <= 16  # four experts with four places
    assert empty_BL[ids_BL != PAD].any()
    assert not (mixture.eval()(x_BLD, ids_BL, batch)[0] == 0).all(-1)[ids_BL != PAD].any()


@pytest.mark.parametrize("name", ["grouped", "loop"])
def test_no_rows_at_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "loop":
        monkeypatch.setattr(experts, "ALIGNED", 1 << 20)
    mixture = made(moe())
    x_BLD, ids_BL, batch = given()
    x_BLD.requires_grad_()
    out_BLD, loss = mixture(x_BLD, torch.zeros_like(ids_BL), batch)
    (out_BLD.sum() + loss.sum()).backward()
    assert torch.equal(out_BLD, torch.zeros_like(out_BLD))
    for parameter in mixture.experts.parameters():
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))


@pytest.mark.parametrize("bias", [True, False])
def test_the_loop_equals_the_grouped_product(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for aligned in (16, 1 << 20):
        monkeypatch.setattr(experts, "ALIGNED", aligned)
        mixture = made(moe(expert=DenseConfig(hidden=12, bias=bias)))
        x_BLD, ids_BL, batch = given()
        out_BLD, loss = mixture(x_BLD, ids_BL, batch)
        (out_BLD.square().sum() + loss.sum()).backward()
        results.append([out_BLD.detach(), *(p.grad for p in mixture.parameters())])
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rule", [Top2(), Switch(), NoisyTopK(), TopK(), ExpertChoice()])
def test_gradients_reach_router_and_experts(rule: Any) -> None:
    mixture = made(moe(router=rule, jitter=0.1, dropout=0.1, z_loss=0.1))
    x_BLD, ids_BL, batch = given()
    for losses in (False, True):
        mixture.zero_grad()
        out_BLD, loss = mixture(x_BLD, ids_BL, batch)
        assert loss.shape == (1,)
        assert loss.dtype == torch.float32
        (loss if losses else out_BLD.square()).sum().backward()
        for name, parameter in mixture.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 1e-6)
            wanted = name == "router.gate.weight" or not losses
            assert reached or not wanted, name


def test_bf16_is_near_fp32_and_keeps_gradients_fp32() -> None:
    mixture, (x_BLD, ids_BL, batch) = made(moe(router=TOP4)), given()
    expected = mixture(x_BLD, ids_BL, batch)[0]
    with torch.autocast("cpu", torch.bfloat16):
        out_BLD, loss = mixture(x_BLD.bfloat16(), ids_BL, batch)
    assert out_BLD.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert ((out_BLD - expected).norm() / expected.norm()).item() < 0.02
    with torch.autocast("cpu", torch.bfloat16):
        assert mixture.experts(x_BLD[0], torch.tensor([2, 0, 1, 4])).dtype == torch.bfloat16
    out_BLD.float().square().sum().backward()
    assert mixture.experts.up.weight.grad.dtype == torch.float32


def test_expert_dropout() -> None:
    mixture, one = made(moe(router=TOP4, dropout=0.5)), given()
    assert not torch.equal(mixture(*one)[0], mixture(*one)[0])
    mixture.eval()
    assert torch.equal(mixture(*one)[0], mixture(*one)[0])


def test_a_sentence_goes_to_one_place_by_its_real_mean() -> None:
    mixture = made(moe(level="sentence", router=Switch())).eval()
    x_BLD, ids_BL, batch = given()
    out_BLD, _ = mixture(x_BLD, ids_BL, batch)
    for row in range(5):
        n = int((ids_BL[row] != PAD).sum())
        p_E = (x_BLD[row, :n].mean(0) @ mixture.router.gate.weight.t()).softmax(-1)
        expected = one_expert(mixture, int(p_E.argmax()))(x_BLD[row, :n]) * p_E.max()
        assert torch.allclose(out_BLD[row, :n], expected, atol=1e-5)
        assert torch.equal(out_BLD[row, n:], torch.zeros(7 - n, D))


def test_a_language_goes_to_one_place_beams_included() -> None:
    mixture = made(moe(level="language", router=Switch())).eval()
    src_BS = ids(3, 5)
    x_RLD, tgt_RT = torch.randn(6, 4, D), ids(6, 4, padded=False)
    out_RLD, _ = mixture(x_RLD, tgt_RT, Tokens(src_BS, tgt_RT, beams=2))
    for row in range(6):
        p_E = mixture.router.gate.table[src_BS[row // 2, 0]].softmax(-1)
        expected = one_expert(mixture, int(p_E.argmax()))(x_RLD[row]) * p_E.max()
        assert torch.allclose(out_RLD[row], expected, atol=1e-5)


class Ready:
    """An exchange whose rows are there already, as two ranks sent them."""

    def __init__(self, arrived: Arrived) -> None:
        self.arrived = arrived

    def there(self, x_ND: Tensor, counts_E: Tensor) -> Arrived:
        return self.arrived


@pytest.mark.parametrize("expert", EXPERTS)
def test_shards_of_experts_give_what_all_of_them_give(expert: Any) -> None:
    """Two ranks with two of four experts each, rows of two senders."""
    whole: Experts = made(moe(expert=expert)).experts
    counts_RE = torch.tensor([[3, 2, 0, 4], [1, 5, 3, 2]])
    x_R = [torch.randn(int(n.sum()), D) for n in counts_RE]
    expected_R = [whole(x, n) for x, n in zip(x_R, counts_RE, strict=True)]
    parts_R = [x.split(n.tolist()) for x, n in zip(x_R, counts_RE, strict=True)]
    got_RE: list[list[Tensor]] = [[], []]
    for owner in (0, 1):
        shard, mine = deepcopy(whole), slice(2 * owner, 2 * owner + 2)
        for parameter in shard.parameters():
            parameter.data = parameter.data[mine]
        sent_MD = torch.cat([part for parts in parts_R for part in parts[mine]])
        back: Callable[[Tensor], Tensor] = torch.neg  # seen below: the way back is taken
        shard.exchange = Ready(Arrived(sent_MD, counts_RE[:, mine], back))
        results = (-shard(x_R[0], counts_RE[0])).split(counts_RE[:, mine].flatten().tolist())
        got_RE[0] += results[:2]
        got_RE[1] += results[2:]
    for got, expected in zip(got_RE, expected_R, strict=True):
        assert torch.allclose(torch.cat(got), expected, atol=1e-5)
    wrong = torch.cat(got_RE[0][::-1])
    assert not torch.allclose(wrong, expected_R[0], atol=1e-3)


def test_an_experts_first_values_do_not_depend_on_the_others() -> None:
    stack = real(config(layer(ffn=moe())), noise=0.0).enc001.ffn.experts.up
    assert not torch.equal(stack.weight[0], stack.weight[1])
    bound = (6 / (16 + 24)) ** 0.5
    assert 0.95 * bound < stack.weight.abs().max().item() <= bound
    more = real(config(layer(ffn=moe(experts=6))), noise=0.0)
    assert torch.equal(more.enc001.ffn.experts.up.weight[:4], stack.weight)


def lost(c: Any, cuts: bool, lose_aux: bool = False) -> tuple[float, dict[str, Tensor]]:
    """Loss with the auxiliary one, and gradients; in one piece or cut between all segments."""
    names = segment_names(c)
    model, batch, flow, edges = real(c), tokens(), None, []
    for name in names if cuts else [None]:
        out = (model.part([name]) if name else model)(batch, flow)
        leaves = [t.detach().requires_grad_() for t in (out.x, out.aux, *out.carry)]
        edges.append((out, leaves))
        flow = Flow(leaves[0], leaves[1], tuple(leaves[2:]))
    last = edges.pop()[0]
    total = last.x.square().mean() + last.aux.sum()
    total.backward()
    for out, leaves in reversed(edges):
        pairs = list(zip((out.x, out.aux, *out.carry), [t.grad for t in leaves], strict=True))
        if lose_aux:
            del pairs[1]
        pairs = [(t, g) for t, g in pairs if g is not None and t.requires_grad]
        torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])
    return float(total.detach()), {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("name", mixtures())
def test_the_auxiliary_loss_survives_cuts(name: str) -> None:
    c = mixtures()[name]
    total, expected = lost(c, cuts=False)
    got, found = lost(c, cuts=True)
    assert got == total
    for parameter, gradient in expected.items():
        assert torch.allclose(found[parameter], gradient, rtol=1e-4, atol=1e-6), parameter


def test_control_a_lost_auxiliary_gradient_is_seen() -> None:
    c = mixtures()["moe-top2"]
    _, expected = lost(c, cuts=False)
    _, found = lost(c, cuts=True, lose_aux=True)
    gate = "enc000.ffn.router.gate.weight"
    assert not torch.allclose(found[gate], expected[gate], rtol=1e-2)


@pytest.mark.parametrize("name", mixtures())
def test_inference_adds_no_loss_and_training_does(name: str) -> None:
    model, batch = real(mixtures()[name]), tokens()
    balanced = name != "moe-choice"
    assert (model(batch).aux.item() > 0) == balanced
    assert model(batch).aux.requires_grad
    assert model.eval()(batch).aux.item() == 0.0


def test_statistics() -> None:
    c = config(layer(ffn=moe(router=Switch(capacity=0.5))))
    model, batch = real(c), tokens(6, 9)
    with watch(model) as notes:
        model(batch)
    assert sorted(notes) == [*(f"dec{i:03d}.ffn" for i in range(3)), "enc000.ffn", "enc001.ffn"]
    counts = notes["enc000.ffn"].counts()
    real_B = (batch.src_BS != PAD).sum(1)
    assert torch.equal(counts.tag_B, batch.src_BS[:, 0])
    assert torch.equal(counts.wanted_BE.sum(1), real_B)
    short = summary(counts)
    assert float(short.load_E.sum()) == pytest.approx(1.0)
    assert short.dropped == pytest.approx(1 - int(counts.kept_BE.sum()) / int(real_B.sum()))
    assert 0 < short.dropped < 1
    assert short.language_E.keys() == set(batch.src_BS[:, 0].tolist())
    total_E = torch.stack(list(short.language_E.values())).sum(0)
    assert torch.equal(total_E, counts.kept_BE.sum(0))
    assert torch.equal(summary(notes["dec000.ffn"].counts()).load_E.sum(), torch.tensor(1.0))


def test_statistics_count_a_recomputed_micro_batch_once_and_others_each() -> None:
    model = real(config(layer(ffn=moe(router=Top2()))))
    once, twice = tokens(3), tokens(4, 5)
    encoder = model.part(["source", "enc000"])
    with watch(model) as notes:
        for batch in (once, twice):
            x = checkpoint(lambda b: encoder(b).x, batch, use_reentrant=False)
            x.sum().backward()
    assert len(notes["enc000.ffn"].counts().tag_B) == 3 + 4
    with pytest.raises(ValueError, match="no mixture"):
        notes["dec000.ffn"].counts()
    model(tokens(2))  # no longer watched
    assert len(notes["enc000.ffn"].counts().tag_B) == 3 + 4


def test_padding_rows_are_no_language() -> None:
    model, batch = real(config(layer(ffn=moe()))), tokens(3)
    src_BS = torch.cat((batch.src_BS, torch.zeros_like(batch.src_BS[:1])))
    tgt_BT = torch.cat((batch.tgt_BT, torch.zeros_like(batch.tgt_BT[:1])))
    with watch(model) as notes:
        model(Tokens(src_BS, tgt_BT))
    assert PAD not in summary(notes["dec001.ffn"].counts()).language_E


def test_every_other_layer_is_data() -> None:
    c = config(n=4)
    moes = tuple(layer(ffn=moe()) if i % 2 else layer() for i in range(4))
    model = real(replace(c, encoder=moes))
    kinds = [isinstance(model.get_submodule(f"enc{i:03d}").ffn, MoE) for i in range(4)]
    assert kinds == [False, True, False, True]
    assert model(tokens()).aux.item() > 0


@pytest.fixture
def one_rank() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_weights_may_be_dtensors(one_rank: DeviceMesh) -> None:
    mixture, one = made(moe()), given()
    expected = mixture(*one)[0]
    for stack in (mixture.experts.up, mixture.experts.down):
        for name, parameter in list(stack.named_parameters()):
            sharded = distribute_tensor(parameter.detach(), one_rank, [Shard(0)])
            setattr(stack, name, nn.Parameter(sharded))
    out_BLD, _ = mixture(*one)
    assert torch.equal(out_BLD, expected)
    out_BLD.sum().backward()
    assert isinstance(mixture.experts.up.weight.grad, DTensor)
