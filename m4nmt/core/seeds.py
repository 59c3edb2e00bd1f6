"""Random numbers as functions of names: (run seed, what for, which step) -> stream."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_for(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part and on nothing else."""
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def torch_generator(*parts: int | str) -> "torch.Generator":
    """A CPU generator for these parts."""
    import torch  # here, since what prepares text draws by numpy alone

    return torch.Generator().manual_seed(seed_for(*parts))


def numpy_generator(*parts: int | str) -> np.random.Generator:
    """A numpy generator for these parts."""
    return np.random.Generator(np.random.PCG64(seed_for(*parts)))
