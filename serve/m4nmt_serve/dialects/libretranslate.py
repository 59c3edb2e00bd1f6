"""LibreTranslate's dialect, at the root: translate, detect, files, suggest, languages, settings.

Every endpoint takes a JSON body, a form body and the query string alike. Languages and settings
can be had without a key; an address of a translated file is itself the key to it.
"""

import asyncio
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from m4nmt_serve import fields
from m4nmt_serve.ask import AUTO, Ask
from m4nmt_serve.dialects import schemas
from m4nmt_serve.door import Door, entrance
from m4nmt_serve.downloads import download
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.files import Files, suffixes
from m4nmt_serve.keys import caller
from m4nmt_serve.languages import LISTED_HABITS, Language
from m4nmt_serve.markup import HTML, Plain
from m4nmt_serve.params import read_params
from m4nmt_serve.service import Service
from m4nmt_serve.suggestions import Suggestion

DOOR = Door(
    scheme="bearer",
    headers=("x-api-key",),
    parameters=("api_key",),
    refused=403,
    ask="send it as api_key",
)
_PATIENCE = 0.8  # of the deadline: how long a client waits for its file before it gets the address


def router(service: Service, files: Files) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter(tags=["LibreTranslate"])
    inside = APIRouter(dependencies=[Depends(entrance(service.stores.keys, DOOR))])
    _add_work(inside, service)
    _add_files(inside, service, files)
    _add_suggest(inside, service)
    routes.include_router(inside)
    _add_download(routes, service, files)
    _add_facts(routes, service)
    return routes


def _add_work(routes: APIRouter, service: Service) -> None:
    @routes.post("/translate", openapi_extra=_TRANSLATE)
    async def translate(request: Request) -> dict[str, Any]:
        """Translate one text or a list of texts."""
        params = await read_params(request)
        texts = fields.texts(params, "q")
        alternatives = fields.whole(params, "alternatives")
        html = fields.one_of(params, "format", ("text", "html")) == "html"
        ask = Ask(
            texts=texts,
            source=fields.text(params, "source"),
            target=fields.text(params, "target"),
            form=HTML if html else Plain(),
            wanted=1 + alternatives,
        )
        answers = await service.translate(ask)
        said: dict[str, list[Any]] = {"translatedText": [a.text for a in answers]}
        if ask.source == AUTO:
            said["detectedLanguage"] = [
                _guess(a.source, a.confidence) for a in answers if a.confidence is not None
            ]
        if alternatives:
            said["alternatives"] = [a.alternatives for a in answers]
        if isinstance(params["q"], str):
            return {name: values[0] for name, values in said.items()}
        return said

    @routes.post("/detect", openapi_extra=_DETECT)
    async def detect(request: Request) -> list[dict[str, Any]]:
        """Tell the language of one text."""
        text = fields.text(await read_params(request), "q", blank=True)
        return [_guess(*guess) for guess in await service.detect([text])]


def _add_files(routes: APIRouter, service: Service, files: Files) -> None:
    @routes.post("/translate_file", openapi_extra=_FILE)
    async def translate_file(request: Request) -> dict[str, str]:
        """Translate a document; the answer is the address of the translated one."""
        params = await read_params(request)
        job = files.start(
            fields.upload(params, "file"),
            fields.text(params, "source"),
            fields.text(params, "target"),
        )
        await _patience(service, job.over)
        if job.error is not None:
            raise job.error
        return {"translatedFileUrl": f"/download_file/{job.id}/{quote(job.name)}"}


def _add_download(routes: APIRouter, service: Service, files: Files) -> None:
    enter = entrance(service.stores.keys, DOOR, needed=False)

    @routes.get(
        "/download_file/{number}/{name}",
        response_class=Response,
        dependencies=[Depends(enter)],
    )
    async def download_file(number: str, name: str) -> Response:
        """A translated document, until it expires. Another caller's key does not open it."""
        job = files.fetched(number)
        if job.name != name:
            raise ServiceError(404, "there is no such document here")
        await _patience(service, job.over)
        if job.open:
            raise ServiceError(503, "the document is still being translated; ask again", 5)
        return download(job)


def _add_suggest(routes: APIRouter, service: Service) -> None:
    @routes.post("/suggest", openapi_extra=_SUGGEST)
    async def suggest(request: Request) -> dict[str, bool]:
        """Keep a better translation `s` of `q`, for whoever trains the next model."""
        params = await read_params(request)
        source = fields.text(params, "source")
        target = service.engine.find(fields.text(params, "target"), "target")
        text = fields.text(params, "q")
        if source == AUTO:
            known = (await service.detect([text]))[0][0]
        else:
            known = service.engine.find(source, "source")
        one = Suggestion(known.flores, target.flores, text, fields.text(params, "s"))
        service.stores.suggestions.add(caller().owner, one)
        return {"success": True}


async def _patience(service: Service, over: asyncio.Event) -> None:
    """Wait, but not until the gate cuts the request off."""
    try:
        await asyncio.wait_for(over.wait(), service.config.deadline * _PATIENCE)
    except TimeoutError:
        return


def _add_facts(routes: APIRouter, service: Service) -> None:
    @routes.get("/languages")
    @routes.post("/languages", include_in_schema=False)
    async def languages() -> list[dict[str, Any]]:
        """Source languages with their targets."""
        listed = [
            {"code": x.code, "name": x.name, "targets": [t.code for t in targets]}
            for x, targets in service.engine.pairs
        ]
        by_code = {entry["code"]: entry for entry in listed}
        habits = {old: by_code.get(new) for old, new in LISTED_HABITS.items()}
        return listed + [{**entry, "code": old} for old, entry in habits.items() if entry]

    @routes.get("/frontend/settings")
    async def settings() -> dict[str, Any]:
        """What a client should know before it asks."""
        pairs = service.engine.pairs
        source, targets = next((p for p in pairs if p[0].code == "en"), pairs[0])
        others = [x for x in targets if x != source] or [source]
        target = next((x for x in others if x.code == "es"), others[0])  # as LibreTranslate has it
        return {
            "apiKeys": service.stores.keys is not None,
            "charLimit": service.config.max_chars,
            "filesTranslation": True,
            "frontendTimeout": 500,
            "keyRequired": service.stores.keys is not None,
            "language": {
                "source": {"code": source.code, "name": source.name},
                "target": {"code": target.code, "name": target.name},
            },
            "maxAlternatives": service.config.max_alternatives,
            "maxFile": service.config.max_body,
            "suggestions": True,
            "supportedFilesFormat": suffixes(),
        }


def _guess(language: Language, confidence: float) -> dict[str, Any]:
    return {"confidence": round(100 * confidence, 1), "language": language.code}


_TRANSLATE = schemas.body(
    ("q", "source", "target"),
    {
        "q": schemas.ONE_OR_MORE,
        "source": {"type": "string", "description": 'a language code, or "auto"', "example": "en"},
        "target": {"type": "string", "example": "sw"},
        "format": {"type": "string", "enum": ["text", "html"], "default": "text"},
        "alternatives": {**schemas.COUNT, "default": 0},
        "api_key": schemas.TEXT,
    },
    schemas.JSON_OR_FORM,
)
_DETECT = schemas.body(("q",), schemas.texts("q", "api_key"), schemas.JSON_OR_FORM)
_SUGGEST = schemas.body(
    ("q", "s", "source", "target"),
    schemas.texts("q", "s", "source", "target", "api_key"),
    schemas.JSON_OR_FORM,
)
_FILE = schemas.upload("source", "target", "api_key")
