"""Documents in DeepL's dialect: sent, looked after, fetched.

Not its job: the door (deepl.py), translating them (files.py).
"""

import asyncio
import contextlib
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from m4nmt_serve import fields
from m4nmt_serve.ask import AUTO
from m4nmt_serve.dialects import deepl_options, schemas
from m4nmt_serve.downloads import download
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.files import Files, Job
from m4nmt_serve.params import read_params

_PATIENCE = 1.0  # seconds, since DeepL's clients ask again only after five
_CANNOT = ("glossary_ids", "style_id", "translation_memory_id")


def router(files: Files) -> APIRouter:
    """The endpoints over the documents of a service."""
    routes = APIRouter()

    @routes.post("/v2/document", openapi_extra=schemas.DEEPL_DOCUMENT)
    async def send(request: Request) -> dict[str, str]:
        """Begin to translate a document."""
        params = await read_params(request)
        fields.none_of(params, _CANNOT)
        deepl_options.must_not_demand_formality(params)
        file = fields.upload(params, "file")
        file = file._replace(name=fields.text(params, "filename", "") or file.name)
        wanted = fields.text(params, "output_format", "").lower().lstrip(".")
        if wanted and not file.name.lower().endswith(f".{wanted}"):
            raise ServiceError(400, "output_format must be the format of the file itself")
        job = files.start(
            file,
            fields.text(params, "source_lang", "") or AUTO,
            fields.text(params, "target_lang"),
            fields.text(params, "glossary_id", ""),
        )
        return {"document_id": job.id, "document_key": job.secret}

    async def found(number: str, request: Request) -> Job:
        return files.find(number, fields.text(await read_params(request), "document_key"))

    @routes.post("/v2/document/{number}")
    @routes.get("/v2/document/{number}", include_in_schema=False)
    async def status(number: str, request: Request) -> dict[str, Any]:
        """How far it is."""
        job = await found(number, request)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(job.over.wait(), _PATIENCE)
        said: dict[str, Any] = {"document_id": job.id, "status": job.status}
        if job.status == "translating":
            said["seconds_remaining"] = 2
        if job.status == "done":
            said["billed_characters"] = job.chars
        if job.error is not None:
            said["error_message"] = job.error.message
        return said

    @routes.post("/v2/document/{number}/result")
    @routes.get("/v2/document/{number}/result", include_in_schema=False)
    async def result(number: str, request: Request) -> Response:
        """The translated document, until it expires."""
        job = await found(number, request)
        if job.open:
            raise ServiceError(503, "the document is still being translated", 2)
        return download(job)

    return routes
