"""SIGTERM and Ctrl-C as a wish to stop at the next step boundary."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)


class Wish:
    """Becomes `wanted` when a signal came. `signal` is its name."""

    def __init__(self) -> None:
        self.signal = ""

    @property
    def wanted(self) -> bool:
        return bool(self.signal)


@contextmanager
def wish_to_stop() -> Iterator[Wish]:
    """Note the first SIGTERM or SIGINT instead of dying.

    A second Ctrl-C interrupts at once. A repeated SIGTERM does nothing more, not even while the
    process closes after the with-block, since launchers send it to a process and to its group.
    Outside the main thread signals are left alone.
    """
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return

    def note(number: int, frame: FrameType | None) -> None:
        if wish.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not wish.wanted:
            wish.signal = signal.Signals(number).name
            log.warning("%s: finishing this step, saving, leaving", wish.signal)

    before = {n: signal.signal(n, note) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            if not (wish.wanted and number == signal.SIGTERM and handler == signal.SIG_DFL):
                signal.signal(number, handler)
