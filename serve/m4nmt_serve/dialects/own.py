"""Our own dialect, under /v1: what no other dialect can say."""

from typing import Any

from fastapi import APIRouter

from m4nmt_serve.service import Service


def router(service: Service) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter(prefix="/v1", tags=["m4nmt"])

    @routes.get("/languages")
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

    return routes
