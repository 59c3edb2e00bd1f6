"""DeepNet (arXiv:2203.00555): hundreds of post-norm layers, kept stable by DeepNorm. d512, 8 heads,
feed-forwards of 2,048, as trained on OPUS-100.

128,000 pieces, with a table for the source and one for target and output, give the published
parameter counts. Each comes with a twin of the same layout, small enough to be trained on 2 or 4
processes of one machine.
"""

from dataclasses import replace

from m4nmt.core.names import recipe
from m4nmt.data.settings import BlockConfig, DataConfig, DirectionsConfig, TokenizerConfig
from m4nmt.model.settings import DeepNorm, ModelConfig, classic
from m4nmt.optim.settings import AdamW, InverseSqrt
from m4nmt.parallel.settings import ParallelConfig, Recompute, Remat, Selective
from m4nmt.train.settings import RunConfig, TrainConfig


def _model(layers: int, dim: int, hidden: int, heads: int) -> ModelConfig:
    """Half of the layers encode, half decode."""
    plain = classic(layers=layers // 2, dim=dim, hidden=hidden, heads=heads)
    layer = replace(plain.encoder[0], residual=DeepNorm())
    stack = (layer,) * (layers // 2)
    return replace(plain, encoder=stack, decoder=stack, ties="target")


def _laid(stages: int, pieces: int, remat: Remat) -> ParallelConfig:
    return ParallelConfig(pipeline=stages, microbatches=pieces, remat=remat, precision="bf16")


def _run(name: str, layers: int, parallel: ParallelConfig) -> RunConfig:
    return RunConfig(
        name=name,
        data=DataConfig(
            manifest="bible100",
            directions=DirectionsConfig(pairs="centric"),
            tokenizer=TokenizerConfig(vocab=128_000),
            blocks=BlockConfig(tokens=131_072, rows_multiple=64),
        ),
        model=_model(layers, 512, 2048, 8),
        optim=AdamW(lr=5e-4),
        schedule=InverseSqrt(warmup=4000),
        train=TrainConfig(steps=100_000),
        parallel=parallel,
    )


def _tiny(name: str, layers: int, parallel: ParallelConfig) -> RunConfig:
    """On image captions."""
    base: RunConfig = recipe("debug")()
    return replace(
        base,
        name=name,
        model=_model(layers, 16, 64, 2),
        optim=AdamW(lr=1e-3),
        schedule=InverseSqrt(warmup=400),
        parallel=replace(parallel, precision="fp32"),
    )


def deepnet_200() -> RunConfig:
    """100+100 layers, 863 M parameters, on any number of replicas up to 8."""
    return _run("deepnet_200", 200, _laid(1, 8, Selective()))


def deepnet_200_tiny() -> RunConfig:
    """The layout of `deepnet_200` on 2 replicas of 20+20 layers, d16."""
    return _tiny("deepnet_200_tiny", 40, _laid(1, 4, Selective()))


def deepnet_1000() -> RunConfig:
    """500+500 layers, 3.8 B parameters, on 8 stages."""
    return _run("deepnet_1000", 1000, _laid(8, 32, Recompute()))


def deepnet_1000_tiny() -> RunConfig:
    """The layout of `deepnet_1000` on 4 stages of 50+50 layers, d16."""
    return _tiny("deepnet_1000_tiny", 100, _laid(4, 8, Recompute()))
