"""The heart of the service, whatever dialect a client speaks: Ask in, Answers out.

Holds the translator, its languages and the batcher; checks what is asked, and charges for it.
Not its job: HTTP and the shapes of any dialect, documents (files.py).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from m4nmt_serve.ask import AUTO, Answer, Ask, Sentence
from m4nmt_serve.batcher import Item
from m4nmt_serve.bodies import Body, Sentences, body
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.keys import Bill, caller
from m4nmt_serve.known import Known
from m4nmt_serve.lanes import BACKGROUND, Lane
from m4nmt_serve.languages import Language
from m4nmt_serve.meters import Meters
from m4nmt_serve.models import Models, Reload
from m4nmt_serve.order import Full, How, Order, Scoring, Words
from m4nmt_serve.places import Places
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.stores import Stores
from m4nmt_serve.trace import current
from m4nmt_serve.translator import Translator

log = logging.getLogger("m4nmt_serve")
_MANY = 500  # terms that are looked for beside the event loop

Told = Callable[[Sentence], None]


class _Part(NamedTuple):
    """A text of a request on its way, with the orders of its parts.

    `confidence` is that of `source`, where it had to be found out.
    """

    text: str
    body: Body
    source: Language
    confidence: float | None
    how: How
    orders: tuple[Order, ...]

    def again(self, found: Sequence[Sequence[Full]]) -> list[Order]:
        """What is ordered besides, given what was made of the orders."""
        texts = self.body.further(found) if self.orders else ()
        items = (Item(*self.orders[0])._replace(text=text, wanted=1) for text in texts)
        return [Order(item, self.how) for item in items]


class Service:
    """Models behind their queues.

    `loads` makes a translator by the name of its model; it runs in a thread once the service is
    started, so that the server can say "not ready" meanwhile, and again for a new version.
    `failed` is told when one cannot be loaded at the start, `loaded` when all are there.

    Raises:
        DatabaseError, ConfigError: its database, or its file of keys, cannot be used.
    """

    def __init__(
        self,
        loads: Mapping[str, Callable[[], Translator]],
        config: ServeConfig,
        failed: Callable[[BaseException], None] = lambda _: None,
        loaded: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self.draining = False
        self.meters = Meters()
        self.places = Places(config, self.meters)
        self.stores = Stores(config)
        self.models = Models(loads, config, self.meters)
        self._failed, self._loaded = failed, loaded
        self._loading: asyncio.Task[None] | None = None
        self._reloads: set[asyncio.Task[list[Reload]]] = set()
        self._detector = ThreadPoolExecutor(1, thread_name_prefix="m4nmt-detect")

    @property
    def ready(self) -> bool:
        """Whether a request would be served now."""
        return self.models.ready and not self.draining

    def start(self) -> None:
        """Begin to load; needs a running event loop."""
        self._loading = asyncio.create_task(self._begin(), name="m4nmt-load")

    def reload(self, model: str = "") -> "asyncio.Task[list[Reload]]":
        """Begin to put the newest version of a model, or of all, to work; requests go on.

        Raises:
            ServiceError: 400 for a model that is not here, 503 while they are loaded first.
        """
        self.models.known(model)
        task = asyncio.create_task(self.models.reload(model), name="m4nmt-reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        return task

    async def close(self) -> None:
        """Stop the worker. The server has let running requests finish before."""
        self.draining = True
        if self._loading is not None:
            self._loading.cancel()
        for task in self._reloads:
            task.cancel()
        await self.models.close()
        self.stores.close()
        self._detector.shutdown(wait=False, cancel_futures=True)

    @property
    def engine(self) -> Known:
        """What all models know together.

        Raises:
            ServiceError: 503 while they are being loaded.
        """
        return self.models.known()

    async def translate(self, ask: Ask, told: Told | None = None) -> list[Answer]:
        """Answers in the order of the texts.

        `told` is told of each sentence as soon as it is done; the texts are then cut here.

        Raises:
            ServiceError: 400 (language, text, wish), 413 (too much), 429 (no room), 500 (engine),
                503; 404 for a glossary; the dialect's status for a quota that is used up.
        """
        self._check(ask)
        engine = self.models.known(ask.model)
        target = engine.find(ask.target, "target")
        self._tell(ask)
        with caller().charged(sum(map(len, ask.texts))) as bill:
            parts = await self._parts(ask, engine, target, told is not None)
            current().source = ",".join(sorted({part.source.code for part in parts}))
            current().target = target.code
            orders = [order for part in parts for order in part.orders]
            lane = self._lane(ask)
            results = await self.models.translate(
                engine, orders, lane, _teller(parts, told, bill) if told else None
            )
            lists = [[results[order] for order in part.orders] for part in parts]
            again = [part.again(found) for part, found in zip(parts, lists, strict=True)]
            more = [order for orders in again for order in orders]
            results |= await self.models.translate(engine, more, lane)
        answers = []
        for part, found, orders in zip(parts, lists, again, strict=True):
            if part.orders:
                further = {order.text: results[order][0] for order in orders}
                options = part.body.fill(found, further, ask.wanted)
            else:  # nothing to translate, or in the target language already
                options = [Full(part.text)]
            ways = part.source.flores, target.flores, part.how.domain
            name = engine.live(*ways).name if part.orders else ""
            answers.append(Answer(tuple(options), part.source, target, part.confidence, name))
        return answers

    async def _parts(
        self, ask: Ask, engine: Known, target: Language, sentences: bool
    ) -> list[_Part]:
        """Each text with its language and what is ordered for it."""
        bodies = [body(text, ask.form) for text in ask.texts]
        joined = [" ".join(each.texts) for each in bodies]
        sources = await self._sources(ask, joined, target)
        languages = dict.fromkeys(source for source, _ in sources)
        hows = {x: await self._how(ask, x, target, "\n".join(joined)) for x in languages}
        parts = []
        for i, (text, whole, (source, sure)) in enumerate(
            zip(ask.texts, bodies, sources, strict=True)
        ):
            if sentences:
                whole = Sentences(text, source, target, ask.how.split)
            how = hows[source]
            if ask.prefixes and ask.prefixes[i]:
                how = replace(how, wish=replace(how.wish, prefix=ask.prefixes[i]))
            orders: list[Order] = []
            if source != target and any(map(str.strip, whole.texts)):
                ways = source.flores, target.flores, ask.wanted, ask.aligned or whole.tagged
                pairs = zip(whole.texts, whole.hows(how), strict=True)
                orders = [Order(Item(part, *ways), own) for part, own in pairs]
            parts.append(_Part(text, whole, source, sure, how, tuple(orders)))
        return parts

    async def _how(self, ask: Ask, source: Language, target: Language, texts: str) -> How:
        """With the terms, those of the stored glossary too, that occur somewhere in the texts."""
        if not ask.glossary and not ask.how.terms:
            return ask.how
        pair = source.flores, target.flores
        stored: dict[str, str] = {}
        if ask.glossary and source != target:
            read = self.stores.glossaries.entries
            stored = await asyncio.to_thread(read, caller().owner, ask.glossary, pair)
        how = replace(ask.how, terms=tuple((stored | dict(ask.how.terms)).items()))
        if len(how.terms) > _MANY:
            return await asyncio.to_thread(how.of, texts)
        return how.of(texts)

    async def words(
        self, text: str, source: str, target: str, prefix: str, wanted: int, domain: str = ""
    ) -> list[Full]:
        """The likeliest next words after the beginning of a translation, best first.

        Raises:
            ServiceError: as `translate`.
        """
        if not 1 <= wanted <= self.config.max_beam:
            raise ServiceError(400, f"n must be between 1 and {self.config.max_beam}")
        engine, a, b = await self._ways(Ask(texts=[text, prefix], source=source, target=target))
        order = Order(Item(text, a.flores, b.flores, wanted), Words(prefix=prefix, domain=domain))
        with caller().charged(len(text)):
            found = await self.models.translate(engine, [order], "interactive")
        return list(found[order])

    async def score(
        self,
        sources: Sequence[str],
        translations: Sequence[str],
        source: str,
        target: str,
        domain: str = "",
    ) -> list[Full]:
        """How likely each translation of its source is.

        Raises:
            ServiceError: as `translate`; 400 where there are not as many of one as of the other.
        """
        if len(sources) != len(translations):
            raise ServiceError(400, f"{len(sources)} sources, but {len(translations)} translations")
        ask = Ask(texts=[*sources, *translations], source=source, target=target)
        engine, a, b = await self._ways(ask)
        orders = [
            Order(Item(text, a.flores, b.flores, 1), Scoring(translation=given, domain=domain))
            for text, given in zip(sources, translations, strict=True)
        ]
        with caller().charged(sum(map(len, ask.texts))):
            found = await self.models.translate(engine, orders, self._lane(ask))
        return [found[order][0] for order in orders]

    async def _ways(self, ask: Ask) -> tuple[Known, Language, Language]:
        """The languages of something that is asked of one text; the first is looked at."""
        self._check(ask)
        self._tell(ask)
        target = self.engine.find(ask.target, "target")
        first = [*ask.texts[:1]]
        found = await self._sources(replace(ask, texts=first), first, target)
        source = found[0][0] if found else target
        if source == target and first:
            raise ServiceError(400, f"both languages are {target.name}: name another target")
        return self.engine, source, target

    async def detect(self, texts: Sequence[str]) -> list[tuple[Language, float]]:
        """(language, confidence 0 to 1) of each text.

        Raises:
            ServiceError: as `translate`.
        """
        self._check(Ask(texts=texts, source=AUTO, target=""))
        return await self._detect(self.engine, texts)

    async def _detect(self, engine: Known, texts: Sequence[str]) -> list[tuple[Language, float]]:
        """As `detect`; of several models the surest is believed."""
        loop = asyncio.get_running_loop()
        guesses, failure = [], ServiceError(400, "no model here can tell languages")
        for live in engine.lives:
            translator = live.engine.translator
            try:
                found = await loop.run_in_executor(self._detector, translator.detect, list(texts))
                guesses.append([(engine.languages.find(code), sure) for code, sure in found])
            except ValueError as error:  # this model cannot tell languages, or not this one
                failure = ServiceError(400, str(error))
        if not guesses:
            raise failure
        return [max(of, key=lambda guess: guess[1]) for of in zip(*guesses, strict=True)]

    async def _begin(self) -> None:
        try:
            await self.models.load()
        except Exception as error:
            log.error("the model could not be loaded: %s", error)
            self._failed(error)
        else:
            self._loaded()

    def _tell(self, ask: Ask) -> None:
        """For the log: what this request is about."""
        trace = current()
        trace.lane = self._lane(ask)
        trace.texts, trace.chars = len(ask.texts), sum(map(len, ask.texts))
        if self.config.log_texts:
            trace.said = tuple(ask.texts)

    def _lane(self, ask: Ask) -> Lane:
        """Large requests, and those that say that they can wait, do not hold up the others."""
        large = sum(map(len, ask.texts)) > self.config.bulk_chars
        return "bulk" if large or current().urgency >= BACKGROUND else "interactive"

    def _check(self, ask: Ask) -> None:
        config = self.config
        if len(ask.texts) > config.max_texts:
            raise ServiceError(
                413, f"{len(ask.texts)} texts in one request; the limit is {config.max_texts}"
            )
        chars = sum(map(len, [*ask.texts, *ask.prefixes]))
        if chars > config.max_chars:
            raise ServiceError(
                413, f"the request has {chars} characters; the limit is {config.max_chars}"
            )
        if ask.prefixes and len(ask.prefixes) != len(ask.texts):
            raise ServiceError(
                400, f"{len(ask.prefixes)} prefixes for {len(ask.texts)} texts; give one for each"
            )
        if not 1 <= ask.wanted <= 1 + config.max_alternatives:
            raise ServiceError(400, f"alternatives must be between 0 and {config.max_alternatives}")
        for text in (*ask.texts, *ask.prefixes):
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
        engine = self.models.known(ask.model)
        if ask.source != AUTO:
            source = engine.find(ask.source, "source")
            return [(source, None)] * len(texts)
        found = await self._detect(engine, texts)
        for language, _ in found:
            if language != target and language.flores not in engine.sources:
                raise ServiceError(
                    400,
                    f"the text looks like {language.name} ({language.code}), from which this "
                    "model does not translate; say which language it is",
                )
        return [(language, confidence) for language, confidence in found]


def _teller(
    parts: Sequence[_Part], told: Told, bill: Bill
) -> Callable[[Item, Sequence[Full]], None]:
    """Tells of the sentences that an item is, wherever they stand; what is told must be paid."""
    places: dict[Item, list[tuple[int, int, Sentences]]] = {}
    for number, part in enumerate(parts):
        if isinstance(part.body, Sentences):
            for j, order in enumerate(part.orders):
                places.setdefault(order, []).append((number, j, part.body))

    def done(item: Item, found: Sequence[Full]) -> None:
        for number, j, of in places[item]:
            bill.done += len(item.text)
            told(of.told(number, j, found[0]))

    return done
