"""How long the steps of this process take. Not its job: anything that a resumed run repeats."""

from m4nmt.train.records import timing


class Clock:
    """Time spent in steps of this process since the last line, and a slower mean for people."""

    def __init__(self) -> None:
        self._seconds, self._source, self._target = 0.0, 0, 0
        self._pace = self._speed = 0.0

    def add(self, seconds: float, source: int, target: int) -> None:
        """A step of so many real tokens."""
        self._seconds += seconds
        self._source += source
        self._target += target
        share = 0.05 if self._pace else 1.0
        self._pace += share * (seconds - self._pace)
        self._speed += share * (target / max(seconds, 1e-9) - self._speed)

    def note(self, loss: float, steps_left: int) -> str:
        """Loss, speed and time left."""
        minutes, seconds = divmod(round(self._pace * steps_left), 60)
        return f"loss {loss:.3f} · {self._speed:,.0f} tokens/s · {minutes}:{seconds:02d} left"

    def timing(self) -> dict[str, float]:
        """See `records.timing`; the next line begins."""
        found = timing(self._seconds, self._source, self._target)
        self._seconds, self._source, self._target = 0.0, 0, 0
        return found
