"""Documents that clients sent: translated in the background, kept until they expire.

A document belongs to the key that sent it, and has a number and a secret that cannot be guessed.
Its texts wait in the bulk lane like any others. Not its job: formats (m4nmt.documents), HTTP.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from m4nmt.documents.fill import Watch
from m4nmt.documents.formats import format_of, formats
from m4nmt.documents.translate import translate_document
from m4nmt.documents.types import CancelledError, DocumentError, Limits
from m4nmt_serve.ask import AUTO
from m4nmt_serve.batcher import Item
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.keys import Caller, caller
from m4nmt_serve.languages import Language
from m4nmt_serve.order import Full, How, Order
from m4nmt_serve.params import Upload
from m4nmt_serve.service import Service

log = logging.getLogger("m4nmt_serve")
Status = Literal["queued", "translating", "done", "error"]

_KEPT = 900.0  # seconds that a translated document can be fetched
_SECONDS = 1800.0  # that a document may take, its waiting included
_OPEN = 8  # documents of one key, or of all who have none, that are not done yet
_MOST = 10_000  # documents known at one time, done or not
_THREADS = 2  # documents read and written at one time; their texts are translated by the engine
_TOGETHER = 64  # texts ordered at one time
_SAMPLE = 4_000  # characters that tell the language
_LOOK = 0.25  # seconds between two looks whether anybody still wants it


class Job:
    """A document on its way. Owned by the event loop; its thread only reads `stop`.

    Attributes:
        id, secret: both are needed to see anything of it.
        name: of the translated file.
        chars: translated so far, which are paid for.
        result: the document once it is done; `error` if it failed.
        ends: when it is forgotten, by time.monotonic.
    """

    def __init__(self, sender: Caller, name: str) -> None:
        self.id = secrets.token_urlsafe(24)
        self.secret = secrets.token_urlsafe(24)
        self.sender = sender
        self.name = name
        self.status: Status = "queued"
        self.chars = 0
        self.result = b""
        self.error: ServiceError | None = None
        self.ends = time.monotonic() + _SECONDS
        self.stop = False
        self.over = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether it is still worked on."""
        return not self.over.is_set()


