"""Which sentences are decoded together.

Not its job: decoding, or knowing directions: sentences of all directions share a batch.
"""

from collections.abc import Sequence


def pack(lengths: Sequence[int], beam: int, budget: int) -> list[list[int]]:
    """Numbers 0..n-1 in groups of like length, the longest first.

    A group's rows * longest * beam stays within `budget` tokens, padding included; a sentence that
    is too long for the budget alone is a group of its own. The longest come first, so that what
    does not fit in memory fails at once.
    """
    groups: list[list[int]] = []
    room = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not room:
            groups.append([])
            room = max(1, budget // (beam * max(1, lengths[i])))
        groups[-1].append(i)
        room -= 1
    return groups
