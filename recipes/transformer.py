"""The two sizes of "Attention Is All You Need" (Vaswani et al. 2017, table 3), made multilingual.

Point them at your own corpora: `m4nmt train base --set data.manifest=my.toml`.
"""

from m4nmt.data.settings import BlockConfig, DataConfig, DirectionsConfig, TokenizerConfig
from m4nmt.model.settings import classic
from m4nmt.optim.settings import AdamW, InverseSqrt
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train.settings import RunConfig, TrainConfig


def _data(tokens: int) -> DataConfig:
    return DataConfig(
        manifest="bible100",
        directions=DirectionsConfig(pairs="centric"),
        tokenizer=TokenizerConfig(vocab=32_000),
        blocks=BlockConfig(tokens=tokens, rows_multiple=16),
    )


def base() -> RunConfig:
    """6+6 layers, d512, 8 heads: 60 M parameters with 32,000 pieces."""
    return RunConfig(
        name="base",
        data=_data(tokens=32_768),
        model=classic(layers=6, dim=512, hidden=2048, heads=8),
        optim=AdamW(),
        schedule=InverseSqrt(scale=1.0, warmup=4000),
        train=TrainConfig(steps=100_000),
        parallel=ParallelConfig(microbatches=8, precision="bf16"),
    )


def big() -> RunConfig:
    """6+6 layers, d1024, 16 heads: 209 M parameters with 32,000 pieces."""
    return RunConfig(
        name="big",
        data=_data(tokens=32_768),
        model=classic(layers=6, dim=1024, hidden=4096, heads=16, dropout=0.3),
        optim=AdamW(),
        schedule=InverseSqrt(scale=1.0, warmup=4000),
        train=TrainConfig(steps=300_000),
        parallel=ParallelConfig(microbatches=16, precision="bf16"),
    )
