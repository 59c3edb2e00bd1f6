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
        max_beam: beams that a request may ask for, unless the model's card says more.
        head_seconds: time a client has to send a request's head, and to take what is sent to it;
            then its connection is closed.
        body_seconds: time a client has to send its whole body; then 408.
        deadline: seconds from the whole body to the answer; then 504 and the work is dropped.
        max_requests: requests handled at one time; more get 429. It is what bounds how long an
            accepted one takes: a model that does R texts a second answers after some
            max_requests / R seconds. Large ones and those that can wait get half of the places.
        max_held: bytes of bodies held at one time; more gets 429.
        max_connections: connections at one time; more are closed at once.
        batch_tokens: tokens translated together; a longer text goes alone. A CPU gains little from
            more, and answers arrive in smaller flocks; a GPU wants several thousand.
        batch_wait: seconds a text waits for company before it is translated.
        queue_tokens: tokens that may wait in a lane, however quick the engine; a request that comes
            while so much waits gets 429 with Retry-After.
        queue_seconds: the same in seconds of the engine's work; two batches may always wait.
        bulk_chars: a request with more characters waits in the bulk lane, which does not hold up
            the interactive one. So does one that says `Priority: u=5` or more (RFC 9218).
        workers: batches in the engine at one time.
        cache_chars: characters (texts and translations) remembered; 0 is off.
        drain_seconds: time that running requests have to finish after SIGTERM.
        origins: web origins whose pages may call the service (CORS); empty is none but its own.
        admin_sha256: SHA-256, in hexadecimal, of the token for /admin; empty closes /admin.
        keys: file of API keys (`m4nmt keys`); empty lets everybody in.
        database: SQLite file for glossaries, suggestions and what keys have used; empty keeps them
            in memory until the end.
        page_texts: folder of further languages of the web page itself (page_texts.py).
        max_file_chars: characters of a document; more is refused.
        log_texts: whether the log quotes texts, and messages that may quote them.
        search: how to decode; None is the way the model's card says.
    """

    max_body: int = 2 * 1024 * 1024
    max_chars: int = 20_000
    max_texts: int = 128
    max_alternatives: int = 8
    max_beam: int = 16
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    deadline: float = 60.0
    max_requests: int = 80
    max_held: int = 64 * 1024 * 1024
    max_connections: int = 10_000
    batch_tokens: int = 512
    batch_wait: float = 0.01
    queue_tokens: int = 100_000
    queue_seconds: float = 5.0
    bulk_chars: int = 2_000
    workers: int = 1
    cache_chars: int = 4_000_000
    drain_seconds: float = 30.0
    origins: tuple[str, ...] = field(default=("*",))
    admin_sha256: str = field(default="", repr=False)
    keys: str = ""
    database: str = ""
    page_texts: str = ""
    max_file_chars: int = 200_000
    log_texts: bool = False
    search: SearchConfig | None = None

    def __post_init__(self) -> None:
        counts = (
            self.max_body,
            self.max_chars,
            self.max_texts,
            self.max_requests,
            self.max_file_chars,
        )
        if min(*counts, self.batch_tokens, self.workers) < 1 or self.max_alternatives < 0:
            raise ValueError("limits of the service must be at least 1 (alternatives at least 0)")
        if (
            min(self.head_seconds, self.body_seconds, self.deadline) <= 0
            or min(self.batch_wait, self.cache_chars) < 0
        ):
            raise ValueError("times must be positive; batch_wait and cache_chars may be 0")
        if self.queue_tokens < 1 or min(self.queue_seconds, self.bulk_chars) < 0:
            raise ValueError("queue_tokens must be positive; queue_seconds, bulk_chars may be 0")
