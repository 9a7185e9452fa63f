"""The service as a whole: `create_app` builds it, and `serve` runs it in this process."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from onbrand import __version__
from onbrand.api import health, page, page_config, problems, reviews, routes, style, style_pictures
from onbrand.api.cors import Cors
from onbrand.api.dependencies import Services, State
from onbrand.api.metrics import Metrics
from onbrand.api.middleware import OuterMiddleware, UnexpectedErrors
from onbrand.api.protocol import KEEP_ALIVE_SECONDS, Protocol
from onbrand.api.rates import VISITORS, Rates
from onbrand.api.readiness import ReadinessLook
from onbrand.api.review_schemas import VerdictRequest
from onbrand.api.schemas import AnswerRequest, GenerateRequest, Problem
from onbrand.api.watching import JobWatch
from onbrand.config import Environment, Settings, SignIn
from onbrand.database.address import Address
from onbrand.database.pool import Database
from onbrand.errors import KeysUnavailable, PortBusy
from onbrand.identity.tokens import TokenVerifier
from onbrand.images.store import ImageStore
from onbrand.maintenance import Maintenance
from onbrand.packs.pictures import StylePictures
from onbrand.reviews.pictures import CardStore

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 5
_KEYS_RETRY_SECONDS = 0.5
_KEYS_LOOK_SECONDS = 60.0  # between two looks at whether the signing keys must be fetched again
_ANSWERS_PER_SECOND = 0.5  # of one person; ten at once
_ANSWERS_BURST_SECONDS = 20.0
_BACKLOG = 2048  # connections that wait to be accepted
# How many connections are accepted before `protocol` counts them. By default asyncio accepts the whole backlog at once.
# That can be more files than this process may open, and asyncio then logs thousands of errors a second.
_ACCEPTED_AT_ONCE = 16
# How much of an answer the kernel buffers for a client that reads slowly. By default it buffers up to 4 MB for each
# connection, and `protocol` then notices too late that the client is still reading.
_SEND_BUFFER_BYTES = 262_144


@dataclass(frozen=True)
class StandIn:
    """A local identity provider. This process serves it in place of Entra."""

    router: APIRouter
    metadata: dict[str, Any]


def create_app(settings: Settings, address: Address, *, stand_in: StandIn | None, web_dir: Path | None) -> FastAPI:
    """The whole HTTP service. `web_dir` is the folder of the built page, or None if another host serves the page.

    Raises:
        PageNotBuilt: `web_dir` holds no built page.
        DataDirUnwritable: the folder of the images cannot be made.
    """
    database = Database(address, application_name="onbrand api", max_connections=MAX_CONNECTIONS)
    services = Services(
        settings=settings,
        database=database,
        images=ImageStore.open(settings),
        cards=CardStore.open(settings),
        verifier=TokenVerifier(settings.directory),
        metrics=Metrics(),
        watch=JobWatch(database),
        people=Rates(settings.max_requests_per_second),
        visitors=Rates(VISITORS * settings.max_requests_per_second),
        answers=Rates(_ANSWERS_PER_SECOND, burst_seconds=_ANSWERS_BURST_SECONDS),
        readiness=ReadinessLook(database),
        style_pictures=StylePictures(settings),
    )
    production = settings.env is Environment.PRODUCTION

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        await services.database.open()
        background = [asyncio.create_task(_load_keys(services.verifier)), asyncio.create_task(_maintain(services))]
        yield {"services": services}
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await services.database.close()

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
    app.state.services = services
    app.state.sign_in = page_config.sign_in_config(settings, stand_in.metadata if stand_in else None)
    problems.install(app)
    app.include_router(routes.router)
    app.include_router(style.router)
    app.include_router(style_pictures.router)
    app.include_router(reviews.router)
    app.include_router(page_config.router)
    app.include_router(health.router)
    if not production:
        app.include_router(health.metrics_router)
    if stand_in is not None:
        app.include_router(stand_in.router, include_in_schema=False)
    if web_dir is not None:
        page.install(app, web_dir, page_config.issuer_origin(settings))
    app.add_middleware(UnexpectedErrors)
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    is_local = settings.auth is SignIn.LOCAL
    app.add_middleware(
        OuterMiddleware,
        https=production,
        for_this_machine=is_local,
        metrics=services.metrics,
        visitors=services.visitors,
        members_paths=_first_parts(routes.router),
        origins=settings.cors_origins,
    )
    _document_shapes(app)
    return app


def metrics_app(services: Services) -> FastAPI:
    """A service with the route `/metrics` alone, for a port that only the operator's network reaches.

    It uses the database connections of `services` and opens none.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        yield {"services": services}

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    problems.install(app)
    app.include_router(health.metrics_router)
    app.add_middleware(UnexpectedErrors)
    is_local = services.settings.auth is SignIn.LOCAL
    app.add_middleware(OuterMiddleware, https=False, for_this_machine=is_local, metrics=None)
    return app


