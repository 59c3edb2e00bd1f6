"""The mean of several model folders' weights (checkpoint averaging, Popel and Bojar 2018)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from m4nmt.checkpoint.model import load_model


def average(folders: Sequence[Path]) -> dict[str, Tensor]:
    """Mean weights, summed in fp64, returned in fp32.

    Raises:
        ValueError: no folder, or folders that differ in tokenizer, names or shapes.
        ModelFolderError: a folder cannot be read.
    """
    if not folders:
        raise ValueError("average needs at least one model folder")
    first = load_model(folders[0])
    sums = {name: weight.double() for name, weight in first.weights.items()}
    for folder in folders[1:]:
        other = load_model(folder)
        if other.card.tokenizer_sha256 != first.card.tokenizer_sha256:
            raise ValueError(f"{folder} and {folders[0]} have different tokenizers: no average")
        shapes = {name: weight.shape for name, weight in other.weights.items()}
        differing = sorted(sums.keys() ^ shapes.keys())
        differing += [n for n in sums.keys() & shapes.keys() if sums[n].shape != shapes[n]]
        if differing:
            raise ValueError(
                f"{folder} differs from {folders[0]} in names or shapes: {', '.join(differing[:5])}"
            )
        for name, weight in other.weights.items():
            sums[name] += weight
    return {name: (total / len(folders)).to(torch.float32) for name, total in sums.items()}