class Files:
    """All documents of a service. Owned by one event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="m4nmt-document")

    def start(self, file: Upload, source: str, target: str, glossary: str = "") -> Job:
        """Begin to translate a document for the caller.

        Raises:
            ServiceError: 400 (ending, language), 404 (glossary), 429 (too many at a time), 503.
        """
        self._forget()
        engine = self._service.engine
        into = engine.find(target, "target")
        known = None if source == AUTO else engine.find(source, "source")
        if known == into:
            raise ServiceError(400, f"the document is in {into.name} already")
        try:
            format_of(file.name)
        except DocumentError as error:
            raise ServiceError(400, str(error)) from error
        sender = caller()
        self._must_have_room(sender, len(file.data))
        job = Job(sender, _named(file.name, into))
        texts = _Texts(self._service, job, known, into, glossary)
        if known is not None:
            texts.how_from(known)
        self._jobs[job.id] = job
        task = asyncio.create_task(self._run(job, file, texts), name="m4nmt-document")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def fetched(self, number: str) -> Job:
        """A document by its number alone, which only its sender was told; a caller with an account
        must be that sender.

        Raises:
            ServiceError: 404, as `find`.
        """
        job = self._jobs.get(number)
        if caller().account is None and job is not None:
            return self._find(number, job.sender.owner, job.secret)
        return self._find(number, caller().owner, job.secret if job else "")

    def find(self, number: str, secret: str) -> Job:
        """A document of the caller's, with its secret.

        Raises:
            ServiceError: 404, there is none, or it is another's, or it has expired.
        """
        return self._find(number, caller().owner, secret)

    def _find(self, number: str, owner: str, secret: str) -> Job:
        self._forget()
        job = self._jobs.get(number)
        right = job is not None and secrets.compare_digest(job.secret.encode(), secret.encode())
        if job is None or not right or job.sender.owner != owner:
            raise ServiceError(404, "there is no such document here; it may have expired")
        return job

    async def close(self) -> None:
        """Nobody waits any more."""
        for job in self._jobs.values():
            job.stop = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, job: Job, file: Upload, texts: "_Texts") -> None:
        limits = Limits(chars=self._service.config.max_file_chars)
        watch = Watch(cancelled=lambda: job.stop)
        loop = asyncio.get_running_loop()

        def translate() -> bytes:
            loop.call_soon_threadsafe(setattr, job, "status", "translating")
            return translate_document(
                file.data, file.name, texts.named, texts.target.flores, texts, limits, watch
            )

        try:
            async with asyncio.timeout_at(loop.time() + _SECONDS):
                job.result = await loop.run_in_executor(self._pool, translate)
            job.status = "done"
        except BaseException as error:
            job.stop, job.status, job.error = True, "error", _told(error)
            job.sender.refund(job.chars)
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            job.ends = time.monotonic() + _KEPT
            job.over.set()

    def _must_have_room(self, sender: Caller, size: int) -> None:
        mine = [j for j in self._jobs.values() if j.open and j.sender.owner == sender.owner]
        held = sum(len(job.result) for job in self._jobs.values())
        full = len(self._jobs) >= _MOST or held + size > self._service.config.max_held
        if len(mine) >= _OPEN or full:
            raise ServiceError(429, "too many documents at one time; wait until some are done", 5)

    def _forget(self) -> None:
        now = time.monotonic()
        for job in [j for j in self._jobs.values() if j.ends < now and not j.open]:
            del self._jobs[job.id]


class _Translated(NamedTuple):
    """What m4nmt.documents wants to know of a translation."""

    text: str
    alignment: Sequence[tuple[int, int, int, int]]


class _Texts:
    """The service as a translator of a document's texts; called in the document's thread."""

    def __init__(
        self, service: Service, job: Job, source: Language | None, target: Language, glossary: str
    ) -> None:
        self.target = target
        self._service = service
        self._job = job
        self._source = source
        self._glossary = glossary
        self._how = How()
        self._loop = asyncio.get_running_loop()

    @property
    def named(self) -> str:
        """The source language as the caller said it."""
        return self._source.flores if self._source else AUTO

    def how_from(self, source: Language) -> None:
        """The terms of the glossary from this language.

        Raises:
            ServiceError: 404, there is no such glossary, or nothing in it for these languages.
        """
        if self._glossary and source != self.target:
            owner, pair = self._job.sender.owner, (source.flores, self.target.flores)
            terms = self._service.stores.glossaries.entries(owner, self._glossary, pair)
            self._how = How(terms=tuple(terms.items()))

    def translate(
        self,
        texts: Sequence[str],
        src: str,
        tgt: str,
        *,
        align: bool,
        cancelled: Callable[[], bool] | None,
    ) -> list[list[_Translated]]:
        """As Translator.translate, through the queue of the service."""
        found: list[list[_Translated]] = []
        for at in range(0, len(texts), _TOGETHER):
            call = self._fulls(texts[at : at + _TOGETHER], align)
            future = asyncio.run_coroutine_threadsafe(call, self._loop)
            while True:
                try:
                    fulls = future.result(_LOOK)
                    break
                except TimeoutError:
                    if future.done():
                        raise
                    if cancelled is not None and cancelled():
                        future.cancel()
                        raise CancelledError from None
            found += [[_Translated(x.text, _links(x))] for x in fulls]
        return found

    async def _fulls(self, texts: Sequence[str], aligned: bool) -> list[Full]:
        """Paid for text by text, so that a quota ends a document that exceeds it."""
        source = self._source or await self._find(texts)
        chars = sum(map(len, texts))
        self._job.sender.charge(chars)
        self._job.chars += chars
        if source == self.target:
            return [Full(text) for text in texts]
        ways = source.flores, self.target.flores, 1, aligned
        orders = [Order(Item(text, *ways), self._how) for text in texts]
        while True:
            try:
                found = await self._service.models.translate(self._service.engine, orders, "bulk")
                return [found[order][0] for order in orders]
            except ServiceError as error:
                if error.status != 429:
                    raise
                await asyncio.sleep(max(1, error.retry_after))

    async def _find(self, texts: Sequence[str]) -> Language:
        """The language of the document, by its first texts."""
        sample = " ".join(texts)[:_SAMPLE]
        (found, _), *_ = await self._service.detect([sample])
        self._source = self._service.engine.find(found.flores, "source")
        self.how_from(self._source)
        return self._source


def suffixes() -> list[str]:
    """Endings of files that can be translated."""
    return [suffix for one in formats() for suffix in one.suffixes]


def mime(name: str) -> str:
    """The media type of a file."""
    return format_of(name).mime


def _links(full: Full) -> list[tuple[int, int, int, int]]:
    return [(x.src, x.src_end, x.tgt, x.tgt_end) for x in full.links]


def _named(name: str, target: Language) -> str:
    """The translated file's name: nothing in it can lead elsewhere or break a header."""
    path = PurePosixPath(re.sub(r".*[\\/]", "", name))
    stem = re.sub(r"[^\w.-]+", "_", path.stem)[:80].strip("._") or "document"
    return f"{stem}.{target.code}{path.suffix.lower()}"


def _told(error: BaseException) -> ServiceError:
    """What the client hears of a failure."""
    match error:
        case ServiceError():
            return error
        case DocumentError():
            return ServiceError(400, str(error))
        case TimeoutError():
            return ServiceError(504, f"the document took longer than {_SECONDS:g} s")
        case asyncio.CancelledError() | CancelledError():
            return ServiceError(503, "the server is shutting down", 1)
        case _:
            log.error("a document could not be translated", exc_info=error)
            return ServiceError(500, "the document could not be translated; see the server's log")
