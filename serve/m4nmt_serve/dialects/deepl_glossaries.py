"""Glossaries in DeepL's dialect: /v3, with a dictionary for each pair of languages, and /v2, which
sees those of one dictionary.

Not its job: the door (deepl.py), keeping them (m4nmt_serve.glossaries).
"""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from m4nmt_serve import fields
from m4nmt_serve.dialects.deepl_codes import code
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.glossaries import Entries, Glossary, Pair, read_entries, write_tsv
from m4nmt_serve.keys import caller
from m4nmt_serve.params import Params, read_params
from m4nmt_serve.service import Service


def router(service: Service) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter()
    _add_pairs(routes, service)
    _add_v2(routes, service)
    _add_v3(routes, service)
    _add_v3_dictionaries(routes, service)
    return routes


def _add_pairs(routes: APIRouter, service: Service) -> None:
    @routes.get("/v2/glossary-language-pairs")
    async def pairs() -> dict[str, Any]:
        """Pairs of languages for which there can be a dictionary."""
        return {
            "supported_languages": [
                {"source_lang": code(source).lower(), "target_lang": code(target).lower()}
                for source, targets in service.engine.pairs
                for target in targets
                if source != target
            ]
        }


def _add_v2(routes: APIRouter, service: Service) -> None:
    store = service.stores.glossaries

    @routes.post("/v2/glossaries", status_code=201)
    async def create(request: Request) -> JSONResponse:
        """A glossary of one dictionary."""
        params = await read_params(request)
        dictionary = dict([_dictionary(service, params)])
        one = store.create(caller().owner, fields.text(params, "name"), dictionary)
        return JSONResponse(_flat(service, one), 201)

    @routes.get("/v2/glossaries")
    async def every() -> dict[str, Any]:
        """All of the caller's that have one dictionary."""
        found = (one for one in store.all(caller().owner) if len(one.counts) == 1)
        return {"glossaries": [_flat(service, one) for one in found]}

    @routes.get("/v2/glossaries/{number}")
    async def one(number: str) -> dict[str, Any]:
        """One, without its entries."""
        return _flat(service, store.get(caller().owner, number))

    @routes.get("/v2/glossaries/{number}/entries")
    async def entries(number: str) -> Response:
        """Its entries as TSV."""
        pair = _only(store.get(caller().owner, number))
        found = store.entries(caller().owner, number, pair)
        return Response(write_tsv(found), media_type="text/tab-separated-values")

    @routes.delete("/v2/glossaries/{number}", status_code=204)
    @routes.delete("/v3/glossaries/{number}", status_code=204)
    async def delete(number: str) -> Response:
        """It is gone."""
        store.delete(caller().owner, number)
        return Response(status_code=204)


def _add_v3(routes: APIRouter, service: Service) -> None:
    store = service.stores.glossaries

    @routes.post("/v3/glossaries", status_code=201)
    async def create(request: Request) -> JSONResponse:
        """A glossary of several dictionaries."""
        params = await read_params(request)
        name = fields.text(params, "name")
        one = store.create(caller().owner, name, _dictionaries(service, params))
        return JSONResponse(_deep(service, one), 201)

    @routes.get("/v3/glossaries")
    async def every() -> dict[str, Any]:
        """All of the caller's."""
        return {"glossaries": [_deep(service, one) for one in store.all(caller().owner)]}

    @routes.get("/v3/glossaries/{number}")
    async def one(number: str) -> dict[str, Any]:
        """One, without its entries."""
        return _deep(service, store.get(caller().owner, number))

    @routes.patch("/v3/glossaries/{number}")
    async def change(number: str, request: Request) -> dict[str, Any]:
        """Another name, further entries."""
        params = await read_params(request)
        more = _dictionaries(service, params) if "dictionaries" in params else {}
        name = fields.text(params, "name", "")
        return _deep(service, store.merge(caller().owner, number, more, name))


def _add_v3_dictionaries(routes: APIRouter, service: Service) -> None:
    store = service.stores.glossaries

    @routes.get("/v3/glossaries/{number}/entries")
    async def entries(number: str, request: Request) -> dict[str, Any]:
        """The entries of one dictionary."""
        pair = _pair(service, await read_params(request))
        found = store.entries(caller().owner, number, pair)
        dictionary = _names(service, pair) | {"entries": write_tsv(found), "entries_format": "tsv"}
        return {"dictionaries": [dictionary]}

    @routes.put("/v3/glossaries/{number}/dictionaries")
    async def put(number: str, request: Request) -> dict[str, Any]:
        """A dictionary in the place of the one for its pair."""
        pair, entries = _dictionary(service, await read_params(request))
        one = store.put(caller().owner, number, pair, entries)
        return _names(service, pair) | {"entry_count": one.counts[pair]}

    @routes.delete("/v3/glossaries/{number}/dictionaries", status_code=204)
    async def drop(number: str, request: Request) -> Response:
        """A dictionary is gone."""
        store.drop(caller().owner, number, _pair(service, await read_params(request)))
        return Response(status_code=204)


def _pair(service: Service, params: Params) -> Pair:
    engine = service.engine
    return (
        engine.find(fields.text(params, "source_lang"), "source").flores,
        engine.find(fields.text(params, "target_lang"), "target").flores,
    )


def _dictionary(service: Service, params: Params) -> tuple[Pair, Entries]:
    form = fields.one_of(params, "entries_format", ("tsv", "csv"))
    return _pair(service, params), read_entries(fields.text(params, "entries"), form)


def _dictionaries(service: Service, params: Params) -> dict[Pair, Entries]:
    given = params.get("dictionaries")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise ServiceError(400, "dictionaries must be a list of objects")
    found: dict[Pair, Entries] = {}
    for each in given:
        pair, entries = _dictionary(service, each)
        if pair in found:
            raise ServiceError(400, f"two dictionaries from {pair[0]} to {pair[1]}")
        found[pair] = entries
    return found


def _names(service: Service, pair: Pair) -> dict[str, Any]:
    languages = {x.flores: code(x).lower() for x in service.engine.languages.all}
    source, target = (languages.get(flores, flores) for flores in pair)
    return {"source_lang": source, "target_lang": target}


def _only(one: Glossary) -> Pair:
    if len(one.counts) != 1:
        raise ServiceError(400, "this glossary has several dictionaries: ask for it under /v3")
    return next(iter(one.counts))


def _about(one: Glossary) -> dict[str, Any]:
    created = datetime.fromtimestamp(one.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"glossary_id": one.id, "name": one.name, "creation_time": created}


def _flat(service: Service, one: Glossary) -> dict[str, Any]:
    pair = _only(one)
    about = {**_about(one), "ready": True, "entry_count": one.counts[pair]}
    return about | _names(service, pair)


def _deep(service: Service, one: Glossary) -> dict[str, Any]:
    dictionaries = [
        _names(service, pair) | {"entry_count": number} for pair, number in one.counts.items()
    ]
    return {**_about(one), "dictionaries": dictionaries}
