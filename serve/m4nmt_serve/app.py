"""The application: a Service, one router a dialect, health checks and the web page."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from m4nmt_serve import operate, page
from m4nmt_serve.dialects import azure, deepl, google, libretranslate, own, schemas
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.files import Files
from m4nmt_serve.limits import Gate
from m4nmt_serve.models import by_name
from m4nmt_serve.service import Service
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.translator import Translator


def create_app(
    translator: Translator | Service | Callable[[], Translator],
    config: ServeConfig | None = None,
) -> FastAPI:
    """The ASGI application over a translator, over a function that loads one, or over a Service."""
    service = translator if isinstance(translator, Service) else _service(translator, config)
    files = Files(service)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await files.close()
        await service.close()

    app = FastAPI(
        title="m4nmt",
        description="Massively multilingual translation, in several dialects.",
        docs_url=None,  # the usual pages for these load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # to http:, behind a proxy that speaks https, with key and text
        lifespan=life,
    )
    for dialect, routes, said in (
        (libretranslate, libretranslate.router(service, files), plainly),
        (deepl, deepl.router(service, files), deepl.shape),
        (google, google.router(service), google.shape),
        (azure, azure.router(service), azure.shape),
        (own, own.router(service), plainly),
    ):
        app.include_router(routes, responses=schemas.refusals(said, dialect.DOOR))
    app.include_router(operate.router(service))
    _add_health(app, service)
    _add_page(app, service.config)
    _add_refusals(app)
    _describe(app)
    places = service.places
    app.add_middleware(
        Gate, config=service.config, shape=shape, meters=service.meters, places=places
    )
    if service.config.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.config.origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
        )
    return app


def _service(
    translator: Translator | Callable[[], Translator], config: ServeConfig | None
) -> Service:
    return Service(by_name(translator), config or ServeConfig())


def shape(path: str, error: ServiceError) -> dict[str, Any]:
    """A refusal as the dialect at this path says it."""
    if path.startswith(deepl.PATHS):
        return deepl.shape(error)
    if path.startswith(google.PATH):
        return google.shape(error)
    if path.startswith(azure.PATH):
        return azure.shape(error)
    return plainly(error)


def plainly(error: ServiceError) -> dict[str, Any]:
    """A refusal in the dialects that have no more to say."""
    return {"error": error.message}


def _describe(app: FastAPI) -> None:
    """/openapi.json without the status 422, which FastAPI promises and nobody here answers."""
    whole = app.openapi

    def described() -> dict[str, Any]:
        said = whole()
        for operations in said["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        return said

    app.openapi = described  # type: ignore[method-assign]


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/health", tags=["health"])
    async def health() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/ready", tags=["health"], responses={503: {"description": "loading or draining"}})
    async def ready() -> JSONResponse:
        """Requests would be served now."""
        if service.ready:
            return JSONResponse({"status": "ready"})
        status = "draining" if service.draining else "loading"
        return JSONResponse({"status": status}, 503, {"Retry-After": "2"})


def _add_page(app: FastAPI, config: ServeConfig) -> None:
    assembled = page.assemble(Path(config.page_texts) if config.page_texts else None)

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        headers = assembled.headers
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return HTMLResponse(assembled.zipped, headers=headers | {"Content-Encoding": "gzip"})
        return HTMLResponse(assembled.html, headers=headers)


def _add_refusals(app: FastAPI) -> None:
    def said(request: Request, error: ServiceError) -> JSONResponse:
        return JSONResponse(shape(request.url.path, error), error.status, error.headers)

    @app.exception_handler(ServiceError)
    async def refused(request: Request, error: ServiceError) -> JSONResponse:
        return said(request, error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        response = said(request, ServiceError(error.status_code, str(error.detail)))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return said(request, ServiceError(400, "the parameters are not valid"))

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return said(request, ServiceError(500, "the server failed; see its log"))
