"""Where a pipeline is cut: consecutive segments to stages, so that the slowest stage is fast.

Costs are counted from the config alone, so that a model of thousands of layers is cut at once.
Not its job: building the stages, and choosing how many there are.

Shape letters: S source length, T target length, D width, F hidden, V vocabulary, M decoder layers.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

from m4nmt.model.settings import (
    AttentionConfig,
    FeedForward,
    GatedConfig,
    LayerConfig,
    ModelConfig,
    MoEConfig,
    Transparent,
)
from m4nmt.model.translation import segment_names
from m4nmt.parallel.settings import ParallelConfig

# One number read, changed and written takes as long as about so many operations of a product.
PASS = 16.0
# Passes over the stream: scale, position, dropout; norm, dropout and sum of a branch; the softmax.
EMBEDDING, BRANCH, SOFTMAX = 3.0, 4.0, 4.0
BACKWARD = 2.0  # products of the backward pass for each of the forward pass


class Shape(NamedTuple):
    """Of the batch that costs are counted for."""

    rows: int
    src: int
    tgt: int


# A batch of usual sentences, for which an engine balances its stages.
TYPICAL = Shape(64, 32, 32)


class Work(NamedTuple):
    """Of one segment in one forward pass.

    Attributes:
        products: operations of the matrix products, two for a multiply and add, attention over
            whole rows (as `model.cost` counts).
        passes: numbers that element by element operations go over.
    """

    products: float
    passes: float

    @property
    def step(self) -> float:
        """Operations that a forward and a backward pass are as long as."""
        return (1 + BACKWARD) * (self.products + PASS * self.passes)


def balanced(costs: Sequence[float], parts: int) -> list[int]:
    """How many consecutive costs go into each part, so that the largest part is least.

    Exact, by dynamic programming in O(len(costs) * parts); each part has at least one. Of the
    partitions that are as good, one whose parts are near the mean of what is left, from the end.

    Raises:
        ValueError: fewer costs than parts, no parts, or a negative cost.
    """
    if not 1 <= parts <= len(costs):
        raise ValueError(f"{len(costs)} costs do not make {parts} parts of at least one each")
    if min(costs) < 0:
        raise ValueError(f"a cost is negative: {min(costs)}")
    total = list(accumulate(costs, initial=0.0))
    tables = [total]  # tables[k][j]: least largest part of the first j costs in k + 1 parts
    for part in range(1, parts):
        tables.append(_one_more(tables[-1], total, part))
    bound = tables[-1][-1]
    sizes, end = [], len(costs)
    for part in range(parts - 1, 0, -1):
        mean = total[end] * part / (part + 1)
        # the first cut that keeps this part small enough; the last that the other parts can reach
        first = next(i for i in range(part, end) if total[end] - total[i] <= bound)
        last = max(i for i in range(first, end) if tables[part - 1][i] <= bound)
        cut = min(range(first, last + 1), key=lambda i: abs(total[i] - mean))
        sizes.append(end - cut)
        end = cut
    return [end, *reversed(sizes)]


def _one_more(table: Sequence[float], total: Sequence[float], part: int) -> list[float]:
    """The table for one more part: min over i of max(table[i], total[j] - total[i])."""
    best = [float("inf")] * len(total)
    i = part
    for j in range(part + 1, len(total)):
        # the left side grows with i and the right side falls: the best is where they cross
        while i + 1 < j and table[i] < total[j] - total[i]:
            i += 1
        best[j] = max(table[i], total[j] - total[i])
        if i > part:
            best[j] = min(best[j], max(table[i - 1], total[j] - total[i - 1]))
    return best


def stage_names(
    model: ModelConfig,
    config: ParallelConfig,
    shape: tuple[int, int, int],
    costs: Sequence[float] | None = None,
) -> list[tuple[str, ...]]:
    """Segments of every stage, in order. Stage s lives on device s % `config.pipeline`.

    Args:
        shape: (rows, source length, target length) for which the stages are balanced, where the
            config does not say where to cut.
        costs: of every segment; None estimates them from their operations.

    Raises:
        ValueError: more stages than segments, or a cut that names no segments in order.
    """
    names, stages = segment_names(model), config.stages
    if stages > len(names):
        raise ValueError(
            f"parallel: {config.pipeline} x {config.virtual} stages, but the model has only "
            f"{len(names)} segments; make pipeline or virtual smaller"
        )
    if config.cut:
        unknown = [name for name in config.cut if name not in names[1:]]
        if unknown:
            raise ValueError(
                f"parallel.cut: a stage cannot begin with {', '.join(unknown)}; the model has "
                f"{', '.join(names)}, and the first stage always begins with {names[0]}"
            )
        edges = [0, *(names.index(name) for name in config.cut), len(names)]
        if any(a >= b for a, b in pairwise(edges)):
            raise ValueError(f"parallel.cut: {', '.join(config.cut)} are not in the model's order")
    else:
        costs = costs or [work.step for work in segment_work(model, Shape(*shape))]
        edges = [0, *accumulate(balanced(costs, stages))]
    return [names[a:b] for a, b in pairwise(edges)]


@lru_cache(maxsize=64)
def segment_work(model: ModelConfig, shape: Shape) -> tuple[Work, ...]:
    """Work of every segment in one forward pass, counted from the config.

    Raises:
        ValueError: the vocabulary is not known yet, or the shape has no tokens.
    """
    if model.vocab < 1:
        raise ValueError("model.vocab is 0: the tokenizer's size must be filled in before a cut")
    if min(shape) < 1:
        raise ValueError(f"a batch of {shape} has no tokens")
    D, V = model.dim, model.vocab
    source, target = shape.rows * shape.src, shape.rows * shape.tgt
    # transparent attention adds every layer to a mixture for each decoder layer
    mixed = 2.0 * len(model.decoder) if isinstance(model.memory, Transparent) else 0.0
    encoder = {layer: _encoder(D, layer, shape, mixed) for layer in set(model.encoder)}
    decoder = {layer: _decoder(D, layer, shape) for layer in set(model.decoder)}
    return (
        Work(0.0, source * D * (EMBEDDING + mixed)),
        *(encoder[layer] for layer in model.encoder),
        Work(0.0, source * D * (1.0 + mixed / 2)),
        Work(0.0, target * D * EMBEDDING),
        *(decoder[layer] for layer in model.decoder),
        Work(2.0 * target * D * V, target * (D + SOFTMAX * V)),
    )


def _encoder(D: int, layer: LayerConfig, shape: Shape, mixed: float) -> Work:
    maps, inner, _ = _attention(D, layer.attention)
    hidden = _ffn(D, layer.ffn)
    tokens = shape.rows * shape.src
    products = maps + 4.0 * inner * shape.src + hidden.products
    return Work(tokens * products, tokens * (D * (2 * BRANCH + mixed) + hidden.passes))


def _decoder(D: int, layer: LayerConfig, shape: Shape) -> Work:
    maps, inner, read = _attention(D, layer.attention)
    hidden = _ffn(D, layer.ffn)
    products = (maps + 4.0 * inner * shape.tgt) + hidden.products
    products += (maps - read) + 4.0 * inner * shape.src  # attention to the source
    tokens = shape.rows * shape.tgt
    memory = shape.rows * shape.src * read
    return Work(tokens * products + memory, tokens * (D * 3 * BRANCH + hidden.passes))


def _attention(D: int, config: AttentionConfig) -> tuple[float, int, float]:
    """(operations of the four maps for a token, width of all query heads, those of keys and
    values alone)."""
    width = config.head_dim or D // config.heads
    inner, shared = config.heads * width, (config.kv_heads or config.heads) * width
    read = 4.0 * D * shared
    return 4.0 * D * inner + read, inner, read


def _ffn(D: int, config: FeedForward) -> Work:
    """Of one token."""
    if isinstance(config, MoEConfig):
        one, chosen = _ffn(D, config.expert), config.choices
        router = 2.0 * D * config.experts
        return Work(router + chosen * one.products, chosen * (one.passes + 2 * D))
    if isinstance(config, GatedConfig):
        return Work(6.0 * D * config.hidden, 3.0 * config.hidden)
    return Work(4.0 * D * config.hidden, 2.0 * config.hidden)
