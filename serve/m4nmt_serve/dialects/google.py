"""Google's dialect, version 2 (basic): translate, detect, languages, under /language/translate/v2.

Not its job: version 3, which is another API.
"""

from typing import Any

from fastapi import APIRouter, Depends, Request

from m4nmt_serve import fields
from m4nmt_serve.ask import AUTO, Ask
from m4nmt_serve.dialects import schemas
from m4nmt_serve.door import Door, entrance
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.languages import name_in
from m4nmt_serve.markup import HTML, Plain
from m4nmt_serve.params import read_params
from m4nmt_serve.service import Service

PATH = "/language/translate/v2"
DOOR = Door(
    scheme="bearer",
    headers=("x-goog-api-key",),
    parameters=("key",),
    refused=403,
    ask="send it as key",
)
_REASONS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def shape(error: ServiceError) -> dict[str, Any]:
    """A refusal in this dialect."""
    status = _REASONS.get(error.status, "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT")
    return {"error": {"code": error.status, "message": error.message, "status": status}}


def router(service: Service) -> APIRouter:
    """The endpoints over a service."""
    door = Depends(entrance(service.stores.keys, DOOR))
    routes = APIRouter(tags=["Google"], dependencies=[door])
    _add_translate(routes, service)
    _add_facts(routes, service)
    return routes


def _add_translate(routes: APIRouter, service: Service) -> None:
    @routes.post(PATH, openapi_extra=schemas.GOOGLE_TRANSLATE)
    @routes.get(PATH, include_in_schema=False)
    async def translate(request: Request) -> dict[str, Any]:
        """Translate texts; they are HTML unless format is text."""
        params = await read_params(request)
        html = fields.one_of(params, "format", ("html", "text")) == "html"
        ask = Ask(
            texts=fields.texts(params, "q"),
            source=fields.text(params, "source", "") or AUTO,
            target=fields.text(params, "target"),
            form=HTML if html else Plain(),
        )
        translations: list[dict[str, str]] = []
        for answer in await service.translate(ask):
            said = {"translatedText": answer.text}
            if answer.confidence is not None:
                said["detectedSourceLanguage"] = answer.source.code
            translations.append(said)
        return {"data": {"translations": translations}}


def _add_facts(routes: APIRouter, service: Service) -> None:
    @routes.post(f"{PATH}/detect")
    @routes.get(f"{PATH}/detect", include_in_schema=False)
    async def detect(request: Request) -> dict[str, Any]:
        """The language of each text."""
        texts = fields.texts(await read_params(request), "q")
        found = await service.detect(texts)
        return {
            "data": {
                "detections": [
                    [{"language": x.code, "confidence": round(sure, 6), "isReliable": sure > 0.5}]
                    for x, sure in found
                ]
            }
        }

    @routes.get(f"{PATH}/languages")
    @routes.post(f"{PATH}/languages", include_in_schema=False)
    async def languages(request: Request) -> dict[str, Any]:
        """Languages; with their names, if `target` says in which language."""
        params = await read_params(request)
        named = fields.text(params, "target", "")
        engine = service.engine
        listed: list[dict[str, str]] = []
        for language in engine.languages.all:
            if language.flores in engine.targets:
                listed.append({"language": language.code})
                if named:
                    listed[-1]["name"] = name_in(language, named)
        return {"data": {"languages": listed}}
