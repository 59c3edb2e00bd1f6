"""Stored glossaries in our own dialect, one pair of languages each: /v1/glossaries.

Not its job: the door (own.py), keeping them (m4nmt_serve.glossaries).
"""

import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from m4nmt_serve import fields
from m4nmt_serve.dialects import schemas
from m4nmt_serve.glossaries import Glossary, checked
from m4nmt_serve.keys import caller
from m4nmt_serve.params import read_params
from m4nmt_serve.service import Service


def router(service: Service) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter()
    store = service.stores.glossaries

    def described(one: Glossary) -> dict[str, Any]:
        (source, target), number = next(iter(one.counts.items()))
        languages = {x.flores: x.code for x in service.engine.languages.all}
        return {
            "id": one.id,
            "name": one.name,
            "source": languages.get(source, source),
            "target": languages.get(target, target),
            "entries": number,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.created)),
        }

    @routes.post("/v1/glossaries", status_code=201, openapi_extra=schemas.OWN_GLOSSARY)
    async def create(request: Request) -> JSONResponse:
        """Keep terms for one pair of languages."""
        params = await read_params(request)
        fields.only(params, {"name", "source", "target", "entries", "api_key"})
        engine = service.engine
        pair = (
            engine.find(fields.text(params, "source"), "source").flores,
            engine.find(fields.text(params, "target"), "target").flores,
        )
        entries = checked(list(fields.table(params, "entries").items()))
        one = store.create(caller().owner, fields.text(params, "name"), {pair: entries})
        return JSONResponse(described(one), 201)

    @routes.get("/v1/glossaries")
    async def every() -> dict[str, Any]:
        """All that are this caller's; of those made in other dialects the first pair is shown."""
        return {"glossaries": [described(one) for one in store.all(caller().owner)]}

    @routes.get("/v1/glossaries/{glossary}")
    async def one(glossary: str) -> dict[str, Any]:
        """One, with its entries."""
        found = store.get(caller().owner, glossary)
        pair = next(iter(found.counts))
        return described(found) | {"entries": store.entries(caller().owner, glossary, pair)}

    @routes.delete("/v1/glossaries/{glossary}", status_code=204)
    async def delete(glossary: str) -> Response:
        """It is gone."""
        store.delete(caller().owner, glossary)
        return Response(status_code=204)

    return routes
