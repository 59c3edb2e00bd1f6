"""A sentence-embedding model made by hand: words of one concept have one vector, whatever language.

A BERT without layers, whose word vectors are balanced signs (LayerNorm leaves them as they are):
the mean over a sentence is its bag of concepts.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from filters_made import word
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

DIM = 64
PLACES = 130


def bag_of_words(folder: Path, languages: Sequence[str] = ("one", "two"), seed: int = 0) -> Path:
    """Write the model; returns its folder."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    concepts = {word(c, name): c for name in languages for c in range(300)}
    _tokenizer([*names, *concepts], specials=False).save_pretrained(folder)
    draw = torch.Generator().manual_seed(seed)
    signs = torch.tensor([1.0, -1.0]).repeat(DIM // 2)
    vectors = torch.stack([signs[torch.randperm(DIM, generator=draw)] for _ in range(300)])
    model = BertModel(_config(len(names) + len(concepts), layers=0), add_pooling_layer=False)
    with torch.no_grad():
        for table in (model.embeddings.position_embeddings, model.embeddings.token_type_embeddings):
            table.weight.zero_()
        words = model.embeddings.word_embeddings.weight
        words.zero_()
        words[len(names) :] = vectors[list(concepts.values())]
    model.save_pretrained(folder)
    return folder


def deep(folder: Path) -> BertModel:
    """Write a model of two random layers with [CLS] and [SEP]; returns it."""
    torch.manual_seed(3)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(word(c, "one") for c in range(300))]
    _tokenizer(list(dict.fromkeys(words)), specials=True).save_pretrained(folder)
    model = BertModel(_config(len(words), layers=2), add_pooling_layer=False).eval()
    model.save_pretrained(folder)
    return model


def _config(vocab: int, layers: int) -> BertConfig:
    return BertConfig(
        vocab_size=vocab,
        hidden_size=DIM,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=PLACES,
    )


def _tokenizer(words: Sequence[str], specials: bool) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if specials:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=PLACES
    )
