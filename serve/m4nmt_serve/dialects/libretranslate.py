"""LibreTranslate's dialect, at the root: translate, detect, languages, frontend settings.

Every endpoint takes a JSON body, a form body and the query string alike.
"""

from typing import Any, Literal

from fastapi import APIRouter, Request

from m4nmt_serve.errors import ServiceError
from m4nmt_serve.languages import LISTED_HABITS, Language
from m4nmt_serve.params import Params, read_params
from m4nmt_serve.service import AUTO, Ask, Service


def shape(message: str) -> dict[str, Any]:
    """A refusal in this dialect."""
    return {"error": message}


def router(service: Service) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter(tags=["LibreTranslate"])
    _add_work(routes, service)
    _add_facts(routes, service)
    return routes


def _add_work(routes: APIRouter, service: Service) -> None:
    @routes.post("/translate", openapi_extra=_TRANSLATE, responses=_ERRORS)
    async def translate(request: Request) -> dict[str, Any]:
        """Translate one text or a list of texts."""
        params = await read_params(request)
        texts = _texts(params)
        ask = Ask(
            [texts] if isinstance(texts, str) else texts,
            _text(params, "source"),
            _text(params, "target"),
            _format(params),
            _count(params, "alternatives"),
        )
        answers = await service.translate(ask)
        fields: dict[str, list[Any]] = {"translatedText": [a.text for a in answers]}
        if ask.source == AUTO:
            fields["detectedLanguage"] = [_guess(*a.detected) for a in answers if a.detected]
        if ask.alternatives:
            fields["alternatives"] = [list(a.alternatives) for a in answers]
        if isinstance(texts, str):
            return {name: values[0] for name, values in fields.items()}
        return fields

    @routes.post("/detect", openapi_extra=_DETECT, responses=_ERRORS)
    async def detect(request: Request) -> list[dict[str, Any]]:
        """Tell the language of one text."""
        text = _text(await read_params(request), "q")
        return [_guess(*guess) for guess in await service.detect([text])]


def _add_facts(routes: APIRouter, service: Service) -> None:
    @routes.get("/languages", responses=_ERRORS)
    @routes.post("/languages", responses=_ERRORS, include_in_schema=False)
    async def languages() -> list[dict[str, Any]]:
        """Source languages with their targets."""
        listed = [
            {"code": x.code, "name": x.name, "targets": [t.code for t in targets]}
            for x, targets in service.engine.pairs()
        ]
        by_code = {entry["code"]: entry for entry in listed}
        habits = {old: by_code.get(new) for old, new in LISTED_HABITS.items()}
        return listed + [{**entry, "code": old} for old, entry in habits.items() if entry]

    @routes.get("/frontend/settings", responses=_ERRORS)
    async def settings() -> dict[str, Any]:
        """What a client should know before it asks."""
        pairs = list(service.engine.pairs())
        source, targets = next((p for p in pairs if p[0].code == "en"), pairs[0])
        target = next((x for x in targets if x != source), source)
        return {
            "apiKeys": False,
            "charLimit": service.config.max_chars,
            "filesTranslation": False,
            "frontendTimeout": 500,
            "keyRequired": False,
            "language": {
                "source": {"code": source.code, "name": source.name},
                "target": {"code": target.code, "name": target.name},
            },
            "suggestions": False,
            "supportedFilesFormat": [],
        }


def _guess(language: Language, confidence: float) -> dict[str, Any]:
    return {"confidence": round(100 * confidence, 1), "language": language.code}


def _texts(params: Params) -> str | list[str]:
    """`q`, a text or a list of texts."""
    texts = params.get("q")
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return texts
    if not isinstance(texts, str):
        raise ServiceError(
            400, "q must be a text or a list of texts (JSON needs Content-Type: application/json)"
        )
    return texts


def _text(params: Params, name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or (name != "q" and not value.strip()):
        raise ServiceError(400, f"{name} is missing, or is not a text")
    return value


def _format(params: Params) -> Literal["text", "html"]:
    value = params.get("format") or "text"
    if value not in ("text", "html"):
        raise ServiceError(400, "format must be text or html")
    return "html" if value == "html" else "text"


def _count(params: Params, name: str) -> int:
    value = params.get(name)
    if value is None or value == "":
        return 0
    if isinstance(value, str) and len(value) < 10 and value.isascii() and value.isdigit():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ServiceError(400, f"{name} must be a whole number")
    return value


def _body(required: list[str], **properties: Any) -> dict[str, Any]:
    """OpenAPI of a body that may be JSON or a form."""
    schema = {"type": "object", "required": required, "properties": properties}
    kinds = ("application/json", "application/x-www-form-urlencoded")
    return {"requestBody": {"content": {kind: {"schema": schema} for kind in kinds}}}


_STRING = {"type": "string"}
_TRANSLATE = _body(
    ["q", "source", "target"],
    q={"anyOf": [_STRING, {"type": "array", "items": _STRING}]},
    source={"type": "string", "description": 'a language code, or "auto"', "example": "en"},
    target={"type": "string", "example": "sw"},
    format={"type": "string", "enum": ["text", "html"], "default": "text"},
    alternatives={"type": "integer", "minimum": 0, "default": 0},
)
_DETECT = _body(["q"], q=_STRING)
_ERROR_SCHEMA = {"type": "object", "properties": {"error": _STRING}, "required": ["error"]}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {"application/json": {"schema": _ERROR_SCHEMA}},
    }
    for status, description in {
        400: "wrong parameters, or a language that the model does not know",
        413: "too much text",
        429: "no room now; Retry-After says when",
        500: "the translation failed",
        503: "the model is being loaded",
        504: "not done before the deadline",
    }.items()
}
