"""The FastAPI application: page, routes, websocket, and the guard around them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.requests import ClientDisconnect

from twin import __version__
from twin.core.errors import Rejected, TwinError
from twin.live import Event
from twin.protocol.messages import PROTOCOL_VERSION
from twin.server.auth import Guard
from twin.server.context import Context
from twin.server.host import Host
from twin.server.hub import Hub
from twin.server.oidc import Provider, oidc_router
from twin.server.packed import Packed
from twin.server.replay import TrackRecorder, replay_router
from twin.server.routes import access, alarms, comments, physics, plant, push, rules, scene, timeline, uploads, versions
from twin.server.studies import studies_router
from twin.server.ws import serve_client

STATIC = Path(__file__).parent / "static"
NOT_BUILT = "The web client has not been built. In a clone of the project, run: make build\n"
_STATUS = {"stopping": 503, "busy": 503, "gone": 404, "role": 403}
"""HTTP status of a refusal by its code; 409 for the rest."""


Tap = Callable[[Event, float], None]
"""Takes events of the runtime on the owner thread, with their wall time [s UTC]."""


def create_app(
    host: Host,
    *,
    hosts: frozenset[str] = frozenset(),
    public: str = "",
    provider: Provider | None = None,
    tap: Tap | None = None,
) -> FastAPI:
    """The application around a started host.

    Args:
        hosts: Host names that it answers to, beside loopback. public: Origin of ``--public-url``, if any.
        provider: OpenID Connect provider that people may sign in with.
        tap: Is given the events too, those that tell how things stand first.
    """
    hub = Hub()
    track = TrackRecorder(host.settings.project / "track")
    cookie = "twin_" + hashlib.sha256(str(host.settings.project.resolve()).encode()).hexdigest()[:12]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        hub.open(asyncio.get_running_loop())

        def publish(event: Event) -> None:
            now = time.time()
            if tap is not None:
                tap(event, now)
            hub.post(hub.publish, event, now)

        def record() -> None:
            for event in host.runtime.current():
                track.publish(event)
                if tap is not None:
                    tap(event, time.time())
            host.runtime.subscribe(track.publish)

        host.runtime.subscribe(publish)
        host.alarms.told = lambda message: hub.post(hub.publish, message)
        track.start()
        if host.runtime.state != "failed":
            await app.state.context.owner(record)
        yield
        # before this loop ends: the owner thread tells it of every event
        await asyncio.to_thread(host.runtime.stop)
        await asyncio.to_thread(track.close)

    app = FastAPI(title="Twin", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = Context(host, hub, cookie, public)

    @app.exception_handler(TwinError)
    async def explain(request: Request, error: TwinError) -> JSONResponse:
        status = 404 if error.exit_code == 2 else 500
        if isinstance(error, Rejected):
            status = _STATUS.get(error.code, 409)
        body = {"error": str(error)} | ({"code": error.code} if isinstance(error, Rejected) else {})
        return JSONResponse(body, status_code=status)

    @app.exception_handler(RequestValidationError)
    async def point_out(request: Request, error: RequestValidationError) -> Response:
        # without what was sent: it may be what no JSON can hold (a lone surrogate, an infinite number)
        wrong = [{"loc": each["loc"], "msg": each["msg"], "type": each["type"]} for each in error.errors()]
        return Response(json.dumps({"detail": wrong}, default=str), status_code=422, media_type="application/json")

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody is there to read it; without this it would be called an error of ours

    # before the routers: looking for it in them makes FastAPI build all of their routes first
    @app.websocket("/api/ws")
    async def ws(socket: WebSocket) -> None:
        await serve_client(socket, host, hub)

    @app.get("/api/health")
    async def health() -> JSONResponse:
        failed = host.runtime.state == "failed"
        status = "failed" if failed else "read-only" if host.document.read_only else "ok"
        ways = ["token", "password", *([] if provider is None else ["oidc"])]
        body = {"status": status, "protocol": PROTOCOL_VERSION, "version": __version__, "sign_in": ways}
        return JSONResponse(body, status_code=503 if failed else 200)

    for part in (scene, versions, comments, alarms, access, rules, push, plant, physics, uploads, timeline):
        app.include_router(part.router)

    @app.get("/")
    async def page() -> Response:
        index = STATIC / "index.html"
        if not index.exists():
            return PlainTextResponse(NOT_BUILT, status_code=503)
        return FileResponse(index, headers={"Cache-Control": "no-cache"})

    app.include_router(oidc_router(provider))
    app.include_router(replay_router(track))
    app.include_router(studies_router(host))
    if STATIC.exists():
        app.mount("/", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(Packed)
    app.add_middleware(Guard, access=host.access, hosts=hosts, public=public, cookie=cookie)  # type: ignore[arg-type]
    return app
