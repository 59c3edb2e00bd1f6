"""Whether a layout makes sense for a model: refused at the start, with the reason.

Not its job: whether it fits the memory (plan), and sizes that do not multiply (settings).
"""

from collections.abc import Iterator

from m4nmt.core import ranks
from m4nmt.model.settings import LayerConfig, ModelConfig, MoEConfig, RelativeBias
from m4nmt.parallel.offload import unfit
from m4nmt.parallel.settings import KeepAll, Layout, ParallelConfig


def check(model: ModelConfig, config: ParallelConfig, layout: Layout) -> None:
    """Refuse what cannot be laid.

    Raises:
        ValueError: all reasons, with what to change.
    """
    reasons = [*_tensor(model, layout), *_expert(model, layout), *_pipeline(config, layout)]
    if reasons:
        raise ValueError("parallel: " + "; ".join(reasons))


def _layers(model: ModelConfig) -> set[LayerConfig]:
    return {*model.encoder, *model.decoder}


def _experts(model: ModelConfig) -> set[int]:
    return {layer.ffn.experts for layer in _layers(model) if isinstance(layer.ffn, MoEConfig)}


def _tensor(model: ModelConfig, layout: Layout) -> Iterator[str]:
    size = layout.tensor
    if size == 1:
        return
    for layer in _layers(model):
        attention = layer.attention
        heads, shared = attention.heads, attention.kv_heads or attention.heads
        if heads % size or shared % size:
            yield f"tensor={size} does not divide {heads} heads ({shared} of keys and values)"
        if attention.qk_norm:
            yield f"tensor={size} cannot split qk_norm, whose weights all heads share"
        if isinstance(layer.ffn, MoEConfig):
            yield f"tensor={size} cannot split experts; spread them with expert={size}"
        elif layer.ffn.hidden % size:
            yield f"tensor={size} does not divide {layer.ffn.hidden} hidden units"
    if isinstance(model.position, RelativeBias):
        yield f"tensor={size} cannot split RelativeBias, whose table all heads share"
    if model.soft_cap:
        yield f"tensor={size} cannot split the capped logits of model.soft_cap"


def _expert(model: ModelConfig, layout: Layout) -> Iterator[str]:
    size = layout.expert
    if size == 1:
        return
    counts = _experts(model)
    if not counts:
        yield f"expert={size}, but the model has no mixture of experts; use shard or replicate"
    for count in sorted(counts):
        if count % size:
            yield f"expert={size} does not divide {count} experts"


def _pipeline(config: ParallelConfig, layout: Layout) -> Iterator[str]:
    grouped = ranks.initialised()
    if config.stages > 1 and not grouped:
        yield "stages of a pipeline need a process group; start with torchrun or --devices"
    if config.offload and not grouped:
        yield "offload needs a process group; start with torchrun or --devices 1"
    if config.stages > 1 and config.offload:
        yield "offload with a pipeline is not supported; take one of them"
    yield from unfit(config.offload)
    if config.stages > 1 and config.compile and not isinstance(config.remat, KeepAll):
        yield "compile with remat in a pipeline is not supported; take two of them"
