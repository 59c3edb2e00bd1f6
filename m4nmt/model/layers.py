"""The segments between the tables: encoder layer, bridge, decoder layer.

Each takes a Flow and the Tokens and gives a Flow. Shape letters: B rows, S source length,
T target length, D width.
"""

from torch import Tensor, nn

from m4nmt.model import attention, ffn, memory, norm, residual
from m4nmt.model.flow import Flow, Tokens
from m4nmt.model.moe import MoE
from m4nmt.model.residual import Branch, Place
from m4nmt.model.settings import LayerConfig, ModelConfig, MoEConfig


def _feed_forward(config: ModelConfig, layer: LayerConfig, gain: float) -> nn.Module:
    if isinstance(layer.ffn, MoEConfig):
        return MoE(layer.ffn, config.dim, config.vocab, gain)
    return ffn.build(layer.ffn, config.dim, layer.ffn_dropout, gain)


def _branch(module: nn.Module, ids_BL: Tensor, tokens: Tokens, losses: list[Tensor]) -> Branch:
    """A feed-forward as a function of the stream alone; a mixture adds its loss to `losses`."""
    if not isinstance(module, MoE):
        return module

    def feed(x_BLD: Tensor) -> Tensor:
        out_BLD: Tensor
        out_BLD, loss = module(x_BLD, ids_BL, tokens)
        losses.append(loss)
        return out_BLD

    return feed


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward; what comes out may enter the memory."""

    def __init__(
        self, config: ModelConfig, layer: LayerConfig, place: Place, rule: memory.Rule
    ) -> None:
        super().__init__()
        gain = residual.gain(layer.residual, place)
        self.memory = rule
        self.residual = residual.build(layer, ("attention", "ffn"), config.dim, place)
        self.attention = attention.SelfAttention(config.dim, layer, config.position, gain)
        self.ffn = _feed_forward(config, layer, gain)

    def forward(self, flow: Flow, tokens: Tokens) -> Flow:
        def attend(x_BSD: Tensor) -> Tensor:
            out_BSD: Tensor = self.attention(x_BSD, tokens)
            return out_BSD

        losses: list[Tensor] = []
        feed = _branch(self.ffn, tokens.src_BS, tokens, losses)
        x_BSD = self.residual(flow.x, (attend, feed))
        return Flow(x_BSD, sum(losses, flow.aux), self.memory.add(flow.carry, x_BSD))


class Bridge(nn.Module):
    """Closes the memory. Nobody reads its stream: `target` begins a new one."""

    def __init__(self, config: ModelConfig, rule: memory.Rule) -> None:
        super().__init__()
        self.memory = rule
        normed = residual.ends_with_norm(config.encoder[-1].residual)
        self.norm = norm.build(config.norm, config.dim) if normed else nn.Identity()

    def forward(self, flow: Flow, tokens: Tokens) -> Flow:
        return flow._replace(carry=self.memory.finish(flow.carry, flow.x, self.norm))


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to this layer's memory, feed-forward."""

    def __init__(
        self,
        config: ModelConfig,
        layer: LayerConfig,
        place: Place,
        rule: memory.Rule,
        name: str,
    ) -> None:
        super().__init__()
        gain = residual.gain(layer.residual, place)
        self.memory = rule
        self.residual = residual.build(layer, ("attention", "cross", "ffn"), config.dim, place)
        self.attention = attention.CausalAttention(config.dim, layer, config.position, gain, name)
        self.cross = attention.CrossAttention(config.dim, layer.attention, gain, name)
        self.ffn = _feed_forward(config, layer, gain)

    def forward(self, flow: Flow, tokens: Tokens) -> Flow:
        memory_BSD, carry = self.memory.take(flow.carry)

        def attend(x_BTD: Tensor) -> Tensor:
            out_BTD: Tensor = self.attention(x_BTD, tokens)
            return out_BTD

        def look(x_BTD: Tensor) -> Tensor:
            out_BTD: Tensor = self.cross(x_BTD, memory_BSD, tokens)
            return out_BTD

        losses: list[Tensor] = []
        feed = _branch(self.ffn, tokens.tgt_BT, tokens, losses)
        x_BTD = self.residual(flow.x, (attend, look, feed))
        return Flow(x_BTD, sum(losses, flow.aux), carry)
