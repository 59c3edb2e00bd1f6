"""Routers: which experts a unit goes to, with which weights, and the losses that even the load.

A unit is what is routed as one: a token, a sentence or a language. All numbers are fp32, under
autocast too. In training the routers with a capacity have places for so many units; in inference
nothing is dropped and nothing is random, so that a unit's experts depend on the unit alone
(ExpertChoice: on its sentence). Not its job: running experts, spreading units over tokens.

Shape letters: B rows, L positions, D width, V vocabulary, E experts, U units, K choices of a unit,
G groups that share places, Q choices in the order of a queue.
"""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m4nmt.model import settings
from m4nmt.model.init import Ruled, normal, xavier, zeros
from m4nmt.model.settings import MoEConfig

NOISE_FLOOR = 1e-2  # smallest spread of the noise, as in tensor2tensor


class Units(NamedTuple):
    """What is routed.

    Attributes:
        input: states [U,D]; of languages, tags [U].
        real_U: False for padding, which is neither routed nor counted.
        rows: of the batch, which the units divide evenly.
    """

    input: Tensor
    real_U: Tensor
    rows: int


class Chosen(NamedTuple):
    """Choices of units.

    Attributes:
        expert_UK: best first.
        weight_UK: fp32, of the expert's result in the sum.
        wanted_UK: whether the choice is one at all: padding makes none.
        kept_UK: whether it found a place.
    """

    expert_UK: Tensor
    weight_UK: Tensor
    wanted_UK: Tensor
    kept_UK: Tensor


class Groups(NamedTuple):
    """Which units share places: `of_U` is each unit's group, `real_G` the real units of each."""

    of_U: Tensor
    real_G: Tensor


