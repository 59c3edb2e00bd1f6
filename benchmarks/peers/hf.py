"""Training speed of Hugging Face transformers: its own ``Seq2SeqTrainer``, watched.

``--model m2m100`` (the default) or ``--model marian``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import window as shared
from corpus import SOURCE_FILE, TARGET_FILE, VOCABULARY_FILE, read_lines

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
START, PADDING, END = 0, 1, 2
IGNORED = -100
"""What the collator of transformers writes where a label is padding."""
MODELS = ("m2m100", "marian")
POSITIONS = 128


def labels(trainer: Any, model: Any, inputs: Any, *_: Any) -> Iterator[tuple[Tensor, int]]:
    """The labels of a batch."""
    yield inputs["labels"], IGNORED


def build_tokenizer(corpus: Path) -> PreTrainedTokenizerFast:
    """A tokenizer that cuts at spaces and appends the end symbol."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIALS, *read_lines(corpus / VOCABULARY_FILE)]
    index = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(index, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )


def build_examples(corpus: Path, tokenizer: PreTrainedTokenizerFast) -> list[dict[str, Any]]:
    """The corpus as token numbers."""
    sources = tokenizer(read_lines(corpus / SOURCE_FILE))["input_ids"]
    targets = tokenizer(read_lines(corpus / TARGET_FILE))["input_ids"]
    return [
        {"input_ids": source, "labels": target}
        for source, target in zip(sources, targets, strict=True)
    ]


def build_model(kind: str, vocabulary: int, inner_dropout: float) -> PreTrainedModel:
    """The common model in the form of one of the two families."""
    from transformers import (
        M2M100Config,
        M2M100ForConditionalGeneration,
        MarianConfig,
        MarianMTModel,
    )
    from transformers.models.m2m_100.modeling_m2m_100 import shift_tokens_right

    settings: dict[str, Any] = {
        "vocab_size": vocabulary,
        "d_model": shared.WIDTH,
        "dropout": shared.DROPOUT,
        "attention_dropout": inner_dropout,
        "activation_dropout": inner_dropout,
        "activation_function": "relu",
        "max_position_embeddings": POSITIONS,
        "bos_token_id": START,
        "pad_token_id": PADDING,
        "eos_token_id": END,
        "decoder_start_token_id": END,
        "use_cache": False,
    }
    for side in ("encoder", "decoder"):
        settings[f"{side}_layers"] = shared.LAYERS
        settings[f"{side}_ffn_dim"] = shared.HIDDEN
        settings[f"{side}_attention_heads"] = shared.HEADS
        settings[f"{side}_layerdrop"] = 0.0
    if kind == "marian":
        return MarianMTModel(MarianConfig(**settings))
    model = M2M100ForConditionalGeneration(M2M100Config(**settings))
    # With label smoothing the collator must make the decoder's input, by a method of the
    # model that this family lacks.
    model.prepare_decoder_input_ids_from_labels = lambda labels: shift_tokens_right(
        labels, PADDING, END
    )
    return model


def rows(examples: list[dict[str, Any]], batch_tokens: int) -> int:
    """Sentences a batch: the trainer counts these, and not tokens."""
    mean = sum(len(example["labels"]) for example in examples) / len(examples)
    return max(1, round(batch_tokens / mean))


def train(options: shared.Options, window: shared.Window) -> None:
    """Run the trainer in this process."""
    from transformers import (
        DataCollatorForSeq2Seq,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
        TrainerCallback,
        set_seed,
    )

    class Watch(TrainerCallback):
        """Counts an update when the optimiser has made its step."""

        def on_step_end(self, *_: Any, **__: Any) -> None:
            window.update(seen)
            seen.clear()

    class Watched(Seq2SeqTrainer):
        """The trainer, remembering the labels of the update it is in."""

        def training_step(self, model: Any, inputs: Any, *rest: Any, **others: Any) -> Tensor:
            seen.extend(labels(self, model, inputs))
            return super().training_step(model, inputs, *rest, **others)

    seen: list[tuple[Tensor, int]] = []
    set_seed(shared.SEED)
    tokenizer = build_tokenizer(options.corpus)
    examples = build_examples(options.corpus, tokenizer)
    model = window.model = build_model(options.model, len(tokenizer), options.inner_dropout)
    with tempfile.TemporaryDirectory() as scratch:
        settings = Seq2SeqTrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=rows(examples, options.batch_tokens),
            train_sampling_strategy="group_by_length",
            max_steps=options.warmup + options.updates + 10,
            learning_rate=shared.LEARNING_RATE,
            lr_scheduler_type="constant",
            adam_beta1=shared.BETAS[0],
            adam_beta2=shared.BETAS[1],
            adam_epsilon=shared.EPSILON,
            label_smoothing_factor=shared.LABEL_SMOOTHING,
            max_grad_norm=0.0,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            seed=shared.SEED,
        )
        collator = DataCollatorForSeq2Seq(tokenizer, model=model, label_pad_token_id=IGNORED)
        Watched(
            model=model,
            args=settings,
            train_dataset=examples,
            data_collator=collator,
            callbacks=[Watch()],
        ).train()


if __name__ == "__main__":
    shared.unshadow()
    chosen = shared.parse_options(MODELS)
    shared.run(f"transformers {chosen.model}", "transformers", chosen, train)
