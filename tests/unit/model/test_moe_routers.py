"""Each router against its formula in plain loops; queues, places and groups by hand."""

import math
from typing import Any

import pytest
import torch
from model_made import moe
from torch import Tensor

from m4nmt.core.config import ConfigError, from_dict
from m4nmt.model import routers
from m4nmt.model.routers import Chosen, Groups, Units, admitted, grouped, places
from m4nmt.model.settings import (
    DenseConfig,
    ExpertChoice,
    LayerConfig,
    ModelConfig,
    MoEConfig,
    NoisyTopK,
    Switch,
    Top2,
    TopK,
)

U, D, E = 30, 6, 4
Kept = dict[tuple[int, int], float]  # (unit, expert) -> weight


def made(config: MoEConfig) -> routers.Router[Any]:
    torch.manual_seed(1)
    router = routers.build(config, D, 50)
    for parameter in router.parameters():
        torch.nn.init.normal_(parameter)
    return router


def units(rows: int = 5) -> Units:
    """Some of them padding, at the end of rows."""
    torch.manual_seed(2)
    real_BL = torch.ones(rows, U // rows, dtype=torch.bool)
    for row in range(rows):
        real_BL[row, U // rows - row % 3 :] = row % 3 == 0
    return Units(torch.randn(U, D), real_BL.flatten(), rows)


def found(chosen: Chosen) -> Kept:
    """What was kept."""
    kept = {}
    for unit, choice in chosen.kept_UK.nonzero().tolist():
        expert = int(chosen.expert_UK[unit, choice])
        kept[unit, expert] = chosen.weight_UK[unit, choice].item()
    return kept


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def ranked(row: list[float]) -> list[int]:
    """Experts, best first."""
    return sorted(range(len(row)), key=lambda e: -row[e])


def logits_of(router: routers.Router[Any], given: Units) -> list[list[float]]:
    rows: list[list[float]] = (given.input @ router.gate.weight.t()).tolist()
    return rows


def split(given: Units, size: int) -> list[list[int]]:
    """Groups of real units."""
    real = [u for u in range(U) if given.real_U[u]]
    size = size or U
    return [real[i : i + size] for i in range(0, len(real), size)]


def room(members: int, k: int, capacity: float) -> int:
    """GShard's places of an expert."""
    places = int(k * members * capacity / E)
    while places < 4 or places % 4:
        places += 1
    return places


def by_hand(
    logits: list[list[float]],
    given: Units,
    k: int,
    capacity: float,
    size: int,
    weights: Any,
    skip: Any = lambda unit, weight: False,
) -> tuple[Kept, int, float]:
    """Queue choice by choice; kept, number dropped, loss with the first choices of `counted`."""
    kept: Kept = {}
    dropped, loss, everyone = 0, 0.0, sum(len(g) for g in split(given, size))
    for members in split(given, size):
        used, mean, first = [0] * E, [0.0] * E, [0.0] * E
        for choice in range(k):
            for u in members:
                expert = ranked(logits[u])[choice]
                weight = weights(logits[u])[choice]
                if choice and skip(u, weight):
                    continue
                if used[expert] < room(len(members), k, capacity):
                    used[expert] += 1
                    kept[u, expert] = weight
                else:
                    dropped += 1
        for u in members:
            first[ranked(logits[u])[0]] += 1 / len(members)
            for e, p in enumerate(softmax(logits[u])):
                mean[e] += p / len(members)
        even = E * sum(m * c for m, c in zip(mean, first, strict=True))
        loss += even * len(members) / everyone
    return kept, dropped, loss


def two_shares(row: list[float]) -> list[float]:
    p = sorted(softmax(row), reverse=True)
    return [p[0] / (p[0] + p[1]), p[1] / (p[0] + p[1])]


@pytest.mark.parametrize("size", [0, 12])
@pytest.mark.parametrize("capacity", [0.25, 10.0])
@pytest.mark.parametrize("drawn", [False, True])
def test_top2(size: int, capacity: float, drawn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Top2(capacity=capacity, random_second=drawn, threshold=0.6)
    router, given = made(moe(router=rule, group=size, balance=1.0)), units()
    draws_U = torch.rand(U)
    monkeypatch.setattr(routers.torch, "rand_like", lambda like: draws_U.to(like))
    chosen, loss = router(given)

    def skip(unit: int, weight: float) -> bool:
        return drawn and not float(draws_U[unit]) < weight / 0.6

    logits = logits_of(router, given)
    kept, dropped, even = by_hand(logits, given, 2, capacity, size, two_shares, skip)
    assert found(chosen) == pytest.approx(kept, rel=1e-5)
    assert int(chosen.wanted_UK.sum() - chosen.kept_UK.sum()) == dropped
    assert (dropped > 0) == (capacity < 1)
    assert loss.item() == pytest.approx(even, rel=1e-5)


@pytest.mark.parametrize("size", [0, 12])
@pytest.mark.parametrize("capacity", [0.25, 10.0])
def test_switch(size: int, capacity: float) -> None:
    config = moe(router=Switch(capacity=capacity), group=size, balance=1.0)
    router, given = made(config), units()
    chosen, loss = router(given)

    def probability(row: list[float]) -> list[float]:
        return [max(softmax(row))]

    kept, dropped, even = by_hand(logits_of(router, given), given, 1, capacity, size, probability)
    assert found(chosen) == pytest.approx(kept, rel=1e-5)
    assert int(chosen.wanted_UK.sum() - chosen.kept_UK.sum()) == dropped
    assert (dropped > 0) == (capacity < 1)
    assert loss.item() == pytest.approx(even, rel=1e-5)


def test_topk_drops_nothing_and_counts_all_choices() -> None:
    router, given = made(moe(router=TopK(k=3), balance=1.0)), units()
    chosen, loss = router(given)
    kept: Kept = {}
    mean, count = [0.0] * E, [0.0] * E
    real = split(given, 0)[0]
    for u in real:
        row = logits_of(router, given)[u]
        p = softmax(row)
        best = ranked(row)[:3]
        for e in range(E):
            mean[e] += p[e] / len(real)
            count[e] += (e in best) / (3 * len(real))
        kept |= {(u, e): p[e] / sum(p[b] for b in best) for e in best}
    assert found(chosen) == pytest.approx(kept, rel=1e-5)
    assert loss.item() == pytest.approx(
        E * sum(m * c for m, c in zip(mean, count, strict=True)), rel=1e-5
    )


def normal_below(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def squared_variation(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / len(values) / mean**2


def test_noisy_topk(monkeypatch: pytest.MonkeyPatch) -> None:
    router, given = made(moe(router=NoisyTopK(k=2, capacity=9.0), balance=1.0)), units()
    draws_UE = torch.randn(U, E)
    monkeypatch.setattr(routers.torch, "randn_like", lambda like: draws_UE.to(like))
    chosen, loss = router(given)
    kept: Kept = {}
    importance, load = [0.0] * E, [0.0] * E
    raw: list[list[float]] = (given.input @ router.noise.weight.t()).tolist()
    for u in split(given, 0)[0]:
        clean = logits_of(router, given)[u]
        spread = [math.log1p(math.exp(value)) + routers.NOISE_FLOOR for value in raw[u]]
        noisy = [c + float(d) * s for c, d, s in zip(clean, draws_UE[u], spread, strict=True)]
        best = ranked(noisy)[:2]
        shares = softmax([noisy[e] for e in best])
        kept |= {(u, e): share for e, share in zip(best, shares, strict=True)}
        for e, share in zip(best, shares, strict=True):
            importance[e] += share
        for e in range(E):
            rival = sorted((noisy[o] for o in range(E) if o != e), reverse=True)[1]
            load[e] += normal_below((clean[e] - rival) / spread[e])
    assert found(chosen) == pytest.approx(kept, rel=1e-4)
    expected = squared_variation(importance) + squared_variation(load)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("capacity", [0.5, 2.0, 4.0])
def test_expert_choice(training: bool, capacity: float) -> None:
    router, given = made(moe(router=ExpertChoice(capacity=capacity))).train(training), units()
    chosen, _ = router(given)
    logits, kept = logits_of(router, given), {}
    for row in range(given.rows):
        here = [u for u in range(row * 6, row * 6 + 6) if given.real_U[u]]
        for e in range(E):
            best = sorted(here, key=lambda u: -softmax(logits[u])[e])
            for u in best[: math.ceil(len(here) * capacity / E)]:
                kept[u, e] = softmax(logits[u])[e]
    assert found(chosen) == pytest.approx(kept, rel=1e-5)


def test_z_loss_and_weights_of_losses() -> None:
    given = units()
    router = made(moe(balance=0.0, z_loss=0.5))
    logits = [row for row, real in zip(logits_of(router, given), given.real_U, strict=True) if real]
    squares = [math.log(sum(math.exp(value) for value in row)) ** 2 for row in logits]
    assert router(given)[1].item() == pytest.approx(0.5 * sum(squares) / len(squares), rel=1e-5)
    one, three = (made(moe(balance=b))(given)[1].item() for b in (0.1, 0.3))
    assert three == pytest.approx(3 * one)


def test_places_are_gshards() -> None:
    """int(S cf / E) with cf = k * capacity; 4 at least, up to a multiple of 4."""
    real_G = torch.tensor([0, 3, 24, 25, 1024, 1000])
    assert places(real_G, 2, 1.0, 4).tolist() == [4, 4, 12, 12, 512, 500]
    assert places(real_G, 2, 1.0, 128)[4] == 16
    assert places(real_G, 2, 1.0, 48)[5] == 44
    assert places(torch.tensor([6]), 2, 1.0, 2).tolist() == [8]
    assert places(torch.tensor([64]), 1, 1.25, 8).tolist() == [12]


def test_second_choices_queue_after_all_first_ones() -> None:
    """Experts 0 and 1 with four places each; unit 5 is padding."""
    expert_UK = torch.tensor([[0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [1, 0], [1, 0]])
    real_U = torch.tensor([1, 1, 1, 1, 1, 0, 1], dtype=torch.bool)
    wanted_UK = real_U[:, None].expand(-1, 2)
    chosen = Chosen(expert_UK, torch.ones(7, 2), wanted_UK, wanted_UK)
    groups = Groups(torch.zeros(7, dtype=torch.long), torch.tensor([6]))
    kept_UK = admitted(chosen, groups, torch.tensor([4]), 2).kept_UK
    assert kept_UK[:, 0].tolist() == [True, True, True, True, False, False, True]
    assert kept_UK[:, 1].tolist() == [True, True, True, False, False, False, False]


def test_groups_count_real_units_only_and_do_not_share_places() -> None:
    real_U = torch.tensor([1, 0, 1, 1, 0, 1, 1], dtype=torch.bool)
    of_U, real_G = grouped(real_U, 2)
    assert of_U[real_U].tolist() == [0, 0, 1, 1, 2]
    assert real_G.tolist() == [2, 2, 1, 0]
    expert_UK = torch.zeros(10, 1, dtype=torch.long)
    wanted_UK = torch.ones(10, 1, dtype=torch.bool)
    chosen = Chosen(expert_UK, torch.ones(10, 1), wanted_UK, wanted_UK)
    groups = grouped(wanted_UK[:, 0], 5)
    kept_UK = admitted(chosen, groups, torch.tensor([4, 3]), 3).kept_UK
    assert kept_UK[:, 0].tolist() == [True] * 4 + [False] + [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    "rule", [Top2(capacity=0.01), Switch(capacity=0.01), NoisyTopK(capacity=0.01), TopK()]
)
def test_inference_draws_nothing_and_drops_nothing(rule: Any) -> None:
    router, given = made(moe(router=rule, jitter=0.0 if rule == TopK() else 0.3)), units()
    torch.manual_seed(3)
    trained = found(router(given)[0])
    router.eval()
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    chosen, loss = router(given)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(chosen.kept_UK, given.real_U[:, None].expand_as(chosen.kept_UK))
    assert float(loss) == 0.0
    for u in (0, 7):
        alone = router(Units(given.input[u : u + 1], torch.tensor([True]), 1))[0]
        assert torch.equal(alone.expert_UK[0], chosen.expert_UK[u])
        assert torch.allclose(alone.weight_UK[0], chosen.weight_UK[u])
    assert (trained == pytest.approx(found(chosen))) == (rule == TopK())


@pytest.mark.parametrize("rule", [Top2(), Switch(), NoisyTopK(), TopK(), ExpertChoice()])
def test_probabilities_are_fp32_under_autocast(rule: Any) -> None:
    router, given = made(moe(router=rule)).eval(), units()
    with torch.autocast("cpu", torch.bfloat16):
        chosen = router(given)[0]
    assert chosen.weight_UK.dtype == torch.float32
    assert found(chosen) == found(router(given)[0])


@pytest.mark.parametrize("rule", [Top2(), Switch(), NoisyTopK(), TopK(), ExpertChoice()])
def test_padding_changes_nothing(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units that are padding are neither chosen nor counted, whatever they hold."""
    for name in ("rand_like", "randn_like"):
        monkeypatch.setattr(routers.torch, name, lambda like: torch.full_like(like, 0.3))
    router, given = made(moe(router=rule, group=0, z_loss=0.1)), units()
    other_UD = given.input + 5 * (~given.real_U)[:, None]
    (one, first), (two, second) = router(given), router(given._replace(input=other_UD))
    assert found(one) == found(two)
    assert {u for u, _ in found(one)} <= set(given.real_U.nonzero().flatten().tolist())
    assert first.item() == pytest.approx(second.item(), rel=1e-6)
    control = router(given._replace(input=given.input + 5))[1]
    assert control.item() != pytest.approx(first.item(), rel=1e-3)


def test_jitter_and_seed() -> None:
    router, given = made(moe(jitter=0.4)), units()
    torch.manual_seed(0)
    first = router(given)[1]
    assert not torch.equal(router(given)[1], first)
    torch.manual_seed(0)
    assert torch.equal(router(given)[1], first)


def test_tags_have_their_own_logits() -> None:
    router = made(moe(level="language")).eval()
    tags = torch.tensor([7, 9, 7])
    chosen = router(Units(tags, torch.ones(3, dtype=torch.bool), 3))[0]
    p: Tensor = router.gate.table[[7, 9, 7]].softmax(-1)
    assert torch.equal(chosen.expert_UK[:, 0], p.argmax(-1))
    assert torch.equal(chosen.expert_UK[0], chosen.expert_UK[2])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"experts": 1}, "experts >= 2"),
        ({"router": TopK(k=5)}, "needs as many experts"),
        ({"router": NoisyTopK(k=4)}, "more experts"),
        ({"router": ExpertChoice(), "group": 8}, "in each sentence"),
        ({"router": ExpertChoice(), "level": "language"}, "in each sentence"),
        ({"level": "language", "jitter": 0.1}, "no states"),
        ({"z_loss": -1.0}, "z_loss >= 0"),
    ],
)
def test_configs_that_make_no_sense_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        moe(**options)


@pytest.mark.parametrize("own", [moe(router=ExpertChoice()), moe(level="sentence")])
def test_decoders_refuse_what_looks_ahead(own: MoEConfig) -> None:
    layer = LayerConfig(ffn=own)
    ModelConfig(encoder=(layer,), decoder=(LayerConfig(ffn=DenseConfig()),))
    with pytest.raises(ConfigError, match=r"model\.decoder\[1\]\.ffn: .* future"):
        ModelConfig(encoder=(layer,), decoder=(LayerConfig(), layer))


def test_bad_options_are_refused_by_name() -> None:
    for kind, options in (("Top2", {"capacity": 0.0}), ("TopK", {"k": 1})):
        with pytest.raises(ConfigError, match="router: need"):
            from_dict(MoEConfig, {"router": {"kind": kind, **options}})
