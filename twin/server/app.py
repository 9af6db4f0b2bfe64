"""The FastAPI application: page, scene, history, access, and the websocket."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from twin import __version__
from twin.collab import ROLES, may
from twin.core.errors import Rejected, TwinError
from twin.core.samples import SignalKey, is_bad
from twin.live import Event
from twin.protocol.messages import PROTOCOL_VERSION
from twin.server.auth import Guard
from twin.server.host import Host
from twin.server.hub import Hub
from twin.server.replay import TrackRecorder, replay_router
from twin.server.studies import studies_router
from twin.server.ws import serve_client

STATIC = Path(__file__).parent / "static"
NOT_BUILT = "The web client has not been built. In a clone of the project, run: make build\n"
COOKIE_SECONDS = 30 * 24 * 3600
MAX_POINTS = 20_000


class Login(BaseModel):
    """Body of ``POST /api/login``."""

    token: str = Field(max_length=512)


class Share(BaseModel):
    """Body of ``POST /api/share``."""

    role: str
    label: str = Field(default="", max_length=80)


class VersionLabel(BaseModel):
    """Body of ``POST /api/versions``."""

    label: str = Field(min_length=1, max_length=200)


def create_app(host: Host, *, hosts: frozenset[str] = frozenset(), public: str = "") -> FastAPI:
    """The application around a started host."""
    hub = Hub()
    track = TrackRecorder(host.settings.project / "track")
    cookie = "twin_" + hashlib.sha256(str(host.settings.project.resolve()).encode()).hexdigest()[:12]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def publish(event: Event) -> None:
            loop.call_soon_threadsafe(hub.publish, event)

        def record() -> None:
            for event in host.runtime.current():
                track.publish(event)
            host.runtime.subscribe(track.publish)

        host.runtime.subscribe(publish)
        track.start()
        if host.runtime.state != "failed":
            await owner(record)
        yield
        await asyncio.to_thread(track.close)

    app = FastAPI(title="Twin", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.hub = hub

    async def owner(fn: Any) -> Any:
        return await asyncio.wrap_future(host.on_owner(fn))

    def need(request: Request, action: str) -> None:
        if not may(request.scope["role"] or "", action):
            raise HTTPException(403, f"your role does not allow to {action}")

    @app.exception_handler(TwinError)
    async def explain(request: Request, error: TwinError) -> JSONResponse:
        status = 404 if error.exit_code == 2 else 500
        if isinstance(error, Rejected):
            status = 503 if error.code in ("stopping", "busy") else 409
        return JSONResponse({"error": str(error)}, status_code=status)

    @app.get("/api/health")
    async def health() -> JSONResponse:
        failed = host.runtime.state == "failed"
        body = {"status": "failed" if failed else "ok", "protocol": PROTOCOL_VERSION, "version": __version__}
        return JSONResponse(body, status_code=503 if failed else 200)

    @app.post("/api/login", status_code=204)
    async def login(body: Login, request: Request) -> Response:
        role = host.role_of(body.token)
        if role is None:
            await asyncio.sleep(0.2)
            raise HTTPException(401, "the token is not known")
        response = Response(status_code=204)
        secure = request.url.scheme == "https" or public.startswith("https:")
        response.set_cookie(cookie, body.token, max_age=COOKIE_SECONDS, httponly=True, samesite="strict", secure=secure)
        return response

    @app.get("/api/scene")
    async def scene() -> Response:
        return Response(await owner(host.scene), media_type="application/json", headers={"Cache-Control": "no-store"})

    @app.get("/api/prim")
    async def prim(path: str) -> Response:
        detail = await owner(lambda: host.prim(path))
        return Response(msgspec.json.encode(detail), media_type="application/json", headers={"Cache-Control": "no-store"})

    @app.get("/api/assets/{key}")
    async def asset(key: str) -> Response:
        data = host.assets.get(key)
        if data is None:
            raise HTTPException(404, "no such asset")
        headers = {"Cache-Control": "private, max-age=31536000, immutable"}
        return Response(data, media_type="application/octet-stream", headers=headers)

    @app.get("/api/history")
    async def history(prim: str, name: str, t0_ns: int, t1_ns: int, points: int = 2000, before: bool = False) -> JSONResponse:
        """``before``: also the last sample ahead of ``t0_ns``, which says what held then."""
        key = SignalKey(prim, name)
        points = max(2, min(points, MAX_POINTS))
        columns = await asyncio.to_thread(host.history.range, key, t0_ns, t1_ns, points)
        time_ns, value, quality = columns.time_ns.tolist(), columns.value, columns.quality.tolist()
        earlier = await asyncio.to_thread(host.history.latest_at, key, t0_ns - 1) if before else None
        if earlier is not None:
            held = None if is_bad(earlier.quality) else earlier.value
            time_ns, value, quality = [earlier.time, *time_ns], [held, *value], [earlier.quality, *quality]
        return JSONResponse(
            {
                "prim": prim,
                "name": name,
                "unit": host.history.units().get(key, ""),
                "time_ns": [str(t) for t in time_ns],
                "value": value,
                "quality": quality,
            }
        )

    @app.get("/api/signals")
    async def signals() -> JSONResponse:
        known = await owner(lambda: {(s.prim, s.name): s for s in host.runtime.model.signals})
        units = host.history.units()
        out = []
        for s in await asyncio.to_thread(host.history.signals):
            declared = known.get((s.prim, s.name))
            unit = units.get(SignalKey(s.prim, s.name), declared.unit if declared else "")
            role = declared.role if declared else "measurement"
            row = {"prim": s.prim, "name": s.name, "unit": unit, "role": role, "count": s.count}
            out.append(row | {"first_ns": str(s.first_ns), "last_ns": str(s.last_ns)})
        return JSONResponse(out)

    @app.get("/api/versions")
    async def versions() -> JSONResponse:
        return JSONResponse(await owner(host.document.journal.versions))

    @app.post("/api/versions")
    async def save_version(body: VersionLabel, request: Request) -> JSONResponse:
        need(request, "edit")
        return JSONResponse({"id": await owner(lambda: host.document.save_version(body.label, "editor"))}, status_code=201)

    @app.post("/api/share")
    async def share(body: Share, request: Request) -> JSONResponse:
        need(request, "share")
        if body.role not in ROLES:
            raise HTTPException(422, f"no role {body.role!r} (allowed: {', '.join(ROLES)})")
        token = await owner(lambda: host.share(body.role, body.label))
        base = public or f"{request.url.scheme}://{request.headers['host']}"
        return JSONResponse({"url": f"{base}/#token={token}", "role": body.role}, status_code=201)

    @app.websocket("/api/ws")
    async def ws(socket: WebSocket) -> None:
        await serve_client(socket, host, hub)

    @app.get("/")
    async def page() -> Response:
        index = STATIC / "index.html"
        if not index.exists():
            return PlainTextResponse(NOT_BUILT, status_code=503)
        return FileResponse(index, headers={"Cache-Control": "no-cache"})

    app.include_router(replay_router(track))
    app.include_router(studies_router(host))
    if STATIC.exists():
        app.mount("/", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(Guard, host=host, hosts=hosts, public=public, cookie=cookie)  # type: ignore[arg-type]
    return app