async def serve(app: FastAPI, settings: Settings, stop: asyncio.Event) -> None:
    """Answer requests until `stop` is set. Open streams then have three seconds to end.

    Raises:
        PortBusy: this process cannot listen on an address.
        ObjectStoreRefused: the image store does not accept the settings.
    """
    services: Services = app.state.services
    await services.images.prepare()
    listening = [(app, listen(settings.host, settings.port, "ONBRAND_PORT"))]
    if settings.metrics_port is not None:
        listener = listen(settings.host, settings.metrics_port, "ONBRAND_METRICS_PORT")
        listening.append((metrics_app(services), listener))
    servers = [_Server(_configuration(served)) for served, _ in listening]
    services.metrics.watch_connections(lambda: len(servers[0].server_state.connections))
    serving = [
        asyncio.create_task(server.serve(sockets=[listener]))
        for server, (_, listener) in zip(servers, listening, strict=True)
    ]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({*serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.should_exit = True
    stopping.cancel()
    await asyncio.gather(*serving)


def _configuration(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        h11_max_incomplete_event_size=32_768,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        backlog=_ACCEPTED_AT_ONCE,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )


def listen(host: str, port: int, setting: str) -> socket.socket:
    """The socket to serve on. It is made before the server starts, so the verifier can already connect to load keys.

    `setting` is the name of the setting that chooses the port.

    Raises:
        PortBusy: this process cannot listen on the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only if the protocol is named, and socket.create_server leaves it at 0.
    # With Nagle's algorithm the body of each answer came 40 ms late (measured).
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES
        )  # every accepted connection inherits this
        listening.bind((host, port))
        listening.listen(_BACKLOG)
        return listening
    except (OSError, UnicodeError) as error:
        listening.close()
        if not isinstance(error, OSError) or isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise PortBusy(
                "ONBRAND_HOST is no address of this machine. Set it to 127.0.0.1, or to 0.0.0.0 for all it has."
            ) from None
        raise PortBusy(
            f"Port {port} can't be listened on ({error.strerror}). Stop what uses it, or set another {setting}."
        ) from None


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: the command that started this process decides when it stops."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(_BACKLOG)  # asyncio has just called listen(_ACCEPTED_AT_ONCE)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _load_keys(verifier: TokenVerifier) -> None:
    """Load the keys, and go on: a service that nobody used for hours would accept a key that was withdrawn since."""
    are_loaded = False
    while True:
        try:
            await asyncio.to_thread(verifier.load_keys)
        except KeysUnavailable:
            await asyncio.sleep(_KEYS_RETRY_SECONDS)
            continue
        if not are_loaded:
            logger.info("The sign-in service's keys are loaded", extra={"action": "keys_loaded"})
            are_loaded = True
        await asyncio.sleep(_KEYS_LOOK_SECONDS)


async def _maintain(services: Services) -> None:
    # In this process, because no worker runs while the GPU is scaled to zero.
    await Maintenance(services.settings, services.database, services.images).run()


def _first_parts(router: APIRouter) -> frozenset[str]:
    """Of the paths of these routes: `jobs` for `/jobs/{job_id}`."""
    return frozenset(route.path.split("/")[1] for route in router.routes if isinstance(route, APIRoute))


def _operation_id(route: APIRoute) -> str:
    return route.name


def _document_shapes(app: FastAPI) -> None:
    """Add the shapes that FastAPI cannot find: bodies that `body` reads, and problems."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        shapes = document["components"]["schemas"]
        for model in (GenerateRequest, AnswerRequest, VerdictRequest, Problem):
            shape = model.model_json_schema(ref_template="#/components/schemas/{model}")
            shapes |= shape.pop("$defs", {})  # the shapes that it consists of
            shapes[model.__name__] = shape
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path in document["paths"].values():
            for operation in path.values():
                if "401" in operation["responses"]:
                    operation["security"] = [{"bearer": []}]
                # FastAPI adds a 422 of its own shape for path parameters, and Onbrand answers 404.
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]
        document["components"]["schemas"].pop("HTTPValidationError", None)
        document["components"]["schemas"].pop("ValidationError", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
