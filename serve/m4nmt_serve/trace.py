"""What is known of the request that is being served: its number, and what it cost.

The gate makes one for each request and finds it again when the request is over; whoever works for
the request in between adds what it learns. Not its job: writing it down (logs.py, meters.py).
"""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class Trace:
    """One request.

    Attributes:
        id: names the request in the log and in the answer (X-Request-Id).
        urgency: of the Priority header (RFC 9218): 0 to 7, 3 unless said otherwise.
        lane, model: where its texts waited and what translated them; empty if nothing did.
        source, target: as the service understood them.
        texts, chars: asked for. `cached` of its texts were known already.
        queued: seconds that the text that waited longest was in the queue.
        said: the texts themselves; only kept where the log shall hold them.
    """

    id: str
    urgency: int = 3
    lane: str = ""
    model: str = ""
    source: str = ""
    target: str = ""
    texts: int = 0
    chars: int = 0
    cached: int = 0
    queued: float = 0.0
    said: tuple[str, ...] = ()
    begun: float = field(default_factory=time.monotonic)


_current: ContextVar[Trace | None] = ContextVar("m4nmt_trace", default=None)


def begin(trace: Trace) -> None:
    """Work in this context, and in tasks begun from it, is for this request."""
    _current.set(trace)


def current() -> Trace:
    """The request that is being served; one that nobody reads where there is none."""
    return _current.get() or Trace("")
