"""The heart of the service, whatever dialect a client speaks: Ask in, Answers out.

Holds the translator, its languages and the batcher; checks what is asked.
Not its job: HTTP and the shapes of any dialect.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

from m4nmt.core.stages import SearchConfig
from m4nmt_serve.batcher import Batcher, Item
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.languages import Language, Languages, UnknownLanguageError
from m4nmt_serve.markup import Markup
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.translator import Translator

log = logging.getLogger("m4nmt_serve")
AUTO = "auto"


class Ask(NamedTuple):
    """What a client wants. Codes as the client spells them."""

    texts: Sequence[str]
    source: str
    target: str
    format: Literal["text", "html"] = "text"
    alternatives: int = 0


class Answer(NamedTuple):
    """The translation of one text; `detected` is (language, confidence 0 to 1) if asked for."""

    text: str
    alternatives: tuple[str, ...]
    detected: tuple[Language, float] | None


class Service:
    """One translator behind one queue.

    `load` makes the translator; it runs in a thread once the service is started, so that the
    server can say "not ready" meanwhile. `failed` is told when it cannot be loaded.
    """

    def __init__(
        self,
        load: Callable[[], Translator],
        config: ServeConfig,
        failed: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.draining = False
        self._load = load
        self._failed = failed
        self._engine: _Engine | None = None
        self._loading: asyncio.Task[None] | None = None
        self._detector = ThreadPoolExecutor(1, thread_name_prefix="m4nmt-detect")
        self._batcher = Batcher(
            self._run,
            batch_chars=config.batch_chars,
            wait=config.batch_wait,
            queue_chars=config.queue_chars,
            cache_chars=config.cache_chars,
        )

    @property
    def ready(self) -> bool:
        """Whether a request would be served now."""
        return self._engine is not None and self._batcher.alive and not self.draining

    def start(self) -> None:
        """Begin to load; needs a running event loop."""
        self._batcher.start()
        self._loading = asyncio.create_task(self._begin(), name="m4nmt-load")

    async def close(self) -> None:
        """Stop the worker. The server has let running requests finish before."""
        self.draining = True
        if self._loading is not None:
            self._loading.cancel()
        await self._batcher.close()
        self._detector.shutdown(wait=False, cancel_futures=True)

    @property
    def engine(self) -> "_Engine":
        """The loaded translator with its tables.

        Raises:
            ServiceError: 503 while it is being loaded.
        """
        if self._engine is None:
            raise ServiceError(503, "the model is being loaded; try again soon", 2)
        return self._engine

    async def translate(self, ask: Ask) -> list[Answer]:
        """Answers in the order of the texts.

        Raises:
            ServiceError: 400 (language, text), 413 (too much), 429 (no room), 500 (engine), 503.
        """
        self._check(ask)
        engine = self.engine
        target = engine.find(ask.target, "target")
        documents = [_Document(text, ask.format) for text in ask.texts]
        sources = await self._sources(ask, [" ".join(d.texts) for d in documents], target)
        wanted = 1 + ask.alternatives
        items = [
            Item(text, source.flores, target.flores, wanted)
            for document, (source, _) in zip(documents, sources, strict=True)
            for text in document.texts
            if source != target and text.strip()
        ]
        results = dict(zip(items, await self._batcher.translate(items), strict=True))
        answers = []
        for document, (source, confidence) in zip(documents, sources, strict=True):
            lists = [
                results.get(Item(text, source.flores, target.flores, wanted), (text,))
                for text in document.texts
            ]
            best, *others = document.fill(lists)
            detected = (source, confidence) if confidence is not None else None
            answers.append(Answer(best, tuple(others), detected))
        return answers

    async def detect(self, texts: Sequence[str]) -> list[tuple[Language, float]]:
        """(language, confidence 0 to 1) of each text.

        Raises:
            ServiceError: as `translate`.
        """
        self._check(Ask(texts, AUTO, ""))
        engine = self.engine
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._detector, engine.translator.detect, list(texts)
            )
            return [(engine.languages.find(code), confidence) for code, confidence in found]
        except ValueError as error:  # this model cannot tell languages, or not this one
            raise ServiceError(400, str(error)) from error

    async def _begin(self) -> None:
        try:
            translator = await asyncio.to_thread(self._load)
            self._engine = _Engine(translator, self.config.search)
        except Exception as error:
            log.error("the model could not be loaded: %s", error)
            self._failed(error)

    def _run(self, items: Sequence[Item], unwanted: Callable[[], bool]) -> list[list[str]]:
        return self.engine.run(items, unwanted)

    def _check(self, ask: Ask) -> None:
        config = self.config
        if len(ask.texts) > config.max_texts:
            raise ServiceError(
                413, f"{len(ask.texts)} texts in one request; the limit is {config.max_texts}"
            )
        chars = sum(map(len, ask.texts))
        if chars > config.max_chars:
            raise ServiceError(
                413, f"the request has {chars} characters; the limit is {config.max_chars}"
            )
        if not 0 <= ask.alternatives <= config.max_alternatives:
            raise ServiceError(400, f"alternatives must be between 0 and {config.max_alternatives}")
        for text in ask.texts:
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise ServiceError(
                    400, "the text holds half of a surrogate pair, which is not a character"
                ) from error

    async def _sources(
        self, ask: Ask, texts: Sequence[str], target: Language
    ) -> list[tuple[Language, float | None]]:
        """Each text's source language, with the confidence if it had to be found out."""
        engine = self.engine
        if ask.source != AUTO:
            source = engine.find(ask.source, "source")
            return [(source, None)] * len(texts)
        found = await self.detect(texts)
        for language, _ in found:
            if language != target and language.flores not in engine.sources:
                raise ServiceError(
                    400,
                    f"the text looks like {language.name} ({language.code}), from which this "
                    "model does not translate; say which language it is",
                )
        return [(language, confidence) for language, confidence in found]


