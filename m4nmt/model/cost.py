"""What a model costs, before it exists: parameters (exact, counted on meta) and operations.

Shape letters: S source length, T target length.
"""

from m4nmt.model.settings import ModelConfig
from m4nmt.model.translation import build, segment_names


def parameters(config: ModelConfig) -> int:
    """Parameters of the whole model, a tied table once."""
    return sum(p.numel() for p in build(config).parameters())


def by_segment(config: ModelConfig) -> dict[str, int]:
    """Parameters by segment; a tied table counts in the first segment that holds it."""
    counts = dict.fromkeys(segment_names(config), 0)
    for name, parameter in build(config).named_parameters():
        counts[name.partition(".")[0]] += parameter.numel()
    return counts
