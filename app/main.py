"""The application, and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import anyio.to_thread
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import bootstrap
from app import settings as settings_module
from app.api import handlers, openapi, reloading, server
from app.api.compute import Compute
from app.api.garbage import settle
from app.api.house import House
from app.api.logs import configure
from app.api.metrics import Metrics
from app.api.middleware import CheckHost, Observe
from app.api.routes import (
    archives,
    ask,
    backup,
    batch,
    bulk,
    collections,
    conversations,
    docs,
    doctor,
    documents,
    health,
    indexes,
    jobs,
    keys,
    models,
    policies,
    search,
    templates,
    usage,
    workspaces,
)
from app.bootstrap import Services, last_resort
from app.domain.errors import ConfigurationError
from app.gateway.idempotency import Idempotency
from app.settings import Settings

_SERVICE_FILE = "service.json"  # what `Services.announce` writes
_DESCRIPTION = "Answers over your own documents, each sentence with a verified footnote."
_ROUTERS = (
    archives,
    policies,
    templates,
    collections,
    indexes,
    batch,
    bulk,
    documents,
    jobs,
    search,
    ask,
    keys,
    workspaces,
    conversations,
    usage,
    models,
    backup,
    doctor,
    health,
    docs,
)  # batch and bulk before /{document_id}


def create_app(settings: Settings | None = None, *, services: Services | None = None) -> FastAPI:
    """The ASGI application. Its lifespan builds the services if none are given, starts them and stops them."""
    settings = settings or (services.settings if services else settings_module.load())
    given = services.observer if services else None
    metrics = given if isinstance(given, Metrics) else Metrics()
    app = FastAPI(
        title="Footnote",
        version="0.1.0",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda app: _lifespan(app, settings, services, metrics),
    )
    for module in _ROUTERS:
        app.include_router(module.router)
    handlers.install(app)
    openapi.install(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"],
            expose_headers=["Location", "Retry-After", "X-Request-Id", "Idempotent-Replayed"],
        )
    app.add_middleware(CheckHost, allowed=settings.allowed_hosts)
    app.add_middleware(Observe, metrics=metrics)
    return app


@contextlib.asynccontextmanager
async def _lifespan(
    app: FastAPI, settings: Settings, services: Services | None, metrics: Metrics
) -> AsyncIterator[None]:
    """Open everything in a thread, hold it for the requests, close it in order."""
    if services is None:
        services = await anyio.to_thread.run_sync(lambda: bootstrap.build(settings, observer=metrics))
    await anyio.to_thread.run_sync(services.start)
    compute = Compute(workers=settings.request_workers, queue=settings.request_queue)
    app.state.house = House(
        settings=settings,
        services=services,
        compute=compute,
        metrics=metrics,
        idempotency=Idempotency(database=services.database, clock=services.clock, born=services.started_at),
        stopping=asyncio.Event(),
    )
    services.models.warm()
    try:
        yield
    finally:
        app.state.house = None
        await services.ask.summaries.close()
        await services.models.aclose()
        await anyio.to_thread.run_sync(compute.close)
        await anyio.to_thread.run_sync(services.stop)


def serve(settings: Settings) -> int:
    """Serve until a signal comes; gives the exit code.

    Raises:
        ConfigurationError: the folder is in use or not usable, or the address is taken; the message says what to do.
    """
    configure(settings)
    metrics = Metrics()
    services = bootstrap.build(settings, observer=metrics)  # first: who holds the folder is what a person must know
    try:
        bound = server.bind(settings.host, settings.port)
    except OSError as error:
        services.stop()
        raise ConfigurationError(
            f"can't listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "FOOTNOTE_HOST and FOOTNOTE_PORT name another address",
            code="address_in_use",
        ) from error
    url = server.url_of(bound)
    app = create_app(settings, services=services)
    settle()

    def on_listening() -> None:
        services.announce(url)
        reloading.on_hangup(services.models)
        _greet(services, url)

    def on_stopping() -> None:
        (settings.data_dir / _SERVICE_FILE).unlink(missing_ok=True)
        app.state.house.stopping.set()
        services.queue.quiet()  # slices end while requests do
        last_resort.arm(settings.stop_grace_seconds)

    running = server.Server(
        server.config(app, grace_seconds=settings.stop_grace_seconds, max_message_bytes=settings.max_json_bytes),
        on_listening=on_listening,
        on_stopping=on_stopping,
    )
    try:
        running.run(sockets=[bound])
    finally:
        bound.close()
        services.stop()  # once more is nothing: for a second signal, which skips the lifespan's end
    return 0 if running.started else 1


def _greet(services: Services, url: str) -> None:
    lines = [
        "",
        f"  Footnote is ready   {url}",
        f"  Documentation       {url}/docs",
        f"  Admin key           in {services.admin_key_path}",
        f"  Data folder         {services.settings.data_dir.resolve()}",
        "  Stop                Ctrl+C",
        "",
    ]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()
