"""Putting the service together: `create_app` builds it, `serve` runs it in this process."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from onbrand import __version__, attempts
from onbrand.api import page, problems, routes, service
from onbrand.api.cors import Cors
from onbrand.api.deps import Services, State
from onbrand.api.edge import Edge, Unforeseen
from onbrand.api.protocol import Protocol
from onbrand.api.schemas import GenerateRequest, Problem
from onbrand.config import Environment, Settings
from onbrand.errors import DatabaseUnavailable, KeysUnavailable, PortBusy
from onbrand.identity import TokenVerifier
from onbrand.images import ImageStore
from onbrand.postgres import Database

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 5
SWEEP_SECONDS = 5.0
_KEYS_RETRY_SECONDS = 0.5
_BACKLOG = 2048


@dataclass(frozen=True)
class StandIn:
    """A local identity provider that is served by this process, in place of Entra."""

    router: APIRouter
    metadata: dict[str, Any]


def create_app(settings: Settings, database_url: str, *, stand_in: StandIn | None, web_dir: Path | None) -> FastAPI:
    """The whole HTTP service. `web_dir` is the built page, None where it is served elsewhere.

    Raises:
        PageNotBuilt: `web_dir` has no build.
        DataDirUnwritable: the images' directory cannot be made.
    """
    held = Services(
        settings=settings,
        database=Database(database_url, application_name="onbrand api", max_connections=MAX_CONNECTIONS),
        images=ImageStore.on_disk(settings.data_dir / "images"),
        verifier=TokenVerifier(settings.directory),
    )
    production = settings.env is Environment.PRODUCTION

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        await held.database.open()
        upkeep = [asyncio.create_task(_load_keys(held.verifier)), asyncio.create_task(_sweep(held))]
        yield {"services": held}
        for task in upkeep:
            task.cancel()
        await asyncio.gather(*upkeep, return_exceptions=True)
        await held.database.close()

    app = FastAPI(
        title="Onbrand",
        version=__version__,
        description="A prompt becomes four illustrations in the studio's own style.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None if production else "/openapi.json",
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.sign_in = service.sign_in_config(settings, stand_in.metadata if stand_in else None)
    problems.install(app)
    app.include_router(routes.router)
    app.include_router(service.router)
    if not production:
        app.include_router(service.figures)
    if stand_in is not None:
        app.include_router(stand_in.router, include_in_schema=False)
    if web_dir is not None:
        page.install(app, web_dir, service.issuer_origin(settings))
    app.add_middleware(Unforeseen)
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    app.add_middleware(Edge, https=production)
    _document_shapes(app)
    return app


async def serve(app: FastAPI, settings: Settings, stop: asyncio.Event) -> None:
    """Answer requests until `stop` is set; open streams get three seconds to end.

    Raises:
        PortBusy: the address cannot be listened on.
    """
    listening = listen(settings)
    config = uvicorn.Config(
        app,
        http=Protocol,
        h11_max_incomplete_event_size=32_768,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving


def listen(settings: Settings) -> socket.socket:
    """The socket to serve on. Made before the server starts, so that the local sign-in's keys can be asked of it.

    Raises:
        PortBusy: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named because asyncio only then switches Nagle's algorithm off, which would hold each answer's
    # body back for 40 ms (measured; socket.create_server leaves it at 0).
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(_BACKLOG)
        return listening
    except OSError as error:
        listening.close()
        raise PortBusy(
            f"Port {settings.port} can't be listened on ({os.strerror(error.errno or 0)})."
            " Stop what uses it, or set another ONBRAND_PORT."
        ) from None


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: who starts this process decides when it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _load_keys(verifier: TokenVerifier) -> None:
    while True:
        try:
            await asyncio.to_thread(verifier.load_keys)
        except KeysUnavailable:
            await asyncio.sleep(_KEYS_RETRY_SECONDS)
        else:
            logger.info("The sign-in service's keys are loaded", extra={"action": "keys_loaded"})
            return


async def _sweep(held: Services) -> None:
    # In the API process, because with scale-to-zero there may be no worker to do it.
    settings, lost = held.settings, False
    while True:
        try:
            async with held.database.transaction() as connection:
                swept = await attempts.sweep(
                    connection, max_attempts=settings.max_attempts, retention_hours=settings.retention_hours
                )
        except DatabaseUnavailable:
            if not lost:
                logger.warning("The database does not answer", extra={"action": "database_lost"})
            lost = True
        except Exception:  # the loop must outlive whatever one round meets; it is logged and tried again
            logger.exception("The sweep failed", extra={"action": "sweep"})
        else:
            lost = False
            if swept.requeued or swept.failed:
                logger.warning(
                    "Jobs whose worker was lost: %d queued again, %d failed",
                    swept.requeued,
                    swept.failed,
                    extra={"action": "sweep"},
                )
            if swept.delivered_again:
                logger.warning(
                    "%d waiting jobs had lost their queue entry and got a new one",
                    swept.delivered_again,
                    extra={"action": "deliver_again"},
                )
        await asyncio.sleep(SWEEP_SECONDS)


def _operation_id(route: APIRoute) -> str:
    return route.name


def _document_shapes(app: FastAPI) -> None:
    """Add the shapes that no route names by type: the body that is read by hand, and the problem."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for model in (GenerateRequest, Problem):
            document["components"]["schemas"][model.__name__] = model.model_json_schema()
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path in document["paths"].values():
            for operation in path.values():
                if "401" in operation["responses"]:
                    operation["security"] = [{"bearer": []}]
                if "requestBody" not in operation:  # FastAPI adds its own 422; ours answers such paths with 404
                    operation["responses"].pop("422", None)
        document["components"]["schemas"].pop("HTTPValidationError", None)
        document["components"]["schemas"].pop("ValidationError", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
