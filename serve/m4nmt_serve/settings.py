"""Limits and waits of the service. Every number has a unit in its description."""

from dataclasses import dataclass, field

from m4nmt.core.stages import SearchConfig


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How the service behaves under load and under bad input.

    Attributes:
        max_body: bytes of a request's body; a larger one gets 413, unread.
        max_chars: characters of all texts of one request together; more gets 413.
        max_texts: texts in one request.
        max_alternatives: alternatives a request may ask for.
        body_seconds: time a client has to send its whole body; then 408.
        deadline: seconds from the whole body to the answer; then 504 and the work is dropped.
        max_requests: requests handled at one time; more get 429.
        batch_chars: characters translated together; a longer text goes alone.
        batch_wait: seconds a text waits for company before it is translated.
        queue_chars: characters that may wait for the engine; more gets 429 with Retry-After.
        cache_chars: characters (texts and translations) remembered; 0 is off.
        drain_seconds: time that running requests have to finish after SIGTERM.
        origins: web origins whose pages may call the service (CORS); empty is none but its own.
        search: how to decode; None is the way the model's card says.
    """

    max_body: int = 2 * 1024 * 1024
    max_chars: int = 20_000
    max_texts: int = 128
    max_alternatives: int = 8
    body_seconds: float = 30.0
    deadline: float = 60.0
    max_requests: int = 512
    batch_chars: int = 4_000
    batch_wait: float = 0.01
    queue_chars: int = 100_000
    cache_chars: int = 4_000_000
    drain_seconds: float = 30.0
    origins: tuple[str, ...] = field(default=("*",))
    search: SearchConfig | None = None

    def __post_init__(self) -> None:
        counts = (self.max_body, self.max_chars, self.max_texts, self.max_requests)
        if min(*counts, self.batch_chars) < 1 or self.max_alternatives < 0:
            raise ValueError("limits of the service must be at least 1 (alternatives at least 0)")
        if min(self.body_seconds, self.deadline) <= 0 or min(self.batch_wait, self.cache_chars) < 0:
            raise ValueError("times must be positive; batch_wait and cache_chars may be 0")
        if self.queue_chars < self.max_chars:
            raise ValueError(
                f"queue_chars {self.queue_chars} is below max_chars {self.max_chars}: "
                "the largest allowed request could never be queued"
            )
