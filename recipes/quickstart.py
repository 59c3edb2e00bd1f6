"""The quickstart: a small model on the corpus that ships inside Babel (CLDR). Minutes on a laptop.

It shows the pipeline from text to service, not translation quality.
"""

from m4nmt.core.stages import EvaluateConfig, SearchConfig
from m4nmt.data.settings import BlockConfig, DataConfig, DirectionsConfig, TokenizerConfig
from m4nmt.model.settings import classic
from m4nmt.optim.settings import AdamW, WarmupStableDecay
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train.settings import RunConfig, TrainConfig

LANGUAGES = ("eng_Latn", "deu_Latn", "fra_Latn", "spa_Latn", "ita_Latn", "swh_Latn", "tur_Latn")
HELD_OUT = ("deu_Latn-swh_Latn", "swh_Latn-deu_Latn", "fra_Latn-tur_Latn", "tur_Latn-fra_Latn")


def quickstart() -> RunConfig:
    """7 languages, 38 trained directions and 4 zero-shot ones, about a million parameters."""
    return RunConfig(
        name="quickstart",
        data=DataConfig(
            manifest="runs/quickstart/corpus/manifest.toml",
            directions=DirectionsConfig(languages=LANGUAGES, held_out=HELD_OUT),
            tokenizer=TokenizerConfig(vocab=2000, sample=60_000),
            blocks=BlockConfig(tokens=2048, max_length=64),
        ),
        model=classic(layers=2, dim=128, hidden=512, heads=4, dropout=0.0),
        optim=AdamW(lr=4e-3),
        schedule=WarmupStableDecay(warmup=100, decay=0.5),
        train=TrainConfig(
            steps=1500,
            label_smoothing=0.0,
            validate_every=500,
            validate_rows=20,
            save_every=250,
            average=0,
            choose="last",
        ),
        parallel=ParallelConfig(),
        search=SearchConfig(beam=2),
        evaluate=EvaluateConfig(sentences=100, metrics=("bleu", "chrf")),
    )


def debug() -> RunConfig:
    """A tiny model on real text: does everything run? Seconds.

    The small twins of the giants are trained on the same data for as long.
    """
    return RunConfig(
        name="debug",
        data=DataConfig(
            manifest="multi30k",
            directions=DirectionsConfig(languages=("eng_Latn", "deu_Latn")),
            tokenizer=TokenizerConfig(vocab=1000, sample=5000),
            blocks=BlockConfig(tokens=1024, max_length=128),
        ),
        model=classic(layers=1, dim=32, hidden=64, heads=2),
        train=TrainConfig(steps=20, validate_every=10, validate_rows=8, save_every=10, average=0),
        evaluate=EvaluateConfig(sentences=8, metrics=("bleu", "chrf")),
    )
