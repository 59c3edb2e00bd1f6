"""Sentences as vectors, by a pretrained multilingual encoder on this machine.

Reads what `transformers` and sentence-transformers write, weights in safetensors only, and runs no
code that a model brings. Works on the CPU, or on the first CUDA device where there is one. Not its
job: where a model is (embedding_model.py), comparing (scores.py).

Letters: L lines, B lines of a batch, T tokens, D components.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from m4nmt.core.config import ConfigError
from m4nmt.data.filters import embedding_model
from m4nmt.data.filters.embedding_model import WHERE
from m4nmt.data.filters.settings import EmbeddingScore

Vectors = NDArray[np.float32]
_TOKENS = 1 << 13  # of a batch, padding included
_ACTIVATIONS = {"Tanh": nn.Tanh, "Identity": nn.Identity, "ReLU": nn.ReLU, "GELU": nn.GELU}


class Embedder:
    """A model, ready to be asked.

    Args:
        folder: of the model.
        config: longest line and prefix.

    Raises:
        ConfigError: transformers is not installed, or the folder holds another kind of model.
    """

    def __init__(self, folder: Path, config: EmbeddingScore) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        parts = embedding_model.layout(folder)
        self._tokenizer, model = _load(folder)
        self._model = model.to(self._device).eval()
        self._first = parts.pooling == "cls"
        self._dense = nn.Sequential(*map(_dense, parts.dense)).to(self._device).eval()
        self._prefix, self._pad = config.prefix, self._tokenizer.pad_token_id or 0
        # Some models count places from two on.
        places = getattr(model.config, "max_position_embeddings", 1 << 20) - 2
        self._most = min(config.tokens, self._tokenizer.model_max_length, places)

    def embed(self, texts: Sequence[str], language: str) -> Vectors:
        """Vectors [L, D] of length 1, of some lines of one language.

        Equal lines are embedded once. Batches depend on these lines alone.

        Args:
            texts: the lines; each must have a token.
            language: FLORES-style code, told to tokenizers that ask for it.

        Raises:
            ConfigError: the model gives numbers that are none.
        """
        if language in getattr(self._tokenizer, "extra_special_tokens", ()):
            self._tokenizer.src_lang = language
        numbers = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        lines = [self._prefix + text for text in numbers]
        found = self._tokenizer(lines, truncation=True, max_length=self._most)["input_ids"]
        ids = [line or [self._pad] for line in found]
        parts: list[Vectors] = []
        order: list[int] = []
        with torch.inference_mode(), _fast():
            for batch in _batches([len(line) for line in ids]):
                parts.append(self._batch([ids[i] for i in batch]).cpu().numpy())
                order += batch
        found_LD = np.concatenate(parts)
        if not np.isfinite(found_LD).all():
            raise ConfigError(
                f"{WHERE}: the model makes no numbers of a line of {language}; its "
                " weights are damaged, or it is no model of sentences"
            )
        found_LD[order] = found_LD.copy()
        return found_LD[[numbers[text] for text in texts]]

    def _batch(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Vectors [B, D] of lines of token ids."""
        rows = [torch.tensor(line, device=self._device) for line in ids]
        ids_BT = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self._pad)
        lengths_B = torch.tensor([len(line) for line in ids], device=self._device)
        mask_BT = torch.arange(ids_BT.shape[1], device=self._device) < lengths_B[:, None]
        states_BTD = self._model(input_ids=ids_BT, attention_mask=mask_BT.long()).last_hidden_state
        if self._first:
            pooled_BD = states_BTD[:, 0]
        else:
            pooled_BD = (states_BTD * mask_BT[:, :, None]).sum(1) / lengths_B[:, None]
        vector_BD: Tensor = self._dense(pooled_BD)
        return nn.functional.normalize(vector_BD, dim=1)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Lines of like length together, at most _TOKENS tokens with what they are padded to."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[i] > _TOKENS:
            yield batch
            batch = []
        batch.append(i)
    yield batch


@contextmanager
def _fast() -> Iterator[None]:
    """TF32 products on CUDA: ten bits, which is more than a score needs, and no overflow."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _load(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and encoder."""
    # Preparing forks worker processes; without a word said, the tokenizers warn of each.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        from transformers import AutoConfig, AutoTokenizer
    except ImportError as error:
        raise embedding_model.missing() from error
    where = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(folder, **where)
            tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right", **where)
            model, told = _kind(config, folder).from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                **where,
            )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise ConfigError(
            f"{WHERE}: {folder} cannot be loaded: {str(error).splitlines()[0]}"
        ) from error
    # The pooler above the encoder is not used; much of what is published comes without.
    absent = sorted(name for name in told["missing_keys"] if not name.startswith("pooler."))
    if absent or told["mismatched_keys"]:
        raise ConfigError(
            f"{WHERE}: {folder} lacks weights of its encoder "
            f"({', '.join(absent[:3]) or 'wrong shapes'}): bring it again"
        )
    return tokenizer, model


def _kind(config: Any, folder: Path) -> Any:
    """The class of an encoder.

    Of models that also know a decoder, only those that were saved as an encoder alone (SONAR) are
    made to compare sentences.
    """
    if not config.is_encoder_decoder:
        from transformers import AutoModel

        return AutoModel
    name = (config.architectures or [""])[0]
    if not name.endswith(("Encoder", "EncoderModel")):
        raise ConfigError(
            f"{WHERE}: {folder} holds {name or 'a model'}, which translates; "
            "sentences are compared by an encoder made for it, such as LaBSE or SONAR's"
        )
    module = type(config).__module__.replace(".configuration_", ".modeling_")
    return getattr(import_module(module), name)


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no table of weights: what is wrong is raised."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _dense(folder: Path) -> nn.Module:
    """A linear layer of sentence-transformers, with its activation."""
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    activation = told["activation_function"].rpartition(".")[2]
    weights = folder / "model.safetensors"
    if activation not in _ACTIVATIONS or not weights.is_file():
        raise ConfigError(
            f"{WHERE}: {folder} cannot be read: it must hold model.safetensors "
            f"and an activation out of {', '.join(_ACTIVATIONS)}"
        )
    linear = nn.Linear(told["in_features"], told["out_features"], bias=told["bias"])
    names = load_file(weights)
    linear.load_state_dict({name.removeprefix("linear."): value for name, value in names.items()})
    return nn.Sequential(linear, _ACTIVATIONS[activation]())
