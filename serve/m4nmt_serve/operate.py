"""Endpoints for whoever runs the service: /metrics, the models, loading them anew.

Not its job: health checks (app.py), translation.
"""

import asyncio
import hashlib
import hmac
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from m4nmt_serve.errors import ServiceError
from m4nmt_serve.metrics import CONTENT_TYPE
from m4nmt_serve.service import Service

_PATIENCE = 0.5  # of the deadline: how long a client is kept waiting for a model to be loaded
_REFUSALS: dict[int | str, dict[str, Any]] = {
    202: {"description": "still loading; /v1/models and the log tell how it ends"},
    400: {"description": "there is no such model"},
    401: {"description": "the token is missing or wrong"},
    403: {"description": "no token was set for this server"},
    409: {"description": "the new version cannot be used; the old one goes on"},
    429: {"description": "no room now; Retry-After says when"},
    503: {"description": "the model is being loaded"},
}


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def router(service: Service) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter(tags=["operation"])

    @routes.get(
        "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
    )
    async def metrics() -> Response:
        """Measures for Prometheus."""
        return Response(service.meters.page(), media_type=CONTENT_TYPE)

    @routes.get("/v1/models")
    async def models() -> list[dict[str, Any]]:
        """The models here, in the order in which they are asked for a direction."""
        return service.models.describe()

    @routes.post(
        "/admin/reload",
        responses=_REFUSALS,
        openapi_extra={"security": [{"admin": []}]},
    )
    async def reload(request: Request, model: str = "") -> JSONResponse:
        """Load the newest version of a model, or of all, beside the one at work, and switch."""
        authorise(service, request)
        task = service.reload(model)
        await asyncio.wait([task], timeout=service.config.deadline * _PATIENCE)
        if not task.done():
            return JSONResponse({"status": "loading"}, 202)
        done = task.result()
        failed = [f"{r.model}: {r.error}" for r in done if r.error]
        if failed:
            raise ServiceError(409, "kept as they were: " + "; ".join(failed))
        return JSONResponse({"status": "loaded", "models": [r.model for r in done]})

    @routes.get(
        "/admin/suggestions",
        response_class=StreamingResponse,
        responses={
            400: {"description": "there is no such format"},
            **{status: _REFUSALS[status] for status in (401, 403, 429)},
        },
        openapi_extra={"security": [{"admin": []}]},
    )
    async def suggestions(request: Request, format: str = "ndjson") -> StreamingResponse:
        """Everything that people suggested: lines of JSON, or a table (format=tsv)."""
        authorise(service, request)
        if format not in ("ndjson", "tsv"):
            raise ServiceError(400, "format must be ndjson or tsv")
        store = service.stores.suggestions
        rows = store.lines() if format == "ndjson" else store.table()
        kind = "application/x-ndjson" if format == "ndjson" else "text/tab-separated-values"
        return StreamingResponse(rows, media_type=f"{kind}; charset=utf-8")

    return routes


def authorise(service: Service, request: Request) -> None:
    """Let in whoever sends the server's token.

    Raises:
        ServiceError: 401 without the token, 403 where none was set.
    """
    wanted = service.config.admin_sha256
    if not wanted:
        raise ServiceError(
            403,
            "/admin is closed: set M4NMT_ADMIN_TOKEN and start the server anew "
            "(SIGHUP loads models anew without it)",
        )
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    given = hashlib.sha256(token.strip().encode("latin-1", "replace")).hexdigest()
    if kind.lower() != "bearer" or not hmac.compare_digest(given, wanted):
        raise ServiceError(401, "send the server's token: Authorization: Bearer TOKEN")
