"""Azure's dialect, under /azure: translate, languages, detect, of version 3.0 and of 2026-06-06.

The two versions differ in their bodies: a list of texts with the languages in the address, or an
object whose inputs name theirs. What cannot be done here is refused.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi import APIRouter, Depends, Request

from m4nmt_serve import fields
from m4nmt_serve.ask import AUTO, Answer, Ask
from m4nmt_serve.dialects import schemas
from m4nmt_serve.door import Door, entrance
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.languages import Language, name_in
from m4nmt_serve.markup import HTML, Form, Plain
from m4nmt_serve.order import Full
from m4nmt_serve.params import Params, read_json
from m4nmt_serve.service import Service

PATH = "/azure"
DOOR = Door(
    scheme="bearer",
    headers=("ocp-apim-subscription-key",),
    refused=401,
    ask="send it as Ocp-Apim-Subscription-Key",
)
_MOST_TARGETS = 16
# What would change a translation in a way that no model here can.
_CANNOT = {
    "profanityAction": ("NoAction",),
    "category": ("general",),
    "includeSentenceLength": ("false", "False"),
    "toScript": (),
    "script": (),
    "fromScript": (),
    "deploymentName": (),
    "tone": (),
    "gender": (),
    "adaptiveDatasetId": (),
    "referenceTextPairs": (),
}


class _Input(NamedTuple):
    """A text, and what is wanted of it."""

    text: str
    source: str
    form: Form
    targets: tuple[str, ...]


def shape(error: ServiceError) -> dict[str, Any]:
    """A refusal in this dialect."""
    return {"error": {"code": 1000 * error.status, "message": error.message}}


def router(service: Service) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter(tags=["Azure"])
    _add_languages(routes, service)
    inside = APIRouter(dependencies=[Depends(entrance(service.stores.keys, DOOR))])
    _add_work(inside, service)
    routes.include_router(inside)
    return routes


def _add_work(routes: APIRouter, service: Service) -> None:
    @routes.post(f"{PATH}/translate", openapi_extra=schemas.AZURE_TRANSLATE)
    async def translate(request: Request) -> Any:
        """Translate texts, each into one or several languages."""
        body = await read_json(request)
        if isinstance(body, dict):
            inputs = [_of_input(each) for each in _objects(body.get("inputs"), "inputs")]
            answers = await _answers(service, inputs, aligned=False)
            pairs = zip(inputs, answers, strict=True)
            return {"value": [_value(given.text, found) for given, found in pairs]}
        query = _query(request)
        aligned = query.get("includeAlignment", "false").lower() == "true"
        inputs = _of_list(body, query, request.query_params.getlist("to"))
        if aligned and any(given.form != Plain() for given in inputs):
            raise ServiceError(400, "includeAlignment is for textType=plain")
        answers = await _answers(service, inputs, aligned)
        return [_listed(found, aligned) for found in answers]

    @routes.post(f"{PATH}/detect")
    async def detect(request: Request) -> list[dict[str, Any]]:
        """The language of each text."""
        texts = [_text(each) for each in _objects(await read_json(request), "the body")]
        known = service.engine.sources
        return [
            {
                **_detected(language, sure),
                "isTranslationSupported": language.flores in known,
                "isTransliterationSupported": False,
            }
            for language, sure in await service.detect(texts)
        ]


def _add_languages(routes: APIRouter, service: Service) -> None:
    @routes.get(f"{PATH}/languages")
    async def languages(request: Request) -> dict[str, Any]:
        """Languages to translate between; no other scope is known here."""
        scopes = request.query_params.get("scope", "translation").split(",")
        named = request.headers.get("accept-language", "en").split(",")[0].split(";")[0]
        if "translation" not in scopes:
            return {}
        engine = service.engine
        return {
            "translation": {
                x.code: {
                    "name": name_in(x, named),
                    "nativeName": x.native,
                    "dir": "rtl" if x.rtl else "ltr",
                    "models": list(service.models.names),
                }
                for x in engine.languages.all
                if x.flores in engine.targets
            }
        }


async def _answers(service: Service, inputs: Sequence[_Input], aligned: bool) -> list[list[Answer]]:
    """Of each input its answers, in the order of its targets; equal kinds go together."""
    kinds: dict[tuple[str, Form, str], list[int]] = {}
    for i, given in enumerate(inputs):
        for target in dict.fromkeys(given.targets):
            kinds.setdefault((given.source, given.form, target), []).append(i)
    tasks = [
        asyncio.ensure_future(
            service.translate(
                Ask(
                    texts=[inputs[i].text for i in rows],
                    source=source,
                    target=target,
                    form=form,
                    aligned=aligned,
                )
            )
        )
        for (source, form, target), rows in kinds.items()
    ]
    try:
        found = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    by_place = {
        (i, target): answer
        for ((_, _, target), rows), answers in zip(kinds.items(), found, strict=True)
        for i, answer in zip(rows, answers, strict=True)
    }
    return [[by_place[i, target] for target in x.targets] for i, x in enumerate(inputs)]


def _of_list(body: Any, query: Params, to: Sequence[str]) -> list[_Input]:
    """The inputs of version 3.0."""
    targets = tuple(code.strip() for each in to for code in each.split(",") if code.strip())
    _must_be_few(targets, "to")
    source, form = query.get("from") or AUTO, _form(query)
    return [_Input(_text(each), source, form, targets) for each in _objects(body, "the body")]


def _of_input(given: Params) -> _Input:
    """An input of version 2026-06-06."""
    _must_be_able(given)
    targets = _objects(given.get("targets"), "targets")
    for each in targets:
        _must_be_able(each)
    codes = tuple(fields.text(each, "language") for each in targets)
    _must_be_few(codes, "targets")
    return _Input(_text(given), fields.text(given, "language", "") or AUTO, _form(given), codes)


def _query(request: Request) -> Params:
    query = dict(request.query_params)
    _must_be_able(query)
    return query


def _must_be_few(targets: Sequence[str], name: str) -> None:
    if not 1 <= len(targets) <= _MOST_TARGETS:
        raise ServiceError(400, f"{name}: name 1 to {_MOST_TARGETS} languages to translate into")


def _must_be_able(given: Params) -> None:
    for name, allowed in _CANNOT.items():
        if given.get(name) and given[name] not in allowed:
            raise ServiceError(400, f"{name} is not supported here; leave it out")


def _form(given: Params) -> Form:
    kind = given.get("textType") or "plain"
    if str(kind).lower() not in ("plain", "html"):
        raise ServiceError(400, "textType must be plain or html")
    return HTML if str(kind).lower() == "html" else Plain()


def _objects(value: Any, name: str) -> list[Params]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ServiceError(400, f'{name} must be a list of objects, such as [{{"Text": "Hello"}}]')
    return value


def _text(given: Params) -> str:
    value = given.get("text", given.get("Text"))
    if not isinstance(value, str):
        raise ServiceError(400, "each object needs a Text")
    return value


def _detected(language: Language, confidence: float) -> dict[str, Any]:
    return {"language": language.code, "score": round(confidence, 6)}


def _listed(answers: Sequence[Answer], aligned: bool) -> dict[str, Any]:
    """Of one text, as version 3.0 says it."""
    translations: list[dict[str, Any]] = []
    for answer in answers:
        translations.append({"text": answer.text, "to": answer.target.code})
        if aligned:
            translations[-1]["alignment"] = {"proj": _projection(answer.options[0])}
    return _guessed(answers[0]) | {"translations": translations}


def _value(text: str, answers: Sequence[Answer]) -> dict[str, Any]:
    """Of one text, as version 2026-06-06 says it."""
    return _guessed(answers[0]) | {
        "translations": [
            {"language": x.target.code, "text": x.text, "sourceCharacters": len(text)}
            for x in answers
        ]
    }


def _guessed(answer: Answer) -> dict[str, Any]:
    if answer.confidence is None:
        return {}
    return {"detectedLanguage": _detected(answer.source, answer.confidence)}


def _projection(full: Full) -> str:
    """Links as "first:last-first:last", both ends included."""
    return " ".join(f"{x.src}:{x.src_end - 1}-{x.tgt}:{x.tgt_end - 1}" for x in full.links)
