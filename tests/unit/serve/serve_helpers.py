"""A translator that is quick, and can be slow, broken or counted; and a real server over it."""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx

from m4nmt.core.stages import SearchConfig
from m4nmt.data.types import Direction
from m4nmt.translate.types import Link, Translation
from m4nmt.translate.wishes import Wish, WishError
from m4nmt.translate.words import NextWord
from m4nmt_serve.engine import TRIED
from m4nmt_serve.models import by_name
from m4nmt_serve.server import Server, listen
from m4nmt_serve.service import Service
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.translator import Translator


class FakeTranslator:
    """Translates by marking the text with its direction; keeps the batches it was given."""

    languages = ("arb_Arab", "deu_Latn", "eng_Latn", "heb_Hebr", "swh_Latn", "zho_Hans")
    domains = ("law", "news")

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[list[str]] = []
        self.configs: list[SearchConfig | None] = []
        self.aligned: list[bool] = []
        self.asked: list[dict[str, Any]] = []
        self.wishes: list[list[Wish]] = []
        self.scored: list[list[str]] = []
        self.told: list[str] = []  # domains, text by text
        self.heeds = True  # stops when it is told to
        self.stopped = 0
        self.search = SearchConfig()
        self.directions = tuple(
            Direction(a, b) for a in self.languages for b in self.languages if a != b
        )

    def translate(
        self,
        texts: Sequence[str],
        src: str | Sequence[str],
        tgt: str | Sequence[str],
        config: SearchConfig | None = None,
        split: bool = True,
        cancelled: Callable[[], bool] | None = None,
        *,
        align: bool = False,
        token_scores: bool = False,
        wishes: Sequence[Wish] | None = None,
        terms: Mapping[str, str] | None = None,
        domain: str | Sequence[str] = "",
    ) -> list[list[Translation]]:
        assert not isinstance(src, str)
        assert not isinstance(tgt, str)
        if tuple(texts) == TRIED:  # by the service itself, when it is loaded
            return [[Translation(text=text, score=0.0)] for text in texts]
        self.batches.append(list(texts))
        self.configs.append(config)
        self.aligned.append(align)
        self.asked.append({"split": split, "token_scores": token_scores, "terms": terms})
        self.wishes.append(list(wishes or ()))
        self.told += domain
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            time.sleep(min(0.02, self.seconds))
            if self.heeds and cancelled and cancelled():
                self.stopped += 1
                raise RuntimeError("stopped by the caller")
        if any("POISON" in text for text in texts):
            raise RuntimeError("the engine choked")
        if any("unwritable" in wish.required for wish in wishes or ()):
            raise WishError("the model's vocabulary cannot write 'unwritable'")
        best = config.n_best if config else 1
        return [
            [
                Translation(
                    text=f"{s[:3]}>{t[:3]} {text}" + "'" * i + _said(text, terms or {}),
                    score=-float(i),
                    tokens=tuple(text.split()),
                    token_scores=tuple(-0.5 for _ in text.split()),
                    alignment=_word_by_word(text) if align else (),
                    confidence=0.75,
                    least=0.5,
                    marks=("length",) if "LONG" in text else (),
                )
                for i in range(best)
            ]
            for text, s, t in zip(texts, src, tgt, strict=True)
        ]

    def words(
        self,
        text: str,
        src: str,
        tgt: str,
        prefix: str,
        n: int = 5,
        config: SearchConfig | None = None,
        cancelled: Callable[[], bool] | None = None,
        *,
        domain: str = "",
    ) -> list[NextWord]:
        self.told.append(domain)
        texts = [f"{prefix} w{i} {text}".strip() for i in range(n)]
        found = [Translation(t, 0.0, confidence=1 / (i + 1)) for i, t in enumerate(texts)]
        return [NextWord(f"w{i}", translation) for i, translation in enumerate(found)]

    def score_tokens(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        src: str | Sequence[str],
        tgt: str | Sequence[str],
        domain: str | Sequence[str] = "",
    ) -> list[tuple[float, ...]]:
        self.told += domain
        self.scored.append(list(targets))
        return [(-0.5,) * (1 + len(target.split())) for target in targets]

    def pieces(self, texts: Sequence[str]) -> list[list[str]]:
        return [text.split() for text in texts]

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def detect(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        return [("deu_Latn" if set("üÜ") & set(text) else "eng_Latn", 0.875) for text in texts]


def _word_by_word(text: str) -> tuple[Link, ...]:
    """The words of a text and those of its translation, which begins with the direction."""
    spans = (match.span() for match in re.finditer(r"\S+", text))
    return tuple(Link(begin, end, begin + 8, end + 8) for begin, end in spans)


def _said(text: str, terms: Mapping[str, str]) -> str:
    """What the terms demand."""
    return "".join(f" [{target}]" for source, target in terms.items() if source in text)


class Running:
    """A server on a real port, and its client."""

    def __init__(self, url: str, service: Service, server: Server, client: httpx.Client) -> None:
        self.url = url
        self.service = service
        self.server = server
        self.client = client

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].rstrip("/"))


@contextlib.contextmanager
def running(
    translator: Translator | Callable[[], Translator] | Mapping[str, Callable[[], Translator]],
    config: ServeConfig | None = None,
    wait: bool = True,
) -> Iterator[Running]:
    """Serve on a free port in a thread until the block ends; one model is called "fake"."""
    several = isinstance(translator, Mapping)
    loads = by_name(translator) if several else {"fake": by_name(translator)["model"]}
    failures: list[BaseException] = []
    service = Service(loads, config or ServeConfig(), failures.append)
    server = Server(service)
    with listen("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=url, timeout=20) as client:
                while wait and client.get("ready").status_code != 200:
                    assert not failures, failures[0]
                    time.sleep(0.01)
                yield Running(url, service, server, client)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the server did not end"
