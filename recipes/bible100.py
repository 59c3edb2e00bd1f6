"""A hundred real languages, English-centric, at a size that a laptop can train."""

from m4nmt.core.stages import EvaluateConfig
from m4nmt.data.settings import (
    BlockConfig,
    DataConfig,
    DirectionsConfig,
    Temperature,
    TokenizerConfig,
)
from m4nmt.model.settings import modern
from m4nmt.optim.settings import AdamW, InverseSqrt
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train.settings import RunConfig, TrainConfig


def bible100() -> RunConfig:
    """125 languages, 248 directions, 4+4 layers, d256."""
    return RunConfig(
        name="bible100",
        data=DataConfig(
            manifest="bible100",
            directions=DirectionsConfig(pairs="centric"),
            tokenizer=TokenizerConfig(vocab=16_000, sample=200_000),
            mixture=Temperature(T=5.0),
            blocks=BlockConfig(tokens=8192, max_length=256),
        ),
        model=modern(layers=4, dim=256, hidden=768, heads=4),
        optim=AdamW(lr=2e-3),
        schedule=InverseSqrt(warmup=1000),
        train=TrainConfig(steps=20_000, validate_every=500, validate_rows=8, save_every=500),
        parallel=ParallelConfig(precision="bf16"),
        evaluate=EvaluateConfig(sentences=100),
    )
