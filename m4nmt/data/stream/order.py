"""The order in which a direction's examples are drawn: a keyed permutation, in constant memory.

Position p of a direction's endless stream is example `permutation_{p // n}(p % n)`: each example
once an epoch, another order each epoch. The permutation is a Feistel network over the smallest
2^k >= n with cycle walking (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"), so any
position is computed without the others.
Not its job: how many are drawn (blocks.py).
Shape letters: N examples drawn.
"""

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_ROUNDS = (np.arange(1, 9, dtype=np.uint64) * _MIX_1).reshape(4, 2)
_ONE = np.uint64(1)


def examples_at(
    positions_N: NDArray[np.int64], sizes_N: NDArray[np.int64], keys_N: U64
) -> NDArray[np.int64]:
    """The example at each position of a stream [N].

    Args:
        positions_N: from 0.
        sizes_N: examples that each stream has.
        keys_N: of each stream; another key is another order.

    Raises:
        ValueError: a stream without examples, or a negative position.
    """
    if len(positions_N) and (sizes_N.min() < 1 or positions_N.min() < 0):
        raise ValueError("a stream needs at least one example and a position from 0 on")
    sizes = sizes_N.astype(np.uint64)
    epochs, within = np.divmod(positions_N.astype(np.uint64), sizes)
    return permute(within, sizes, mix(epochs * GOLDEN + keys_N)).astype(np.int64)


def permute(numbers_N: U64, sizes_N: U64, keys_N: U64) -> U64:
    """Where each number below its size goes: a bijection for any one size and key [N]."""
    bits = np.ceil(np.log2(np.maximum(sizes_N, 4))).astype(np.uint64)
    result = _feistel(numbers_N, bits, keys_N)
    outside = np.flatnonzero(result >= sizes_N)
    while len(outside):
        walked = _feistel(result[outside], bits[outside], keys_N[outside])
        result[outside] = walked
        outside = outside[walked >= sizes_N[outside]]
    return result


def _feistel(numbers: U64, bits: U64, keys: U64) -> U64:
    """A bijection of the numbers below 2^bits; each half-round keys one half by the other."""
    low_bits = bits // np.uint64(2)
    low_mask = (_ONE << low_bits) - _ONE
    high_mask = (_ONE << (bits - low_bits)) - _ONE
    low, high = numbers & low_mask, numbers >> low_bits
    for one, other in _ROUNDS:
        high = high ^ (mix(low + keys + one) & high_mask)
        low = low ^ (mix(high + keys + other) & low_mask)
    result: U64 = high << low_bits | low
    return result


def mix(x: U64) -> U64:
    """The finaliser of SplitMix64 (Steele et al. 2014): every input bit moves every output bit."""
    x = x + GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))
