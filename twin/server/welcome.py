"""The page to choose a stage, where ``twin serve`` was given none: samples, projects begun here before, or an empty one."""

from __future__ import annotations

import asyncio
import hmac
import os
import re
import secrets
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from twin import __version__
from twin.collab import Identity
from twin.protocol.messages import PROTOCOL_VERSION
from twin.scene.fresh import describe_stage, write_empty_stage
from twin.server.app import NOT_BUILT, STATIC
from twin.server.auth import Guard
from twin.server.limits import Tries, address_of
from twin.server.serve import Front, Leave, Ready, bind, leave, names_of, server_config, url_of

COOKIE = "twin_welcome"
PICTURE = "preview.png"
STAGE = "scene.usda"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,59}")


@dataclass
class Choice:
    """What a person may choose from, and what was chosen.

    ``samples`` is the folder of the samples, ``projects`` that of projects begun here. ``stage`` is set once.
    """

    samples: Path
    projects: Path
    token: str
    stage: Path | None = None

    def offered(self) -> dict[str, Path]:
        """Stages by their id."""
        found = {f"sample/{file.parent.name}": file for file in sorted(self.samples.glob(f"*/{STAGE}"))}
        return found | {f"project/{file.parent.name}": file for file in sorted(self.projects.glob(f"*/{STAGE}"))}

    def identify(self, token: str) -> Identity | None:
        """As ``twin.collab.Access``: the one token is the administrator's."""
        return Identity("project", "admin") if token and hmac.compare_digest(token.encode(), self.token.encode()) else None

    def begin(self, name: str) -> Path:
        """A new project with an empty stage and the samples' library of parts.

        Raises:
            HTTPException: The name is taken or unusable, or the folder cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise HTTPException(422, "a name has letters, digits, blanks, _ and -, at most 60, and does not begin with a blank")
        folder = self.projects / re.sub(r"\s+", "_", name.strip())
        try:
            folder.mkdir(parents=True)
            shutil.copytree(self.samples / "_assets", folder / "_assets")
            (folder / "twin.toml").touch()
            write_empty_stage(folder / STAGE, name)
        except FileExistsError:
            raise HTTPException(409, f"there is a project {name!r} already") from None
        except OSError as error:
            raise HTTPException(500, f"{folder} cannot be written: {error.strerror}") from error
        return folder / STAGE


class Login(BaseModel):
    """Body of ``POST /api/login``."""

    token: str = Field(max_length=512)


class Open(BaseModel):
    """Body of ``POST /api/open``: one that is offered by its ``id``, or a new one by its ``name``."""

    id: str = Field(default="", max_length=200)
    name: str = Field(default="", max_length=80)


def create_welcome(choice: Choice, *, hosts: frozenset[str], public: str) -> FastAPI:
    """The application that is served until somebody has chosen."""
    tries = Tries()
    app = FastAPI(title="Twin", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/api/health")
    async def health() -> JSONResponse:
        body = {"status": "choosing", "protocol": PROTOCOL_VERSION, "version": __version__, "sign_in": ["token"]}
        return JSONResponse(body)

    @app.post("/api/login", status_code=204)
    async def login(body: Login, request: Request) -> Response:
        if choice.identify(body.token) is None:
            if not tries.begin(address_of(request)):
                raise HTTPException(429, "too many attempts; try again in a moment")
            raise HTTPException(401, "this token is not known here")
        response = Response(status_code=204)
        secure = public.startswith("https://") or request.url.scheme == "https"
        response.set_cookie(COOKIE, body.token, httponly=True, samesite="strict", secure=secure, path="/")
        return response

    @app.get("/api/scene")
    async def scene() -> JSONResponse:
        return JSONResponse({"error": "no stage has been chosen yet", "code": "choosing"}, status_code=409)

    @app.get("/api/choices")
    async def choices() -> JSONResponse:
        rows = []
        for id, file in choice.offered().items():
            described = await asyncio.to_thread(describe_stage, file)
            rows.append({"id": id, "picture": (file.parent / PICTURE).is_file()} | described)
        return JSONResponse({"choices": rows, "folder": str(choice.projects.resolve())})

    @app.get("/api/choices/picture")
    async def picture(id: str) -> Response:
        file = choice.offered().get(id)
        if file is None or not (file.parent / PICTURE).is_file():
            raise HTTPException(404, "no such picture")
        return FileResponse(file.parent / PICTURE, media_type="image/png")

    @app.post("/api/open")
    async def open_one(body: Open) -> JSONResponse:
        if choice.stage is not None:
            raise HTTPException(409, "a stage has been chosen already")
        if body.name:
            stage = await asyncio.to_thread(choice.begin, body.name)
        elif (found := choice.offered().get(body.id)) is not None:
            stage = found
        else:
            raise HTTPException(404, "no such stage")
        choice.stage = stage
        # a page that was loaded anew has only its cookie, and needs the token for the twin, whose cookie is another
        return JSONResponse({"stage": str(stage), "token": choice.token})

    @app.get("/")
    async def page() -> Response:
        index = STATIC / "index.html"
        if not index.exists():
            return PlainTextResponse(NOT_BUILT, status_code=503)
        return FileResponse(index, headers={"Cache-Control": "no-cache"})

    if STATIC.exists():
        app.mount("/", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(Guard, access=choice, hosts=hosts, public=public, cookie=COOKIE)  # type: ignore[arg-type]
    return app


def choose(front: Front, samples: Path, projects: Path) -> tuple[Path, Any] | None:
    """Serve the page until a stage is chosen.

    Returns:
        The stage and the socket, still listening, for ``serve``; None where a signal ended it. The token of the page is from
        then on that of the twin, by ``TWIN_TOKEN``.

    Raises:
        InputError: The address or port cannot be used.
    """
    token = os.environ.get("TWIN_TOKEN", "").strip() or secrets.token_urlsafe(24)
    sock = bind(front.address, front.port)
    url = url_of(front, sock)
    app = create_welcome(choice := Choice(samples, projects, token), hosts=names_of(front), public=front.public_url.rstrip("/"))
    ready = {"event": "ready", "url": url, "open_url": f"{url}#token={token}", "token": token}
    server = Ready(server_config(app, front.tls_cert, front.tls_key), ready, lambda: None)

    @app.middleware("http")
    async def end_after_choice(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        if choice.stage is not None:
            # the answer is on its way; what comes next waits in the socket's queue for the twin
            asyncio.get_running_loop().call_later(0.05, setattr, server, "should_exit", True)
        return response

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    try:
        server.run(sockets=[sock.dup()])
    except Leave:
        choice.stage = None
    if choice.stage is None:
        sock.close()
        return None
    os.environ["TWIN_TOKEN"] = token
    print(f"opening {choice.stage} ...", file=sys.stderr, flush=True)
    return choice.stage, sock
