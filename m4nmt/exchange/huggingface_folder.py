"""A folder that Hugging Face transformers loads: a model, its tokenizer and how it generates.

    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    model = AutoModelForSeq2SeqLM.from_pretrained(FOLDER)
    model.generate(**tokenizer("<2deu_Latn> Good morning", return_tensors="pt"))

Written beside its place and renamed into it. m4nmt itself does not read it back.
Not its job: what stands in the files (huggingface, huggingface_words).
"""

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.checkpoint.model import README, Loaded
from m4nmt.core.config import ConfigError, from_dict
from m4nmt.core.files import fsync_folder, sync_file, write_atomic
from m4nmt.core.stages import SearchConfig
from m4nmt.data.language import to_bcp47
from m4nmt.data.settings import BlockConfig
from m4nmt.data.tokenizer import EOS
from m4nmt.exchange import huggingface, huggingface_words
from m4nmt.model.settings import Learned, ModelConfig

FOLDER = "huggingface"
_FEWEST_POSITIONS = 1024


def write_folder(loaded: Loaded, folder: Path) -> None:
    """Write a model for transformers into a new folder.

    Raises:
        NotExportableError: transformers has no such model; names the part.
        ConfigError: the tokenizer cannot be written, or the folder is there already.
        OSError: the disk's fault; nothing is left.
    """
    if folder.exists():
        raise ConfigError(f"{folder} is there already; choose a new folder, or remove it")
    config = from_dict(ModelConfig, loaded.card.config["model"], "card: model")
    huggingface.check(config)
    words = huggingface_words.vocabulary(loaded.folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".tmp-{folder.name}-{secrets.token_hex(4)}")
    try:
        temporary.mkdir()
        _write(temporary, loaded, config, words)
        temporary.rename(folder)
        fsync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write(
    folder: Path, loaded: Loaded, config: ModelConfig, words: huggingface_words.Vocabulary
) -> None:
    """Every file."""
    card = loaded.card
    seen = from_dict(BlockConfig, card.config["data"]["blocks"], "card: data.blocks").max_length
    search = from_dict(SearchConfig, card.config["search"], "card: search")
    positions = _positions(config, seen)
    never = [i for i in words.controls if i != EOS]
    never += range(len(words.pieces), config.vocab)
    files: dict[str, Any] = {
        "config.json": huggingface.settings(config, positions),
        "generation_config.json": huggingface.generation(search, never, seen),
        "tokenizer.json": huggingface_words.tokenizer_json(words),
        "tokenizer_config.json": huggingface_words.tokenizer_settings(seen),
    }
    for name, content in files.items():
        write_atomic(folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    tensors = huggingface.weights(config, loaded.weights, positions)
    separate = {name: tensor.clone() for name, tensor in tensors.items()}
    save_file(separate, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)
    sync_file(folder / "model.safetensors")
    write_atomic(folder / README, _readme(card))


def _positions(config: ModelConfig, seen: int) -> int:
    """Rows of the table of positions."""
    if isinstance(config.position, Learned):
        return config.position.length
    return max(_FEWEST_POSITIONS, 1 << (4 * seen - 1).bit_length())


def _readme(card: CheckpointCard) -> str:
    """A model card for the people who find this folder."""
    languages = "\n".join(f"- {code}" for code in sorted({to_bcp47(c) for c in card.languages}))
    tag = f"<2{card.languages[0]}>"
    return (
        "---\n"
        f"language:\n{languages}\n"
        "library_name: transformers\npipeline_tag: translation\ntags:\n- translation\n- m4nmt\n"
        "---\n\n"
        f"# {card.name}\n\n"
        f"A translation model of {len(card.languages)} languages, made with {card.code} "
        f"(step {card.step:,}), in the form of Pegasus, the family of transformers that computes "
        "the same.\n\n"
        "```python\n"
        "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer\n\n"
        "tokenizer = AutoTokenizer.from_pretrained(FOLDER)\n"
        "model = AutoModelForSeq2SeqLM.from_pretrained(FOLDER)\n"
        f'source = tokenizer("{tag} Good morning", return_tensors="pt")\n'
        "print(tokenizer.batch_decode(model.generate(**source), skip_special_tokens=True))\n"
        "```\n\n"
        "A source is the tag of the target language, then the text. Give one sentence at a time, "
        "as the model was trained. The tags: "
        f"{', '.join(f'`<2{code}>`' for code in card.languages)}.\n"
    )
