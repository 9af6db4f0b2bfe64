"""Coming in, inviting others, and taking access back."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from twin.collab import ROLES, Identity
from twin.collab.access import MAX_NAME, SIGN_IN
from twin.collab.users import MAX_PASSWORD, matches
from twin.core.clock import now_ns
from twin.core.errors import InputError
from twin.server.context import Context, json_body, named, need, twin
from twin.server.limits import address_of

router = APIRouter()
COOKIE_SECONDS = 30 * 24 * 3600
MAX_EXPIRY_S = 10 * 365 * 24 * 3600


class Login(BaseModel):
    """Body of ``POST /api/login``: a token, or the name and password of a user."""

    token: str = Field(default="", max_length=512)
    user: str = Field(default="", max_length=MAX_NAME)
    password: str = Field(default="", max_length=MAX_PASSWORD)


class NewUser(BaseModel):
    """Body of ``PUT /api/users/{name}``; an empty password leaves the one there is."""

    role: str
    password: str = Field(default="", max_length=MAX_PASSWORD)


class NewPassword(BaseModel):
    """Body of ``POST /api/password``: one's own."""

    old: str = Field(max_length=MAX_PASSWORD)
    new: str = Field(max_length=MAX_PASSWORD)


class Share(BaseModel):
    """Body of ``POST /api/share``: ``user`` is the name that its holder will have; empty: they choose it."""

    role: str
    label: str = Field(default="", max_length=80)
    user: str = Field(default="", max_length=40)
    expires_s: float = Field(default=0.0, ge=0.0, le=MAX_EXPIRY_S, allow_inf_nan=False)


@router.post("/api/login", status_code=204)
async def login(body: Login, request: Request) -> Response:
    """A token, or name and password, against a cookie."""
    context = twin(request)
    address = address_of(request)
    token, who = await (_with_password(body, context, address) if body.user else _with_token(body, context, address))
    response = Response(status_code=204)
    set_cookie(response, request, token, who)
    return response


async def _with_token(body: Login, context: Context, address: str) -> tuple[str, Identity]:
    who = context.host.access.identify(body.token)
    if who is None:
        if not context.tries.begin(address):
            raise HTTPException(429, "too many tokens that are not known; wait a little")
        await asyncio.sleep(0.2)
        raise HTTPException(401, "the token is not known, or has ended")
    return body.token, who


async def _with_password(body: Login, context: Context, address: str) -> tuple[str, Identity]:
    users = context.host.users
    if not await _fits(context, address, body.user, body.password, kept := await context.owner(lambda: users.stored(body.user))):
        if kept:
            await context.owner(lambda: context.host.access.audit(body.user, "sign-in", f"wrong password, from {address}"))
        raise HTTPException(401, "name and password do not fit")
    return await context.owner(lambda: users.sign_in(body.user, kept))


async def _fits(context: Context, address: str, user: str, password: str, kept: str) -> bool:
    """Whether a password is the one that is kept.

    Raises:
        HTTPException: 429, too many were wrong.
    """
    # before the hash, which is made to be slow
    if not context.tries.begin(address, user):
        raise HTTPException(429, "too many wrong passwords; wait a little, then try again")
    if not await asyncio.to_thread(matches, password, kept):
        return False
    context.tries.succeeded(address, user)
    return True


async def _kept_password(context: Context, who: Identity) -> str:
    """What is kept of somebody's password; empty of who came in otherwise, by a link, a token or a provider."""
    return await context.owner(lambda: context.host.users.stored(who.user)) if who.label == SIGN_IN else ""


def set_cookie(response: Response, request: Request, token: str, who: Identity) -> None:
    """The cookie that lets a browser in; no longer than the token is good."""
    context = twin(request)
    left = (who.expires_ns - now_ns()) // 1_000_000_000 if who.expires_ns else COOKIE_SECONDS
    response.set_cookie(
        context.cookie,
        token,
        max_age=min(left, COOKIE_SECONDS),
        httponly=True,
        samesite="strict",
        secure=context.secure(request),
    )


@router.post("/api/password", status_code=204)
async def password(body: NewPassword, request: Request) -> Response:
    """Another password for oneself; ends all that one is signed in with, this included."""
    who = need(request, "view")
    context = twin(request)
    users = context.host.users
    kept = await _kept_password(context, who)
    if not kept:
        raise HTTPException(409, "you did not sign in with a password")
    if not await _fits(context, address_of(request), who.user, body.old, kept):
        raise HTTPException(403, "the old password is another one")
    await context.owner(lambda: users.put(who.user, who.role, body.new, author=who.user))
    context.hub.check(context.host.access)
    return Response(status_code=204)


@router.get("/api/users")
async def users(request: Request) -> JSONResponse:
    """Everybody who can sign in with a password."""
    need(request, "share")
    context = twin(request)
    return JSONResponse(json_body([asdict(user) for user in await context.owner(context.host.users.all)]))


@router.put("/api/users/{name}")
async def put_user(name: str, body: NewUser, request: Request) -> JSONResponse:
    """A new user, or another role or password for one, who then has to sign in again."""
    who = need(request, "share")
    context = twin(request)
    if body.role not in ROLES:
        raise HTTPException(422, f"no role {body.role!r} (allowed: {', '.join(ROLES)})")
    try:
        user = await context.owner(lambda: context.host.users.put(name, body.role, body.password, author=named(who)))
    except InputError as error:
        raise HTTPException(422, str(error)) from error
    context.hub.check(context.host.access)
    return JSONResponse(json_body(asdict(user)))


@router.delete("/api/users/{name}", status_code=204)
async def delete_user(name: str, request: Request) -> Response:
    """The user is no more, and put out."""
    who = need(request, "share")
    context = twin(request)
    await context.owner(lambda: context.host.users.delete(name, author=named(who)))
    context.hub.check(context.host.access)
    return Response(status_code=204)


@router.post("/api/logout", status_code=204)
async def logout(request: Request) -> Response:
    """Forget the cookie; what signing in has given is good no more, on whatever else it was kept."""
    context, who = twin(request), need(request, "view")
    if who.label == SIGN_IN:
        await context.owner(lambda: context.host.access.revoke(who.key, author=named(who)))
        context.hub.revoke(who.key)
    response = Response(status_code=204)
    response.delete_cookie(context.cookie, httponly=True, samesite="strict")
    return response


@router.get("/api/me")
async def me(request: Request) -> JSONResponse:
    """Who the server takes one for; ``password``: one signed in with one, which can be changed."""
    who = need(request, "view")
    password = bool(await _kept_password(twin(request), who))
    body = {"role": who.role, "user": who.user, "label": who.label, "expires_ns": who.expires_ns, "password": password}
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
    answer = {"url": f"{context.origin(request)}/#token={token}", "role": body.role, "id": identity.key, "expires_ns": until}
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
