"""Coming in, inviting others, and taking access back."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from twin.collab import ROLES
from twin.core.clock import now_ns
from twin.server.context import json_body, named, need, twin

router = APIRouter()
COOKIE_SECONDS = 30 * 24 * 3600
MAX_EXPIRY_S = 10 * 365 * 24 * 3600


class Login(BaseModel):
    """Body of ``POST /api/login``."""

    token: str = Field(max_length=512)


class Share(BaseModel):
    """Body of ``POST /api/share``: ``user`` is the name that its holder will have; empty: they choose it."""

    role: str
    label: str = Field(default="", max_length=80)
    user: str = Field(default="", max_length=40)
    expires_s: float = Field(default=0.0, ge=0.0, le=MAX_EXPIRY_S, allow_inf_nan=False)


@router.post("/api/login", status_code=204)
async def login(body: Login, request: Request) -> Response:
    """A token against a cookie."""
    context = twin(request)
    who = context.host.access.identify(body.token)
    if who is None:
        if not context.attempts.take():
            raise HTTPException(429, "too many tokens that are not known; wait a little")
        await asyncio.sleep(0.2)
        raise HTTPException(401, "the token is not known, or has ended")
    left = (who.expires_ns - now_ns()) // 1_000_000_000 if who.expires_ns else COOKIE_SECONDS
    response = Response(status_code=204)
    secure = request.url.scheme == "https" or context.public.startswith("https:")
    response.set_cookie(
        context.cookie, body.token, max_age=min(left, COOKIE_SECONDS), httponly=True, samesite="strict", secure=secure
    )
    return response


@router.post("/api/logout", status_code=204)
async def logout(request: Request) -> Response:
    """Forget the cookie."""
    response = Response(status_code=204)
    response.delete_cookie(twin(request).cookie, httponly=True, samesite="strict")
    return response


@router.get("/api/me")
async def me(request: Request) -> JSONResponse:
    """Who the server takes one for."""
    who = need(request, "view")
    body = {"role": who.role, "user": who.user, "label": who.label, "expires_ns": who.expires_ns}
    return JSONResponse(json_body(body))


@router.post("/api/share")
async def share(body: Share, request: Request) -> JSONResponse:
    """An invitation: a link that lets its holder in with a role."""
    who = need(request, "share")
    context = twin(request)
    if body.role not in ROLES:
        raise HTTPException(422, f"no role {body.role!r} (allowed: {', '.join(ROLES)})")
    until = now_ns() + int(body.expires_s * 1e9) if body.expires_s else 0
    token, identity = await context.owner(
        lambda: context.host.access.grant(body.role, author=named(who), user=body.user, label=body.label, expires_ns=until)
    )
    base = context.public or f"{request.url.scheme}://{request.headers['host']}"
    answer = {"url": f"{base}/#token={token}", "role": body.role, "id": identity.key, "expires_ns": until}
    return JSONResponse(json_body(answer), status_code=201)


@router.get("/api/access")
async def tokens(request: Request) -> JSONResponse:
    """All invitations, and how many connections each has now."""
    need(request, "share")
    context = twin(request)
    listed = await context.owner(context.host.access.all)
    rows = []
    for identity in listed:
        online = sum(client.who.key == identity.key for client in context.hub.clients)
        rows.append(asdict(identity) | {"id": identity.key, "online": online, "good": identity.good})
    return JSONResponse(json_body(rows))


@router.delete("/api/access/{key}", status_code=204)
async def revoke(key: str, request: Request) -> Response:
    """Take an invitation back; whoever came in by it is put out."""
    who = need(request, "share")
    context = twin(request)
    identity = await context.owner(lambda: context.host.access.revoke(key, author=named(who)))
    context.hub.revoke(identity.key)
    return Response(status_code=204)


@router.get("/api/audit")
async def audit(request: Request, limit: int = 500) -> JSONResponse:
    """What was done about access, versions and proposals, newest first."""
    need(request, "share")
    context = twin(request)
    limit = max(1, min(limit, 10_000))
    return JSONResponse(json_body(await context.owner(lambda: context.host.access.audit_log(limit))))
