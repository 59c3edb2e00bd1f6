"""The segments between the tables: encoder layer, bridge, decoder layer.

Each takes a Flow and the Tokens and gives a Flow. Shape letters: B rows, S source length,
T target length, D width.
"""

from torch import Tensor, nn

from m4nmt.model import attention, ffn, memory, norm, residual
from m4nmt.model.flow import Flow, Tokens
from m4nmt.model.residual import Place
from m4nmt.model.settings import LayerConfig, ModelConfig


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
        self.ffn = ffn.build(layer.ffn, config.dim, layer.ffn_dropout, gain)

    def forward(self, flow: Flow, tokens: Tokens) -> Flow:
        def attend(x_BSD: Tensor) -> Tensor:
            out_BSD: Tensor = self.attention(x_BSD, tokens)
            return out_BSD

        x_BSD = self.residual(flow.x, (attend, self.ffn))
        return Flow(x_BSD, flow.aux, self.memory.add(flow.carry, x_BSD))


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
        self.ffn = ffn.build(layer.ffn, config.dim, layer.ffn_dropout, gain)

    def forward(self, flow: Flow, tokens: Tokens) -> Flow:
        memory_BSD, carry = self.memory.take(flow.carry)

        def attend(x_BTD: Tensor) -> Tensor:
            out_BTD: Tensor = self.attention(x_BTD, tokens)
            return out_BTD

        def look(x_BTD: Tensor) -> Tensor:
            out_BTD: Tensor = self.cross(x_BTD, memory_BSD, tokens)
            return out_BTD

        return Flow(self.residual(flow.x, (attend, look, self.ffn)), flow.aux, carry)
