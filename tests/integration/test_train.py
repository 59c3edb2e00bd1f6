"""The whole of training on a task that a small model can learn: copy digits."""

import math
import time
from dataclasses import replace
from pathlib import Path

import train_made

from m4nmt.checkpoint.model import load_model
from m4nmt.data.settings import DirectionsConfig
from m4nmt.model.settings import classic
from m4nmt.optim.settings import AdamW, InverseSqrt
from m4nmt.train.run import train


def test_digits_are_learnt(tmp_path: Path) -> None:
    """From text to a model that is sure of most digits of lines it never saw."""
    config = train_made.config(
        train_made.corpus(tmp_path / "corpus", train=3000),
        steps=300,
        log_every=50,
        validate_every=100,
        label_smoothing=0.0,
        choose="lowest",
        average=2,
        average_every=50,
    )
    directions = DirectionsConfig(only=("eng_Latn-deu_Latn",))
    blocks = replace(config.data.blocks, tokens=768, examples=1024)
    config = replace(
        config,
        data=replace(config.data, directions=directions, blocks=blocks),
        model=classic(layers=2, dim=64, hidden=128, heads=4, dropout=0.0),
        optim=AdamW(lr=4e-3),
        schedule=InverseSqrt(warmup=50),
    )
    started = time.process_time()
    outcome = train(config, tmp_path / "run")
    assert time.process_time() - started < 60
    assert outcome.status == "finished"
    validation = train_made.records(tmp_path / "run", "validation")
    assert [line["step"] for line in validation] == [100, 200, 300]
    assert validation[-1]["perplexity"] < 1.4  # guessing a digit is 10
    assert outcome.best == min(line["loss"] for line in validation)
    loss = [line["loss"] for line in train_made.records(tmp_path / "run")]
    assert loss[-1] < loss[0] / 5
    told = train_made.events(tmp_path / "run", "model")[0]["dev_loss"]
    assert set(told) == {"last", "average", "best"}
    assert all(math.isfinite(value) for value in told.values())
    assert load_model(tmp_path / "run").card.directions == ("eng_Latn-deu_Latn",)
