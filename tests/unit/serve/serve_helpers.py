"""A translator that is quick, and can be slow, broken or counted; and a real server over it."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import httpx

from m4nmt.core.stages import SearchConfig
from m4nmt.data.types import Direction
from m4nmt.translate.types import Translation
from m4nmt_serve.server import Server, listen
from m4nmt_serve.service import Service
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.translator import Translator


class FakeTranslator:
    """Translates by marking the text with its direction; keeps the batches it was given."""

    languages = ("arb_Arab", "deu_Latn", "eng_Latn", "heb_Hebr", "swh_Latn", "zho_Hans")

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[list[str]] = []
        self.configs: list[SearchConfig | None] = []
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
    ) -> list[list[Translation]]:
        assert not isinstance(src, str)
        assert not isinstance(tgt, str)
        self.batches.append(list(texts))
        self.configs.append(config)
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            time.sleep(min(0.02, self.seconds))
            if self.heeds and cancelled and cancelled():
                self.stopped += 1
                raise RuntimeError("stopped by the caller")
        if any("POISON" in text for text in texts):
            raise RuntimeError("the engine choked")
        best = config.n_best if config else 1
        return [
            [
                Translation(text=f"{s[:3]}>{t[:3]} {text}" + "'" * i, score=-float(i))
                for i in range(best)
            ]
            for text, s, t in zip(texts, src, tgt, strict=True)
        ]

    def detect(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        return [("deu_Latn" if set("üÜ") & set(text) else "eng_Latn", 0.875) for text in texts]


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
    translator: Translator | Callable[[], Translator],
    config: ServeConfig | None = None,
    wait: bool = True,
) -> Iterator[Running]:
    """Serve on a free port in a thread until the block ends."""
    load = translator if callable(translator) else lambda: translator
    service = Service(load, config or ServeConfig())
    server = Server(service)
    with listen("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=url, timeout=20) as client:
                while wait and client.get("ready").status_code != 200:
                    time.sleep(0.01)
                yield Running(url, service, server, client)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the server did not end"
