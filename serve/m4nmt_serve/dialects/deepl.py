"""DeepL's dialect, at the root: /v2/translate, /v2/languages, /v2/usage.

`context` and the options of DeepL's own models that only prefer something are taken and do nothing,
as at DeepL for languages without them; whatever promises something else is refused.
Glossaries are in deepl_glossaries.py, documents in deepl_documents.py.
"""

from typing import Any

from fastapi import APIRouter, Depends, Request

from m4nmt_serve import fields
from m4nmt_serve.ask import AUTO, Ask
from m4nmt_serve.dialects import deepl_documents, deepl_glossaries, deepl_options, schemas
from m4nmt_serve.dialects.deepl_codes import code, codes
from m4nmt_serve.door import Door, entrance
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.files import Files
from m4nmt_serve.keys import caller
from m4nmt_serve.markup import Form, Html, Plain, Xml
from m4nmt_serve.order import How
from m4nmt_serve.params import Params, read_params
from m4nmt_serve.service import Service

PATHS = ("/v2/", "/v3/")
DOOR = Door(
    scheme="deepl-auth-key",
    parameters=("auth_key",),
    refused=403,
    spent=456,
    ask="send Authorization: DeepL-Auth-Key KEY",
)
UNLIMITED = 1_000_000_000_000  # what DeepL says where there is no limit
# What would change a translation in a way that no model here can.
_CANNOT = ("glossary_ids", "style_id", "custom_instructions", "translation_memory_id")


def shape(error: ServiceError) -> dict[str, Any]:
    """A refusal in this dialect."""
    return {"message": error.message}


def router(service: Service, files: Files) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter(tags=["DeepL"], dependencies=[Depends(entrance(service.stores.keys, DOOR))])
    _add_translate(routes, service)
    _add_facts(routes, service)
    routes.include_router(deepl_glossaries.router(service))
    routes.include_router(deepl_documents.router(files))
    return routes


def _add_translate(routes: APIRouter, service: Service) -> None:
    @routes.post("/v2/translate", openapi_extra=schemas.DEEPL_TRANSLATE)
    async def translate(request: Request) -> dict[str, Any]:
        """Translate texts."""
        params = await read_params(request)
        fields.none_of(params, _CANNOT)
        texts = fields.texts(params, "text")
        deepl_options.must_not_demand_formality(params)
        ask = Ask(
            texts=texts,
            source=fields.text(params, "source_lang", "") or AUTO,
            target=fields.text(params, "target_lang"),
            form=_form(params),
            how=How(split=_split(params)),
            glossary=fields.text(params, "glossary_id", ""),
        )
        if ask.glossary and ask.source == AUTO:
            raise ServiceError(400, "source_lang is needed with a glossary")
        answers = await service.translate(ask)
        return {
            "translations": [
                {
                    "detected_source_language": code(answer.source),
                    "text": answer.text,
                    "billed_characters": len(text),
                }
                for text, answer in zip(texts, answers, strict=True)
            ]
        }


def _add_facts(routes: APIRouter, service: Service) -> None:
    @routes.get("/v2/languages")
    @routes.post("/v2/languages", include_in_schema=False)
    async def languages(request: Request) -> list[dict[str, Any]]:
        """Source languages, or target languages (type=target) with their variants."""
        params = await read_params(request)
        target = fields.one_of(params, "type", ("source", "target")) == "target"
        engine = service.engine
        known = engine.targets if target else engine.sources
        return [
            {"language": tag, "name": name, **({"supports_formality": False} if target else {})}
            for language in engine.languages.all
            if language.flores in known
            for tag, name in codes(language, variants=target)
        ]

    @routes.get("/v2/usage")
    @routes.post("/v2/usage", include_in_schema=False)
    async def usage() -> dict[str, int]:
        """Characters of this key in this month."""
        account = caller().account
        limit = account.key.chars_per_month if account else 0
        return {
            "character_count": account.used if account else 0,
            "character_limit": limit or UNLIMITED,
        }


def _form(params: Params) -> Form:
    kind = fields.one_of(params, "tag_handling", ("", "html", "xml"))
    ignored = frozenset(fields.words(params, "ignore_tags"))
    if not kind:
        return Plain()
    if kind == "html":
        return Html(ignored=frozenset(map(str.lower, ignored)))
    splitting = frozenset(fields.words(params, "splitting_tags"))
    return Xml(ignored=ignored, splitting=splitting - {*fields.words(params, "non_splitting_tags")})


def _split(params: Params) -> bool:
    """Whether sentences are translated one by one: not, if split_sentences is 0."""
    value = params.get("split_sentences")
    if value is None or str(value).lower() in ("1", "nonewlines", "true", "none"):
        return True
    if str(value).lower() in ("0", "false"):
        return False
    raise ServiceError(400, "split_sentences must be 0, 1 or nonewlines")
