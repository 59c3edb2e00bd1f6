"""The encoder-decoder: an ordered map of named segments, each Flow -> Flow.

The whole model, a pipeline stage and the decoder of beam search are this one class holding more
or fewer segments; parameters are named `<segment>.<...>` in all of them.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import nn

from m4nmt.core.config import ConfigError
from m4nmt.model import embedding, flow, layers, memory, residual
from m4nmt.model.flow import Flow, Tokens
from m4nmt.model.residual import Place
from m4nmt.model.settings import ModelConfig

# ties: which tables are the same Parameter as which; the canonical name is the value
TIES: dict[str, dict[str, str]] = {
    "all": {"target.table": "source.table", "head.table": "source.table"},
    "target": {"head.table": "target.table"},
    "none": {},
}


def segment_names(config: ModelConfig) -> tuple[str, ...]:
    """All segments of the model in order."""
    encoder = (f"enc{i:03d}" for i in range(len(config.encoder)))
    decoder = (f"dec{i:03d}" for i in range(len(config.decoder)))
    return ("source", *encoder, "bridge", "target", *decoder, "head")


class TranslationModel(nn.Module):
    """Some segments of a model, in its order.

    Args:
        config: of the whole model, whatever is held here.
        segments: (name, module) in order.
    """

    def __init__(self, config: ModelConfig, segments: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__()
        self.config = config
        for name, segment in segments:
            self.add_module(name, segment)
        self.names = tuple(name for name, _ in self.named_children())

    def forward(self, tokens: Tokens, stream: Flow | None = None) -> Flow:
        """Run the segments in order; `stream` is what the segment before the first one gave."""
        stream = flow.start(tokens.src_BS) if stream is None else stream
        for name, segment in self.named_children():
            tokens.enter(name)
            stream = segment(stream, tokens)
        return stream

    def part(self, names: Sequence[str]) -> "TranslationModel":
        """A model of these segments only, the same modules.

        Raises:
            ValueError: a segment that is not here.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise ValueError(f"no segments {missing} here; there are {', '.join(self.names)}")
        chosen = TranslationModel(
            self.config, ((n, self.get_submodule(n)) for n in self.names if n in names)
        )
        return chosen.train(self.training)

    def canonical(self, name: str) -> str:
        """A parameter's name in the whole model, where a tied table has one name."""
        return TIES[self.config.ties].get(name, name)

    def canonical_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters held here by canonical name, a tied table once."""
        return {
            self.canonical(name): parameter
            for name, parameter in self.named_parameters(remove_duplicate=False)
        }

    def tie(self) -> None:
        """Make tied tables that are held here one Parameter."""
        first: dict[str, nn.Parameter] = {}
        for name, parameter in list(self.named_parameters(remove_duplicate=False)):
            segment, _, key = name.rpartition(".")
            kept = first.setdefault(self.canonical(name), parameter)
            setattr(self.get_submodule(segment), key, kept)


def _segments(config: ModelConfig, names: Sequence[str]) -> Iterator[tuple[str, nn.Module]]:
    """The segments called `names`, in the model's order."""
    n, m = len(config.encoder), len(config.decoder)
    rule = memory.build(config.memory, n, m)
    for name in segment_names(config):
        if name not in names:
            continue
        index = int(name[3:]) if name[3:].isdigit() else 0
        if name == "source":
            yield name, embedding.Source(config, rule)
        elif name == "bridge":
            yield name, layers.Bridge(config, rule)
        elif name == "target":
            yield name, embedding.Target(config)
        elif name == "head":
            normed = residual.ends_with_norm(config.decoder[-1].residual)
            yield name, embedding.Head(config, normed)
        elif name.startswith("enc"):
            place = Place("encoder", n, m)
            yield name, layers.EncoderLayer(config, config.encoder[index], place, rule)
        else:
            place = Place("decoder", n, m)
            yield name, layers.DecoderLayer(config, config.decoder[index], place, rule, name)


def build(
    config: ModelConfig,
    names: Sequence[str] | None = None,
    device: torch.device | str = "meta",
) -> TranslationModel:
    """A model of these segments (None: all), uninitialised: see `init.materialise`.

    Raises:
        ConfigError: a vocabulary that is not known yet, or a segment the config has not.
    """
    if config.vocab < 1:
        raise ConfigError(
            "model.vocab is 0: the tokenizer's size fills it in when a run is built; "
            "give model.vocab to build a model alone"
        )
    known = segment_names(config)
    chosen = known if names is None else tuple(names)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ConfigError(f"no segments {unknown} in this model; there are {', '.join(known)}")
    with torch.device(device):
        model = TranslationModel(config, _segments(config, chosen))
    model.tie()
    return model
