"""The README of a model folder: what a person needs to know before using the model.

Not its job: anything that a program reads (that is the card).
"""

from collections.abc import Mapping
from typing import Any

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.data.language import display_name
from m4nmt.data.types import Direction

MOST_SCORES = 200


def readme(card: CheckpointCard, parameters: int) -> str:
    """Markdown for the people who find this folder."""
    parts = [
        f"# {card.name}",
        f"A multilingual translation model of {parameters:,} parameters, made with {card.code} "
        f"after {card.step:,} training steps. It knows {len(card.languages)} languages and was "
        f"trained in {len(card.directions)} directions.",
        _usage(card),
        _languages(card),
        _scores(card.scores),
        _data(card.data),
        "## Limits\n\nThe model translates sentences and splits longer text into them. Quality "
        "follows the amount of training text of a direction; where no score is given, none was "
        "measured. Read what matters with a person who knows both languages.",
        "## Files\n\n`card.json` holds the configuration, hashes and scores; a folder whose hashes "
        "do not agree is refused. `model.safetensors` holds the weights in fp32. This file is for "
        "people only and may be edited.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _usage(card: CheckpointCard) -> str:
    first = Direction.parse((card.directions or ("eng_Latn-deu_Latn",))[0])
    return (
        "## Use\n\n```sh\n"
        f"m4nmt translate THIS_FOLDER --from {first.src} --to {first.tgt} < in.txt\n"
        "m4nmt serve THIS_FOLDER --port 5000\n```\n\n```python\n"
        "from m4nmt.translate.translator import Translator\n\n"
        'translator = Translator.load("THIS_FOLDER")\n'
        f'print(translator.translate(["..."], "{first.src}", "{first.tgt}")[0][0].text)\n```'
    )


def _languages(card: CheckpointCard) -> str:
    rows = [f"| `{code}` | {_name(code)} |" for code in card.languages]
    directions = ", ".join(f"`{direction}`" for direction in card.directions)
    return (
        "## Languages\n\n| Code | Language |\n|---|---|\n" + "\n".join(rows) + "\n\n"
        f"Trained directions: {directions}. Others work as far as the model generalises."
    )


def _name(code: str) -> str:
    try:
        return display_name(code)
    except ValueError:
        return code


def _scores(scores: Mapping[str, Any]) -> str:
    """A table of direction by metric; nothing where nothing was measured."""
    table = {d: values for d, values in scores.items() if isinstance(values, Mapping)}
    metrics = sorted({metric for values in table.values() for metric in values})
    if not metrics:
        return ""
    rows = [
        f"| {direction} | " + " | ".join(_number(values.get(m)) for m in metrics) + " |"
        for direction, values in sorted(table.items())[:MOST_SCORES]
    ]
    head = f"| Direction | {' | '.join(metrics)} |\n|---|{'---|' * len(metrics)}\n"
    return "## Scores\n\n" + head + "\n".join(rows)


def _number(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, int | float) else "" if value is None else str(value)


def _data(data: Mapping[str, Any]) -> str:
    """Corpora and licences as the store told them."""
    if not data:
        return ""
    lines = []
    for key in sorted(data):
        value = data[key]
        if isinstance(value, Mapping):
            value = "; ".join(f"{k}: {v}" for k, v in sorted(value.items()))
        elif isinstance(value, list | tuple):
            value = ", ".join(str(v) for v in value)
        lines.append(f"- {key}: {value}")
    return "## Training data\n\n" + "\n".join(lines)
