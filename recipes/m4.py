"""The sizes of Google's M4 (GPipe, arXiv:1811.06965, section 5): T(layers, hidden, heads), d1024.

Heads are 64 wide, so 32 of them are wider than the stream; source and target share one table and
the output has its own, which gives the published parameter counts with 64,000 pieces.
"""

from dataclasses import replace

from m4nmt.data.settings import (
    BlockConfig,
    DataConfig,
    DirectionsConfig,
    Temperature,
    TokenizerConfig,
)
from m4nmt.model.settings import AttentionConfig, ModelConfig, classic
from m4nmt.optim.settings import Adafactor, InverseSqrt
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train.settings import ParameterClip, RunConfig, TrainConfig


def _model(layers: int, hidden: int, heads: int) -> ModelConfig:
    plain = classic(layers=layers, dim=1024, hidden=hidden, heads=heads)
    layer = replace(plain.encoder[0], attention=AttentionConfig(heads=heads, head_dim=64))
    return replace(plain, encoder=(layer,) * layers, decoder=(layer,) * layers, ties="target")


def _run(name: str, layers: int, hidden: int, heads: int) -> RunConfig:
    return RunConfig(
        name=name,
        data=DataConfig(
            manifest="bible100",
            directions=DirectionsConfig(pairs="centric"),
            tokenizer=TokenizerConfig(vocab=64_000, temperature=5.0),
            mixture=Temperature(T=5.0),
            blocks=BlockConfig(tokens=262_144, rows_multiple=64),
        ),
        model=_model(layers, hidden, heads),
        optim=Adafactor(lr=1.0),
        schedule=InverseSqrt(scale=3.0, warmup=40_000, dim_factor=False),
        train=TrainConfig(steps=500_000, clip=ParameterClip(norm=1.0)),
        parallel=ParallelConfig(microbatches=64, precision="bf16"),
    )


def m4_400m() -> RunConfig:
    """T(6, 8192, 16)."""
    return _run("m4_400m", 6, 8192, 16)


def m4_1_3b_wide() -> RunConfig:
    """T(12, 16384, 32)."""
    return _run("m4_1_3b_wide", 12, 16_384, 32)


def m4_1_3b_deep() -> RunConfig:
    """T(24, 8192, 16)."""
    return _run("m4_1_3b_deep", 24, 8192, 16)


def m4_3b() -> RunConfig:
    """T(32, 16384, 32)."""
    return _run("m4_3b", 32, 16_384, 32)


def m4_6b() -> RunConfig:
    """T(64, 16384, 32)."""
    return _run("m4_6b", 64, 16_384, 32)
