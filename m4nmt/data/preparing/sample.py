"""Which lines teach the tokenizer: a sample by language at the sampling temperature."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from m4nmt.core.seeds import numpy_generator
from m4nmt.data.formats import Faults, Source, read


def quotas(lines: Mapping[str, int], total: int, temperature: float) -> dict[str, int]:
    """How many lines to draw of each language: p proportional to lines^(1/T), without repeats.

    What a small language cannot give is shared out among the others.
    """
    left = {name: count for name, count in lines.items() if count > 0}
    chosen = dict.fromkeys(lines, 0)
    while left and total > 0:
        weights = {name: count ** (1 / temperature) for name, count in left.items()}
        scale = total / sum(weights.values())
        spent = {name: left[name] for name in left if left[name] <= scale * weights[name]}
        if not spent:
            return chosen | {name: max(1, int(scale * weights[name])) for name in left}
        chosen |= spent
        total -= sum(spent.values())
        left = {name: count for name, count in left.items() if name not in spent}
    return chosen


def picks(total: int, wanted: int, *seed: int | str) -> NDArray[np.int64]:
    """Sorted distinct numbers below `total`, one from each of `wanted` equal strata."""
    ends = np.arange(wanted + 1, dtype=np.int64) * total // max(1, wanted)
    jitter = numpy_generator(*seed).random(wanted)
    return ends[:-1] + (jitter * np.diff(ends)).astype(np.int64)


class Sample:
    """Some lines of one language, read anew at every iteration.

    Args:
        columns: the sources of the language, and which of their fields it is.
        numbers: sorted numbers of the wanted lines among those that are not blank.
    """

    def __init__(self, columns: Sequence[tuple[Source, int]], numbers: NDArray[np.int64]) -> None:
        self._columns, self._numbers = columns, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        wanted = iter(self._numbers.tolist())
        target = next(wanted, None)
        seen = 0
        for source, field in self._columns:
            for row in read(source, Faults()):
                text = row[field]
                if text is None or not text or text.isspace():
                    continue
                if target is None:
                    return
                if seen == target:
                    yield text
                    target = next(wanted, None)
                seen += 1
