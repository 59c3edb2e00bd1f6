"""A cache bounded by the characters it holds: the least recently used goes first."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Not thread-safe: the event loop owns it."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, which becomes the most recently used one; None if absent."""
        found = self._items.get(key)
        if found is None:
            return None
        self._items.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of `size`, dropping old ones to make room; one too large is not kept."""
        if key in self._items:
            self.used -= self._items.pop(key)[1]
        if size > self.capacity:
            return
        self._items[key] = (value, size)
        self.used += size
        while self.used > self.capacity:
            self.used -= self._items.popitem(last=False)[1][1]
