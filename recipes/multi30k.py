"""Multi30k English-German: image captions, 29,000 lines. A known yardstick for small models."""

from m4nmt.core.stages import EvaluateConfig, SearchConfig
from m4nmt.data.settings import BlockConfig, DataConfig, DirectionsConfig, TokenizerConfig
from m4nmt.model.settings import classic
from m4nmt.optim.settings import AdamW, WarmupStableDecay
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train.settings import RunConfig, TrainConfig


def multi30k() -> RunConfig:
    """4+4 layers, d128, both directions in one model."""
    return RunConfig(
        name="multi30k",
        data=DataConfig(
            manifest="multi30k",
            directions=DirectionsConfig(languages=("eng_Latn", "deu_Latn")),
            tokenizer=TokenizerConfig(vocab=8000),
            blocks=BlockConfig(tokens=4096, max_length=128),
        ),
        model=classic(layers=4, dim=128, hidden=512, heads=4, dropout=0.2),
        optim=AdamW(lr=3e-3),
        schedule=WarmupStableDecay(warmup=400, decay=0.6),
        train=TrainConfig(
            steps=4000, validate_every=250, validate_rows=1014, save_every=250, average=5
        ),
        parallel=ParallelConfig(precision="bf16"),
        search=SearchConfig(beam=5),
        evaluate=EvaluateConfig(),
    )
