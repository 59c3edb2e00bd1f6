"""GPipe's giants (arXiv:1811.06965), laid out as it did: micro-batches through a pipeline, every
layer computed again in the backward pass.

Each comes with a twin of the same layout, small enough to be trained on 4 processes of one machine.
"""

from dataclasses import replace

from m4nmt.core.names import recipe
from m4nmt.data.settings import BlockConfig, DataConfig, DirectionsConfig, TokenizerConfig
from m4nmt.model.settings import classic
from m4nmt.optim.settings import Adafactor, InverseSqrt
from m4nmt.parallel.settings import ParallelConfig, Recompute
from m4nmt.train.settings import RunConfig, TrainConfig


def _laid(stages: int, pieces: int) -> ParallelConfig:
    return ParallelConfig(
        pipeline=stages,
        schedule="gpipe",
        microbatches=pieces,
        remat=Recompute(),
        precision="bf16",
    )


def _m4(name: str, m4: str, stages: int, pieces: int) -> RunConfig:
    """A size of M4 as GPipe laid it."""
    base: RunConfig = recipe(m4)()
    return replace(base, name=name, parallel=_laid(stages, pieces))


def _tiny(name: str, layers: tuple[int, int], dim: int, pieces: int) -> RunConfig:
    """On image captions, for 4 processes."""
    base: RunConfig = recipe("debug")()
    return replace(
        base,
        name=name,
        model=classic(layers=layers, dim=dim, hidden=4 * dim, heads=2),
        optim=Adafactor(lr=1.0),
        schedule=InverseSqrt(scale=1.0, warmup=400, dim_factor=False),
        parallel=replace(_laid(4, pieces), precision="fp32"),
    )


def gpipe_1_3b_deep_8() -> RunConfig:
    """M4's T(24, 8192, 16), 1.3 B parameters, on 8 stages."""
    return _m4("gpipe_1_3b_deep_8", "m4_1_3b_deep", 8, 32)


def gpipe_1_3b_deep_8_tiny() -> RunConfig:
    """The layout of `gpipe_1_3b_deep_8` on 4 stages of 6+6 layers, d32."""
    return _tiny("gpipe_1_3b_deep_8_tiny", (6, 6), 32, 8)


def gpipe_6b_16() -> RunConfig:
    """M4's T(64, 16384, 32), 6 B parameters, on 16 stages."""
    return _m4("gpipe_6b_16", "m4_6b", 16, 64)


def gpipe_6b_16_tiny() -> RunConfig:
    """The layout of `gpipe_6b_16` on 4 stages of 16+16 layers, d16."""
    return _tiny("gpipe_6b_16_tiny", (16, 16), 16, 8)


def gpipe_84b() -> RunConfig:
    """1,663 layers, 83.9 B parameters, on 128 stages (table 1, Pipeline-128).

    The counts of the table are those of layers without attention to a source (50.36 M each) and
    two tables of 32,000 words. Ours is an encoder-decoder, so all layers but one are the encoder's.
    """
    return RunConfig(
        name="gpipe_84b",
        data=DataConfig(
            manifest="bible100",
            directions=DirectionsConfig(pairs="centric"),
            tokenizer=TokenizerConfig(vocab=32_000),
            blocks=BlockConfig(tokens=32_768, rows_multiple=32, max_length=1024),
        ),
        model=replace(classic(layers=(1662, 1), dim=2048, hidden=8192, heads=32), ties="target"),
        optim=Adafactor(lr=1.0),
        schedule=InverseSqrt(scale=3.0, warmup=40_000, dim_factor=False),
        train=TrainConfig(steps=500_000),
        parallel=_laid(128, 32),
    )


def gpipe_84b_tiny() -> RunConfig:
    """The layout of `gpipe_84b` on 4 stages of 99+1 layers, d8."""
    return _tiny("gpipe_84b_tiny", (99, 1), 8, 8)
