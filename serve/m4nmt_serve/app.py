"""The application: a Service, one router a dialect, health checks and the web page."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from m4nmt_serve.dialects import libretranslate, own
from m4nmt_serve.errors import ServiceError
from m4nmt_serve.limits import Gate
from m4nmt_serve.service import Service
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.translator import Translator

# The page may talk to its own server and to nobody else.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def create_app(
    translator: Translator | Service | Callable[[], Translator],
    config: ServeConfig | None = None,
) -> FastAPI:
    """The ASGI application over a translator, over a function that loads one, or over a Service."""
    service = translator if isinstance(translator, Service) else _service(translator, config)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()

    app = FastAPI(
        title="m4nmt",
        description="Massively multilingual translation, in LibreTranslate's dialect.",
        docs_url=None,  # the usual pages for these load scripts from elsewhere
        redoc_url=None,
        lifespan=life,
    )
    app.include_router(libretranslate.router(service))
    app.include_router(own.router(service))
    _add_health(app, service)
    _add_page(app)
    _add_refusals(app)
    app.add_middleware(Gate, config=service.config, shape=_shape)
    if service.config.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.config.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    return app


def _service(
    translator: Translator | Callable[[], Translator], config: ServeConfig | None
) -> Service:
    load = translator if callable(translator) else lambda: translator
    return Service(load, config or ServeConfig())


def _shape(path: str, message: str) -> dict[str, Any]:
    """A refusal as the dialect at this path says it."""
    return libretranslate.shape(message)


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


def _add_page(app: FastAPI) -> None:
    page = resources.files("m4nmt_serve").joinpath("web/index.html").read_text("utf-8")

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(
            page,
            headers={
                "Content-Security-Policy": _PAGE_POLICY,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            },
        )


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(ServiceError)
    async def refused(request: Request, error: ServiceError) -> JSONResponse:
        return JSONResponse(_shape(request.url.path, error.message), error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        body = _shape(request.url.path, str(error.detail))
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(_shape(request.url.path, "the parameters are not valid"), 400)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(_shape(request.url.path, "the server failed; see its log"), 500)
