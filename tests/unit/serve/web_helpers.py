"""A server behind the web page that translates by rule, so that a test knows every word of it.

A sentence comes out in capitals and in the reverse order of its words. Words with a meaning:
"slow" takes a while, "busy" is refused once with 429, "poison" always with 500, "odd" is marked
as repeating itself, and the model is not sure of it.
"""

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse

from m4nmt_serve import page
from m4nmt_serve.languages import Languages

CODES = ("arb_Arab", "deu_Latn", "eng_Latn", "heb_Hebr", "swh_Latn", "zho_Hans")
LIMIT = 2_000
LARGEST = 1_000  # bytes of a file
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
_WORD = re.compile(r"[^\s.!?]+")


def translation(sentence: str) -> dict[str, Any]:
    """An option of /v1/translate for one sentence, alignment and piece scores included."""
    words = list(_WORD.finditer(sentence))[::-1]
    end = sentence.rstrip()[-1:] if sentence.rstrip()[-1:] in (".", "!", "?") else ""
    text, links = "", []
    for word in words:
        begin = len(text) + bool(text)
        text = f"{text} {word[0].upper()}".strip()
        links.append({"source": [word.start(), word.end()], "target": [begin, len(text)]})
    odd = "odd" in sentence
    tokens = [{"text": f"\u2581{word[0].upper()}", "score": -0.6931472} for word in words]
    return {
        "text": text + end,
        "score": -1.0,
        "confidence": 0.25 if odd else 0.875,
        "least": 0.5,
        "finished": True,
        "marks": ["repeats"] if odd else [],
        "alignment": links,
        "tokens": tokens,
    }


def _whole(text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The option for a text, and the events of its sentences."""
    events: list[dict[str, Any]] = []
    out, links, at = "", [], 0
    for found in _SENTENCE.finditer(text):
        sentence = found[0].strip()
        begin = found.start() + found[0].index(sentence)
        option = translation(sentence)
        out += text[at:begin]
        for link in option["alignment"]:
            source, target = link["source"], link["target"]
            links.append(
                {
                    "source": [source[0] + begin, source[1] + begin],
                    "target": [target[0] + len(out), target[1] + len(out)],
                }
            )
        out += option["text"]
        at = begin + len(sentence)
        events.append(
            {"text": 0, "sentence": len(events), "source": [begin, at], "translation": option}
        )
    least = min((event["translation"]["confidence"] for event in events), default=None)
    whole = translation(text) | {"text": out + text[at:], "alignment": links, "confidence": least}
    return whole, events


class Fake:
    """What was asked of the server, and the settings it tells."""

    def __init__(self) -> None:
        self.url = ""
        self.forget()

    def forget(self) -> None:
        """As if nothing had been asked."""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str] = []
        self.files: list[tuple[str, str, str]] = []
        self.ended: list[str] = []  # texts whose streams were read to the end
        self.refused = 0
        self.settings: dict[str, Any] = {
            "charLimit": LIMIT,
            "maxFile": LARGEST,
            "keyRequired": False,
            "suggestions": True,
            "supportedFilesFormat": [".txt", ".md"],
            "language": {"source": {"code": "en"}, "target": {"code": "de"}},
        }

    def asked(self, path: str) -> list[dict[str, Any]]:
        """Bodies of the requests to a path."""
        return [body for to, body in self.calls if to == path]

    def app(self) -> FastAPI:
        """The application."""
        app, known, assembled = FastAPI(), Languages(CODES), page.assemble()
        languages = [
            {"code": x.code, "flores": x.flores, "name": x.name, "native": x.native}
            | {"rtl": x.rtl, "source": True, "target": True}
            for x in known.all
        ]
        app.get("/")(lambda: HTMLResponse(assembled.html, headers=assembled.headers))
        app.get("/ready")(lambda: {"status": "ready"})
        app.get("/v1/languages")(lambda: languages)
        app.get("/frontend/settings")(lambda: self.settings)
        app.post("/v1/translate", response_model=None)(self._translate)
        app.post("/v1/words")(self._words)
        app.post("/v1/suggestions")(self._suggest)
        app.post("/translate_file")(self._file)
        app.get("/download_file/1/{name}", response_model=None)(self._download)
        return app

    async def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.calls.append((request.url.path, body))
        self.keys.append(request.headers.get("authorization", ""))
        return body

    async def _translate(self, request: Request) -> JSONResponse | StreamingResponse:
        body = await self._body(request)
        text = body["texts"][0] if "texts" in body else body["text"]
        if "busy" in text and not self.refused:
            self.refused += 1
            return JSONResponse({"error": "busy"}, 429, {"Retry-After": "1"})
        if "poison" in text:
            return JSONResponse({"error": "the translation failed"}, 500)
        option, events = _whole(text)
        if body.get("prefix"):
            option = option | {"text": body["prefix"], "alignment": [], "tokens": []}
        others = [option | {"text": option["text"] + "'" * i} for i in range(body.get("n", 1))]
        guess = {"language": "de" if "ü" in text else "en", "confidence": 0.875}
        one = {
            "source": guess["language"] if body["source"] == "auto" else body["source"],
            "detected": guess if body["source"] == "auto" else None,
            "target": body["target"],
            "options": others,
        }
        answer = {"model": "fake", "translations": [one]}
        if not body.get("stream"):
            return JSONResponse(answer)
        seconds = 0.4 if "slow" in text else 0.0

        async def stream() -> AsyncIterator[str]:
            async for event in _events(events, answer, seconds):
                yield event
            self.ended.append(text)

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def _words(self, request: Request) -> dict[str, Any]:
        body = await self._body(request)
        return {
            "words": [
                {"word": word, "text": f"{body['prefix']}{word} REST.", "confidence": 0.5}
                for word in ("ALPHA", "<b>BETA</b>", "GAMMA")
            ]
        }

    async def _suggest(self, request: Request) -> dict[str, bool]:
        await self._body(request)
        return {"stored": True}

    async def _file(self, request: Request) -> dict[str, str]:
        form = await request.form()
        file = form["file"]
        assert not isinstance(file, str)
        name = str(file.filename)
        self.files.append((name, (await file.read()).decode(), str(form["target"])))
        return {"translatedFileUrl": f"/download_file/1/{name}"}

    def _download(self, name: str) -> JSONResponse | PlainTextResponse:
        """What is "busy" is not translated when it is first asked for."""
        if "busy" in name and not self.refused:
            self.refused += 1
            return JSONResponse({"error": "ask again"}, 503, {"Retry-After": "1"})
        return PlainTextResponse(f"translated {name}")


async def _events(
    events: list[dict[str, Any]], answer: dict[str, Any], seconds: float
) -> AsyncIterator[str]:
    for event in events:
        await asyncio.sleep(seconds)
        yield f"event: sentence\ndata: {json.dumps(event)}\n\n"
    await asyncio.sleep(seconds)
    yield f"event: done\ndata: {json.dumps(answer)}\n\n"


@contextlib.contextmanager
def behind_the_page() -> Iterator[Fake]:
    """Serve on a free port in a thread until the block ends."""
    fake = Fake()
    server = uvicorn.Server(uvicorn.Config(fake.app(), log_level="warning"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield fake
        finally:
            server.should_exit = True
            thread.join(20)