def grouped(real_U: Tensor, size: int) -> Groups:
    """Real units in order, `size` to a group; 0: all in one."""
    units = max(1, len(real_U))
    size = size or units
    of_U = (real_U.cumsum(0) - 1).clamp(min=0) // size
    real_G = of_U.new_zeros(-(-units // size)).index_add(0, of_U, real_U.long())
    return Groups(of_U, real_G)


def places(real_G: Tensor, choices: int, capacity: float, experts: int) -> Tensor:
    """Places of an expert in each group [G]: int(k S capacity / E), at least 4, rounded up to a
    multiple of 4 (lingvo, gshard_layers.py; its capacity factor is k times ours)."""
    even_G = (real_G.double() * choices * capacity / experts).long()
    return (even_G.clamp(min=4) + 3) // 4 * 4


def admitted(chosen: Chosen, groups: Groups, places_G: Tensor, experts: int) -> Chosen:
    """Keep the choices that find a place. In a group all first choices queue in the order of the
    units, then all second ones, and so on (GShard, algorithm 1)."""
    U, K = chosen.expert_UK.shape
    nowhere = len(places_G) * experts
    queue_UK = groups.of_U[:, None] * experts + chosen.expert_UK
    queue_Q = queue_UK.masked_fill(~chosen.wanted_UK, nowhere).t().reshape(-1)
    sorted_Q, order_Q = queue_Q.sort(stable=True)
    number_Q = torch.arange(len(sorted_Q), device=sorted_Q.device)
    ahead_Q = number_Q - torch.searchsorted(sorted_Q, sorted_Q)
    ahead_UK = torch.empty_like(ahead_Q).scatter(0, order_Q, ahead_Q).view(K, U).t()
    fits_UK = ahead_UK < places_G[groups.of_U][:, None]
    return chosen._replace(kept_UK=chosen.wanted_UK & fits_UK)


def evenness(probs_UE: Tensor, expert_UK: Tensor, real_U: Tensor, groups: Groups) -> Tensor:
    """E sum_e m_e c_e, 1 where the load is even: m_e the mean probability of expert e, c_e its
    share of the choices. Of each group, averaged by its units (GShard, section 2.2; Switch, eq. 4).
    """
    E, K = probs_UE.shape[1], expert_UK.shape[1]
    G = len(groups.real_G)
    mean_GE = probs_UE.new_zeros(G, E).index_add(0, groups.of_U, probs_UE * real_U[:, None])
    place_UK = groups.of_U[:, None] * E + expert_UK
    one_UK = real_U[:, None].expand(-1, K).to(probs_UE.dtype)
    count_GE = probs_UE.new_zeros(G * E).index_add(0, place_UK.flatten(), one_UK.flatten())
    product_G = (mean_GE * count_GE.view(G, E)).sum(1) / groups.real_G.clamp(min=1)
    return E * product_G.sum() / (K * groups.real_G.sum().clamp(min=1))


def mean_of_real(value_U: Tensor, real_U: Tensor) -> Tensor:
    """Mean over real units, 0 where there is none."""
    return (value_U * real_U).sum() / real_U.sum().clamp(min=1)


class Gate(Ruled):
    """States to logits, one for each expert, in fp32."""

    def __init__(self, dim: int, experts: int, quiet: bool = False) -> None:
        super().__init__()
        self.rules = {"weight": zeros if quiet else xavier()}
        self.weight = nn.Parameter(torch.empty(experts, dim))

    def forward(self, x_UD: Tensor) -> Tensor:
        return F.linear(x_UD.float(), self.weight.float())


class TagGate(Ruled):
    """Tags to logits: a row for each id, of which those of tags are used."""

    def __init__(self, vocab: int, experts: int, quiet: bool = False) -> None:
        super().__init__()
        self.rules = {"table": zeros if quiet else normal(1.0)}
        self.table = nn.Parameter(torch.empty(vocab, experts))

    def forward(self, tag_U: Tensor) -> Tensor:
        return F.embedding(tag_U, self.table).float()


# quiet: whether all logits begin at zero
MakeGate = Callable[[bool], nn.Module]


RuleT = TypeVar("RuleT", bound=settings.Router)


class Router(nn.Module, Generic[RuleT]):
    """What all share: jitter, the gate, the weighted sum of the losses."""

    def __init__(self, config: MoEConfig, rule: RuleT, make_gate: MakeGate) -> None:
        super().__init__()
        self.config, self.rule = config, rule
        self.gate = make_gate(False)

    def forward(self, units: Units) -> tuple[Chosen, Tensor]:
        """Choices, and in training the auxiliary loss, a scalar (else 0)."""
        with torch.autocast(units.real_U.device.type, enabled=False):
            if self.training and self.config.jitter:
                j = self.config.jitter
                noise_UD = torch.empty_like(units.input, dtype=torch.float32).uniform_(1 - j, 1 + j)
                units = units._replace(input=units.input * noise_UD)
            logits_UE = self.gate(units.input)
            chosen, balance = self.choose(logits_UE, units)
            if not self.training:
                return chosen, logits_UE.new_zeros(())
            z = mean_of_real(logits_UE.logsumexp(-1).square(), units.real_U)
            return chosen, self.config.balance * balance + self.config.z_loss * z

    def choose(self, logits_UE: Tensor, units: Units) -> tuple[Chosen, Tensor]:
        """Choices, and in training the loss that evens the load."""
        raise NotImplementedError

    def seated(self, chosen: Chosen, units: Units, capacity: float) -> tuple[Chosen, Groups]:
        """Choices after the places have run out."""
        groups, E = grouped(units.real_U, self.config.group), self.config.experts
        places_G = places(groups.real_G, chosen.expert_UK.shape[1], capacity, E)
        return admitted(chosen, groups, places_G, E), groups


def _best(probs_UE: Tensor, k: int, real_U: Tensor) -> Chosen:
    """The k best experts of real units, all kept."""
    weight_UK, expert_UK = probs_UE.topk(k)
    wanted_UK = real_U[:, None].expand(-1, k)
    return Chosen(expert_UK, weight_UK, wanted_UK, wanted_UK)


def _shares(weight_UK: Tensor) -> Tensor:
    return weight_UK / weight_UK.sum(-1, keepdim=True)


class Top2(Router[settings.Top2]):
    """GShard (arXiv:2006.16668), algorithm 1."""

    def choose(self, logits_UE: Tensor, units: Units) -> tuple[Chosen, Tensor]:
        probs_UE = logits_UE.softmax(-1)
        chosen = _best(probs_UE, 2, units.real_U)
        chosen = chosen._replace(weight_UK=_shares(chosen.weight_UK))
        if not self.training:
            return chosen, probs_UE.new_zeros(())
        if self.rule.random_second:
            second_U = chosen.weight_UK[:, 1].detach()
            drawn_U = torch.rand_like(second_U) < second_U / self.rule.threshold
            both_U2 = torch.stack((torch.ones_like(drawn_U), drawn_U), 1)
            chosen = chosen._replace(wanted_UK=chosen.wanted_UK & both_U2)
        chosen, groups = self.seated(chosen, units, self.rule.capacity)
        return chosen, evenness(probs_UE, chosen.expert_UK[:, :1], units.real_U, groups)


class Switch(Router[settings.Switch]):
    """Switch Transformer (arXiv:2101.03961), section 2: the weight is the probability itself."""

    def choose(self, logits_UE: Tensor, units: Units) -> tuple[Chosen, Tensor]:
        probs_UE = logits_UE.softmax(-1)
        chosen = _best(probs_UE, 1, units.real_U)
        if not self.training:
            return chosen, probs_UE.new_zeros(())
        chosen, groups = self.seated(chosen, units, self.rule.capacity)
        return chosen, evenness(probs_UE, chosen.expert_UK, units.real_U, groups)


class TopK(Router[settings.TopK]):
    """The best k with weights that sum to one, and no places to run out of."""

    def choose(self, logits_UE: Tensor, units: Units) -> tuple[Chosen, Tensor]:
        probs_UE = logits_UE.softmax(-1)
        chosen = _best(probs_UE, self.rule.k, units.real_U)
        chosen = chosen._replace(weight_UK=_shares(chosen.weight_UK))
        if not self.training:
            return chosen, probs_UE.new_zeros(())
        groups = grouped(units.real_U, self.config.group)
        return chosen, evenness(probs_UE, chosen.expert_UK, units.real_U, groups)


class NoisyTopK(Router[settings.NoisyTopK]):
    """Shazeer et al. 2017 (arXiv:1701.06538), section 2.1 and appendix A: logits get Gaussian noise
    of a learned spread; the losses are the squared coefficients of variation of the experts'
    importance (sum of weights) and load (expected number of units)."""

    def __init__(self, config: MoEConfig, rule: settings.NoisyTopK, make_gate: MakeGate) -> None:
        super().__init__(config, rule, make_gate)
        self.noise = make_gate(True)

    def choose(self, logits_UE: Tensor, units: Units) -> tuple[Chosen, Tensor]:
        k = self.rule.k
        if not self.training:
            chosen = _best(logits_UE, k, units.real_U)
            chosen = chosen._replace(weight_UK=chosen.weight_UK.softmax(-1))
            return chosen, logits_UE.new_zeros(())
        spread_UE = F.softplus(self.noise(units.input)) + NOISE_FLOOR
        noisy_UE = logits_UE + torch.randn_like(logits_UE) * spread_UE
        top_UK, expert_UK = noisy_UE.topk(k + 1)
        weight_UK = top_UK[:, :k].softmax(-1)
        wanted_UK = units.real_U[:, None].expand(-1, k)
        chosen = Chosen(expert_UK[:, :k], weight_UK, wanted_UK, wanted_UK)
        # expert e is chosen where its noisy logit beats the k-th of the others
        last_U1, next_U1 = top_UK[:, k - 1 : k], top_UK[:, k : k + 1]
        rival_UE = torch.where(noisy_UE > next_U1, next_U1, last_U1)
        chance_UE = torch.special.ndtr((logits_UE - rival_UE) / spread_UE)
        gates_UE = torch.zeros_like(logits_UE).scatter(1, chosen.expert_UK, weight_UK)
        real_U1 = units.real_U[:, None]
        balance = _variation((gates_UE * real_U1).sum(0)) + _variation((chance_UE * real_U1).sum(0))
        return self.seated(chosen, units, self.rule.capacity)[0], balance


def _variation(value_E: Tensor) -> Tensor:
    """Squared coefficient of variation."""
    return value_E.var(correction=0) / (value_E.mean().square() + 1e-10)


class ExpertChoice(Router[settings.ExpertChoice]):
    """Zhou et al. 2022 (arXiv:2202.09368), section 3.2, with the sentence as the group that experts
    choose from: no other sentence matters. The load is even by design."""

    def choose(self, logits_UE: Tensor, units: Units) -> tuple[Chosen, Tensor]:
        U, E = logits_UE.shape
        B = units.rows
        probs_UE = logits_UE.softmax(-1)
        real_BL = units.real_U.view(B, -1)
        score_BLE = probs_UE.detach().view(B, -1, E).masked_fill(~real_BL[..., None], -1.0)
        order_BLE = score_BLE.argsort(dim=1, descending=True, stable=True)
        number_L = torch.arange(order_BLE.shape[1], device=order_BLE.device)
        rank_BLE = torch.empty_like(order_BLE).scatter(
            1, order_BLE, number_L[None, :, None].expand_as(order_BLE)
        )
        places_B = (real_BL.sum(1).double() * self.rule.capacity / E).ceil()
        taken_BLE = (rank_BLE < places_B[:, None, None]) & real_BL[..., None]
        taken_UE = taken_BLE.view(U, E)
        most = max(1, int(taken_UE.sum(1).max()))
        expert_UK = taken_UE.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
        kept_UK = taken_UE.gather(1, expert_UK)
        chosen = Chosen(expert_UK, probs_UE.gather(1, expert_UK), kept_UK, kept_UK)
        return chosen, probs_UE.new_zeros(())


def build(config: MoEConfig, dim: int, vocab: int) -> Router[Any]:
    """The router that `config` describes, its gate by the level of routing."""

    def make_gate(quiet: bool) -> nn.Module:
        if config.level == "language":
            return TagGate(vocab, config.experts, quiet)
        return Gate(dim, config.experts, quiet)

    match config.router:
        case settings.Top2() as rule:
            return Top2(config, rule, make_gate)
        case settings.Switch() as rule:
            return Switch(config, rule, make_gate)
        case settings.NoisyTopK() as rule:
            return NoisyTopK(config, rule, make_gate)
        case settings.TopK() as rule:
            return TopK(config, rule, make_gate)
        case settings.ExpertChoice() as rule:
            return ExpertChoice(config, rule, make_gate)
