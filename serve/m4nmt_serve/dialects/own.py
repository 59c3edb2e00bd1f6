"""Our own dialect, under /v1: what no other dialect can say.

n-best lists with scores and confidence, alignment, wishes, terms, streams of sentences, words,
scores of given translations, suggestions. Glossaries are in own_glossaries.py.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from m4nmt_serve import fields
from m4nmt_serve.ask import AUTO, Answer, Ask, Sentence
from m4nmt_serve.dialects import own_glossaries, schemas
from m4nmt_serve.door import Door, entrance
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.glossaries import checked
from m4nmt_serve.keys import caller
from m4nmt_serve.languages import Language
from m4nmt_serve.markup import HTML, Plain
from m4nmt_serve.order import Full, How, changes, wish
from m4nmt_serve.params import Params, read_params
from m4nmt_serve.service import Service
from m4nmt_serve.streams import Stream
from m4nmt_serve.suggestions import Suggestion

DOOR = Door(
    scheme="bearer",
    headers=("x-api-key",),
    parameters=("api_key",),
    refused=401,
    ask="send Authorization: Bearer KEY, or api_key",
)
_TRANSLATE = {
    *("text", "texts", "source", "target", "format", "model", "n", "split", "align"),
    *("token_scores", "prefix", "required", "forbidden", "terms", "glossary", "search"),
    *("stream", "domain", "api_key"),
}


def router(service: Service) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter(tags=["m4nmt"])
    _add_languages(routes, service)
    inside = APIRouter(dependencies=[Depends(entrance(service.stores.keys, DOOR))])
    _add_translate(inside, service)
    _add_questions(inside, service)
    _add_suggestions(inside, service)
    inside.include_router(own_glossaries.router(service))
    routes.include_router(inside)
    return routes


def _add_languages(routes: APIRouter, service: Service) -> None:
    @routes.get("/v1/languages")
    async def languages() -> list[dict[str, Any]]:
        """Every language: codes, names in English and in itself, direction of writing, roles."""
        engine = service.engine
        return [
            {
                "code": x.code,
                "flores": x.flores,
                "name": x.name,
                "native": x.native,
                "rtl": x.rtl,
                "source": x.flores in engine.sources,
                "target": x.flores in engine.targets,
            }
            for x in engine.languages.all
        ]


def _add_translate(routes: APIRouter, service: Service) -> None:
    @routes.post("/v1/translate", openapi_extra=schemas.OWN_TRANSLATE)
    async def translate(request: Request) -> Response:
        """Translate texts, with all that is known of each translation; or stream sentences."""
        params = await read_params(request)
        fields.only(params, _TRANSLATE)
        ask = _ask(params)
        most = 1 + service.config.max_alternatives
        if not 1 <= ask.wanted <= most:
            raise ServiceError(400, f"n must be between 1 and {most}")
        scores = ask.how.scores
        if not fields.flag(params, "stream"):
            return JSONResponse(_whole(await service.translate(ask), ask.aligned, scores))
        if ask.form != Plain():
            raise ServiceError(400, "stream is for plain text: leave out the format")
        return StreamingResponse(
            await _opened(Stream(service, ask), ask),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


def _add_questions(routes: APIRouter, service: Service) -> None:
    @routes.post("/v1/words", openapi_extra=schemas.OWN_WORDS)
    async def words(request: Request) -> dict[str, Any]:
        """The likeliest next words after the beginning of a translation."""
        params = await read_params(request)
        fields.only(params, {"text", "source", "target", "prefix", "n", "domain", "api_key"})
        found = await service.words(
            fields.text(params, "text"),
            fields.text(params, "source", AUTO),
            fields.text(params, "target"),
            fields.text(params, "prefix", ""),
            fields.whole(params, "n", 5),
            fields.text(params, "domain", ""),
        )
        return {
            "words": [
                {"word": x.word, "text": x.text, "confidence": _short(x.confidence)} for x in found
            ]
        }

    @routes.post("/v1/score", openapi_extra=schemas.OWN_SCORE)
    async def score(request: Request) -> dict[str, Any]:
        """How likely given translations are."""
        params = await read_params(request)
        fields.only(params, {*("sources", "translations", "source", "target", "domain", "api_key")})
        found = await service.score(
            fields.texts(params, "sources"),
            fields.texts(params, "translations"),
            fields.text(params, "source"),
            fields.text(params, "target"),
            fields.text(params, "domain", ""),
        )
        return {
            "scores": [
                {"score": x.score, "confidence": _short(x.confidence), "tokens": _tokens(x)}
                for x in found
            ]
        }

    @routes.post("/v1/detect", openapi_extra=schemas.OWN_DETECT)
    async def detect(request: Request) -> dict[str, Any]:
        """The language of each text."""
        params = await read_params(request)
        fields.only(params, {"texts", "text", "api_key"})
        found = await service.detect(_texts(params))
        return {"detections": [_guess(*each) for each in found]}


def _add_suggestions(routes: APIRouter, service: Service) -> None:
    @routes.post("/v1/suggestions", openapi_extra=schemas.OWN_SUGGESTION)
    async def suggest(request: Request) -> dict[str, Any]:
        """Keep a better translation, for whoever trains the next model."""
        params = await read_params(request)
        fields.only(params, {*("text", "translation", "source", "target", "machine", "api_key")})
        engine = service.engine
        service.stores.suggestions.add(
            caller().owner,
            Suggestion(
                engine.find(fields.text(params, "source"), "source").flores,
                engine.find(fields.text(params, "target"), "target").flores,
                fields.text(params, "text"),
                fields.text(params, "translation"),
                fields.text(params, "machine", ""),
            ),
        )
        return {"stored": True}


def _ask(params: Params) -> Ask:
    texts = _texts(params)
    prefix = params.get("prefix")
    prefixes = [prefix] * len(texts) if isinstance(prefix, str) else ()
    if prefix is not None and not prefixes and texts:
        prefixes = fields.texts(params, "prefix")
    terms = fields.table(params, "terms")
    search = params.get("search") or {}
    if not isinstance(search, dict):
        raise ServiceError(400, 'search must be an object, such as {"beam": 8}')
    html = fields.one_of(params, "format", ("text", "html")) == "html"
    ask = Ask(
        texts=texts,
        source=fields.text(params, "source", AUTO),
        target=fields.text(params, "target"),
        form=HTML if html else Plain(),
        wanted=fields.whole(params, "n", 1),
        model=fields.text(params, "model", ""),
        how=How(
            search=changes(search),
            split=fields.flag(params, "split", True),
            scores=fields.flag(params, "token_scores"),
            wish=wish("", _phrases(params, "required"), _phrases(params, "forbidden")),
            terms=tuple(checked(list(terms.items())).items()) if terms else (),
            domain=fields.text(params, "domain", ""),
        ),
        prefixes=prefixes,
        glossary=fields.text(params, "glossary", ""),
        aligned=fields.flag(params, "align"),
    )
    if html and (ask.aligned or ask.how.scores):
        raise ServiceError(400, "align and token_scores are for plain text: leave out the format")
    return ask


def _texts(params: Params) -> list[str]:
    if "text" in params and "texts" in params:
        raise ServiceError(400, "give text or texts, not both")
    return (
        [fields.text(params, "text", blank=True)]
        if "text" in params
        else fields.texts(params, "texts")
    )


def _phrases(params: Params, name: str) -> tuple[str, ...]:
    return tuple(fields.texts(params, name)) if params.get(name) is not None else ()


def _whole(answers: list[Answer], aligned: bool, scores: bool) -> dict[str, Any]:
    return {
        "model": ",".join(dict.fromkeys(a.model for a in answers if a.model)),
        "translations": [
            {
                "source": answer.source.code,
                "detected": None
                if answer.confidence is None
                else _guess(answer.source, answer.confidence),
                "target": answer.target.code,
                "options": [_option(x, aligned, scores) for x in answer.options],
            }
            for answer in answers
        ],
    }


def _sentence(one: Sentence, aligned: bool, scores: bool) -> dict[str, Any]:
    return {
        "text": one.text,
        "sentence": one.sentence,
        "source": [one.begin, one.end],
        "translation": _option(one.best, aligned, scores),
    }


def _option(full: Full, aligned: bool, scores: bool) -> dict[str, Any]:
    option: dict[str, Any] = {
        "text": full.text,
        "score": full.score,
        "confidence": _short(full.confidence),
        "least": _short(full.least),
        "finished": full.finished,
        "marks": list(full.faults),
    }
    if aligned:
        option["alignment"] = [
            {"source": [x.src, x.src_end], "target": [x.tgt, x.tgt_end]} for x in full.links
        ]
    if scores:
        option["tokens"] = _tokens(full)
    return option


def _tokens(full: Full) -> list[dict[str, Any]]:
    pairs = zip(full.tokens, full.token_scores, strict=True)
    return [{"text": piece, "score": score} for piece, score in pairs]


def _guess(language: Language, confidence: float) -> dict[str, Any]:
    return {"language": language.code, "confidence": _short(confidence)}


def _short(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 6)


async def _opened(stream: Stream, ask: Ask) -> AsyncIterator[str]:
    """Events as they go over the wire. What fails before the first has a status of its own; a
    later failure is the last event."""
    try:
        first = await stream.next()
    except BaseException:
        stream.close()
        raise
    return _events(first, stream, ask)


async def _events(one: Sentence | list[Answer], stream: Stream, ask: Ask) -> AsyncIterator[str]:
    aligned, scores = ask.aligned, ask.how.scores
    try:
        while isinstance(one, Sentence):
            yield _event("sentence", _sentence(one, aligned, scores))
            one = await stream.next()
        yield _event("done", _whole(one, aligned, scores))
    except ServiceError as error:
        yield _event("error", {"error": error.message, "status": error.status})
    finally:
        stream.close()


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