class _Document:
    """A text with what of it is to be translated, and how it is put together again."""

    def __init__(self, text: str, form: str) -> None:
        self._markup = Markup(text) if form == "html" else None
        self.texts: tuple[str, ...] = self._markup.texts if self._markup else (text,)

    def fill(self, lists: Sequence[Sequence[str]]) -> list[str]:
        """The best document first, then its alternatives; `lists` are best-first, per text."""
        if self._markup is None:
            return list(lists[0])
        depth = max(map(len, lists), default=1)
        rows = [[options[min(i, len(options) - 1)] for options in lists] for i in range(depth)]
        return [self._markup.fill(row) for row in rows]


class _Engine:
    """A loaded translator, what it can translate, and the call that runs a batch."""

    def __init__(self, translator: Translator, search: SearchConfig | None) -> None:
        self.translator = translator
        trained = [d for d in translator.directions if d.src != d.tgt]
        codes = set(translator.languages)
        # Any language seen as a source to any seen as a target: unseen pairs work zero-shot.
        self.sources = frozenset(d.src for d in trained) & codes
        self.targets = frozenset(d.tgt for d in trained) & codes
        self.languages = Languages(codes)
        self._search = search or translator.search

    def find(self, code: str, role: Literal["source", "target"]) -> Language:
        """The language a client names, if the model can use it as such.

        Raises:
            ServiceError: 400 that names the languages.
        """
        allowed = self.sources if role == "source" else self.targets
        try:
            language = self.languages.find(code)
        except UnknownLanguageError as error:
            raise ServiceError(400, f"{role}: {error}") from error
        if language.flores not in allowed:
            known = ", ".join(x.code for x in self.languages.all if x.flores in allowed)
            raise ServiceError(
                400, f"{role}: this model knows {language.code} only on the other side; {known}"
            )
        return language

    def pairs(self) -> Iterable[tuple[Language, tuple[Language, ...]]]:
        """Each source language with its targets."""
        targets = tuple(x for x in self.languages.all if x.flores in self.targets)
        return ((x, targets) for x in self.languages.all if x.flores in self.sources)

    def run(self, items: Sequence[Item], unwanted: Callable[[], bool]) -> list[list[str]]:
        """Translate a batch of mixed directions; one call per number of translations wanted."""
        out: list[list[str]] = [[] for _ in items]
        for wanted in sorted({item.wanted for item in items}):
            rows = [i for i, item in enumerate(items) if item.wanted == wanted]
            found = self.translator.translate(
                [items[i].text for i in rows],
                [items[i].src for i in rows],
                [items[i].tgt for i in rows],
                self._config(wanted),
                cancelled=unwanted,
            )
            for i, translations in zip(rows, found, strict=True):
                out[i] = _distinct(translation.text for translation in translations)
        return out

    def _config(self, wanted: int) -> SearchConfig:
        beam = max(self._search.beam, wanted)
        return dataclasses.replace(self._search, n_best=wanted, beam=beam)


def _distinct(texts: Iterable[str]) -> list[str]:
    """Beam search can reach one text by different pieces: keep the first of each."""
    return list(dict.fromkeys(texts)) or [""]
