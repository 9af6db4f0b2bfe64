"""Signing in with an OpenID Connect provider: authorization code flow with PKCE (RFC 7636), ID token checked here.

Needs the extra ``twin[oidc]``. Roles come from a claim of the ID token; who has none of the roles is not let in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import os
import re
import secrets
import time
import tomllib
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from twin.collab import ROLES, Identity
from twin.collab.access import MAX_NAME
from twin.core import log
from twin.core.errors import InputError
from twin.server.auth import LOOPBACK, OIDC_CALLBACK, OIDC_LOGIN
from twin.server.context import twin
from twin.server.limits import Buckets, address_of
from twin.server.routes.access import set_cookie

SECRET = "TWIN_OIDC_CLIENT_SECRET"
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures that are taken; nothing symmetric, and never none."""
TIMEOUT_S = 10.0
KEPT_S = 600.0
"""Longest time between the two halves of signing in [s]."""
MAX_WAITING = 1000
LEEWAY_S = 60.0
"""By how much the provider's clock may be off [s]."""


@dataclass(frozen=True)
class Provider:
    """A provider, as its file says.

    Attributes:
        roles: Value of the claim -> role; the highest that fits counts. default: Role of those with none; empty: not let in.
        role_claim: Claim that holds a text or a list of texts. name_claims: The first that is there is the name.
    """

    issuer: str
    client_id: str
    secret: str = ""
    roles: dict[str, str] = field(default_factory=dict)
    default: str = ""
    role_claim: str = "groups"
    name_claims: tuple[str, ...] = ("preferred_username", "email", "sub")
    scope: str = "openid profile email"


def load_provider(file: Path) -> Provider:
    """Read a provider's file; the client's secret comes from ``TWIN_OIDC_CLIENT_SECRET``.

    Raises:
        InputError: Not a file, not TOML, unknown or missing keys, or an issuer without encryption.
    """
    try:
        data = tomllib.loads(file.read_text())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=file, attribute="--oidc") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not TOML: {error}", file=file, attribute="--oidc") from error
    known: dict[str, type] = {"issuer": str, "client_id": str, "roles": dict, "default": str, "role_claim": str, "scope": str}
    for key, value in data.items():
        if key not in known:
            raise InputError("no such key", file=file, attribute=key, allowed=known)
        if not isinstance(value, known[key]):
            raise InputError(f"must be a {known[key].__name__}", file=file, attribute=key)
    for key in ("issuer", "client_id"):
        if not data.get(key):
            raise InputError("is missing", file=file, attribute=key)
    for role in (*data.get("roles", {}).values(), *filter(None, [data.get("default", "")])):
        if role not in ROLES:
            raise InputError(f"no role {role!r}", file=file, attribute="roles", allowed=ROLES)
    if not _safe(data["issuer"]):
        raise InputError("must begin with https://", file=file, attribute="issuer")
    try:
        import httpx  # noqa: F401
        import jwt  # noqa: F401
    except ImportError as error:
        raise InputError("signing in with OpenID Connect needs: pip install 'twin[oidc]'", attribute="--oidc") from error
    return Provider(secret=os.environ.get(SECRET, ""), **data)


def _safe(url: object) -> bool:
    parts = urlsplit(str(url))
    return parts.scheme == "https" or (parts.scheme == "http" and (parts.hostname or "") in LOOPBACK)


@dataclass(frozen=True)
class _Begun:
    nonce: str
    verifier: str
    redirect: str
    until: float


class SignIn:
    """The two halves of signing in. Runs on the event loop."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._begun: OrderedDict[str, _Begun] = OrderedDict()

    async def begin(self, redirect: str, *, another: bool = False) -> tuple[str, str]:
        """Where to send the browser, and the state that it must come back with.

        Args:
            another: The provider is to ask which account, also where it knows one.

        Raises:
            HTTPException: 502, the provider does not answer as it should.
        """
        endpoint = (await self._discovered())["authorization_endpoint"]
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._begun[state] = _Begun(nonce, verifier, redirect, time.monotonic() + KEPT_S)
        while len(self._begun) > MAX_WAITING:
            self._begun.popitem(last=False)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._provider.client_id,
            "redirect_uri": redirect,
            "scope": self._provider.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        } | ({"prompt": "select_account"} if another else {})
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}", state

    async def finish(self, code: str, state: str) -> tuple[str, str]:
        """Name and role of whoever came back.

        Raises:
            HTTPException: 400 for what was not begun here or too long ago, 403 for who has no role, 502 for what the
                provider says that cannot be believed.
        """
        begun = self._begun.pop(state, None)
        if begun is None or begun.until < time.monotonic():
            raise HTTPException(400, "signing in was not begun here, or too long ago: try again")
        known = await self._discovered()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": begun.redirect, "code_verifier": begun.verifier}
        auth = (self._provider.client_id, self._provider.secret) if self._provider.secret else None
        if auth is None:
            form["client_id"] = self._provider.client_id
        answer = await self._fetch("POST", known["token_endpoint"], data=form, auth=auth)
        claims = self._believed(str(answer.get("id_token", "")), await self._fetch("GET", known["jwks_uri"]), begun.nonce)
        name = self._name(claims)
        return name, self._role(claims, name)

    async def _discovered(self) -> dict[str, Any]:
        issuer = self._provider.issuer
        known = await self._fetch("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if known.get("issuer") != issuer:
            raise HTTPException(502, f"the provider calls itself {known.get('issuer')!r}, not {issuer!r}")
        for key in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not _safe(known.get(key)):
                raise HTTPException(502, f"the provider names no encrypted {key}")
        return known

    async def _fetch(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        import httpx

        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=_safe_proxy(url)) as client:
                answer = await client.request(method, url, **options)
                body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            why = f"the provider at {self._provider.issuer} does not answer: {type(error).__name__}"
            raise HTTPException(502, why) from error
        if answer.status_code != 200 or not isinstance(body, dict):
            said = body.get("error", body) if isinstance(body, dict) else body
            if said in ("invalid_client", "unauthorized_client"):
                why = f"the provider does not know this twin ({said}): client_id or {SECRET} is not what it has"
                raise HTTPException(502, why)
            raise HTTPException(502, f"the provider refuses: {str(said)[:200]}")
        return body

    def _believed(self, token: str, keys: dict[str, Any], nonce: str) -> dict[str, Any]:
        """Claims of an ID token, if it is this provider's, for this client, for this attempt, and in time."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            fitting = [k for k in jwt.PyJWKSet.from_dict(keys).keys if header.get("kid") in (None, k.key_id)]
            if len(fitting) != 1:
                raise HTTPException(502, "the provider's key is not known")
            claims: dict[str, Any] = jwt.decode(
                token,
                fitting[0].key,
                algorithms=ALGORITHMS,
                audience=self._provider.client_id,
                issuer=self._provider.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise HTTPException(502, f"the provider's token cannot be believed: {error}") from error
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise HTTPException(502, "the provider's token is for another attempt")
        if claims.get("azp", self._provider.client_id) != self._provider.client_id:
            raise HTTPException(502, "the provider's token is for another client")
        return claims

    def _name(self, claims: dict[str, Any]) -> str:
        names = [str(claims[name]) for name in self._provider.name_claims if claims.get(name)]
        return "".join(c for c in names[0] if c.isprintable()).strip()[:MAX_NAME] or "somebody"

    def _role(self, claims: dict[str, Any], name: str) -> str:
        value = claims.get(self._provider.role_claim, [])
        texts = value if isinstance(value, list) else [value]
        fitting = [self._provider.roles[t] for t in texts if isinstance(t, str) and t in self._provider.roles]
        role = max([*fitting, *filter(None, [self._provider.default])], key=ROLES.index, default="")
        if not role:
            raise HTTPException(403, f"you are known as {name}, but have no role here: ask whoever looks after this twin")
        return role


def _safe_proxy(url: str) -> bool:
    """Whether proxies of the environment may be used: not towards this machine."""
    return (urlsplit(url).hostname or "") not in LOOPBACK


def oidc_router(provider: Provider | None) -> APIRouter:
    """``/api/oidc``; without a provider it answers 404."""
    router = APIRouter()
    sign_in = SignIn(provider) if provider is not None else None
    attempts = Buckets(rate=5.0, size=50.0)

    def ready(request: Request) -> SignIn:
        if sign_in is None:
            raise HTTPException(404, "no OpenID Connect provider has been set up")
        if not attempts.of(address_of(request)).take():
            raise HTTPException(429, "too many sign-ins from where you are; wait a little")
        return sign_in

    @router.get(OIDC_LOGIN)
    async def login(request: Request, another: bool = False) -> Response:
        """To the provider. ``another``: one wants to choose the account."""
        context = twin(request)
        try:
            url, state = await ready(request).begin(context.origin(request) + OIDC_CALLBACK, another=another)
        except HTTPException as failure:
            return _told(request, failure)
        response = RedirectResponse(url, 303, {"Cache-Control": "no-store"})
        # lax: it must come along when the provider sends the browser back
        response.set_cookie(
            f"{context.cookie}_state", state, max_age=int(KEPT_S), path="/api/oidc", httponly=True, samesite="lax",
            secure=context.secure(request),
        )  # fmt: skip
        return response

    @router.get(OIDC_CALLBACK)
    async def callback(request: Request, state: str = "", code: str = "", error: str = "") -> Response:
        """Back from the provider: in, or told why not."""
        try:
            return await entered(request, state, code, error)
        except HTTPException as failure:
            return _told(request, failure)

    async def entered(request: Request, state: str, code: str, error: str) -> Response:
        flow, context = ready(request), twin(request)
        kept = request.cookies.get(f"{context.cookie}_state", "")
        here = bool(state) and hmac.compare_digest(kept.encode(), state.encode())
        if error or (here and not code):
            # a word of the protocol, and never a text that a link may bring here
            word = error if re.fullmatch("[a-z_]{1,40}", error) else "no reason is given"
            raise HTTPException(403 if here else 400, f"the provider did not let you in: {word}")
        if not here:
            raise HTTPException(400, "signing in was begun in another browser: try again")
        name, role = await flow.finish(code, state)
        token, who = await context.owner(lambda: _entered(context.host.users, name, role))
        response = RedirectResponse("/", 303, {"Cache-Control": "no-store"})
        response.delete_cookie(f"{context.cookie}_state", path="/api/oidc", httponly=True, samesite="lax")
        set_cookie(response, request, token, who)
        return response

    return router


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Twin: not signed in</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;background:#0f151c;color:#dce4ec;display:grid;place-items:center;min-height:90vh}}
main{{max-width:34rem;padding:2rem}}h1{{font-size:1.3rem}}a{{color:#2dd4bf;margin-right:1.5rem}}</style></head>
<body><main><h1>You are not signed in</h1><p role="alert">{why}</p>
<p><a href="{login}?another=true">Try again, also with another account</a> <a href="/">Other ways to come in</a></p>
</main></body></html>
"""


def _told(request: Request, failure: HTTPException) -> Response:
    """Why nobody came in, as a page where a browser has been sent here; whoever looks after the twin finds it in the log."""
    why = str(failure.detail)
    if failure.status_code != 404:
        log.get("sign-in").warning("nobody signed in by OpenID Connect", status=failure.status_code, reason=why)
    if "text/html" not in request.headers.get("accept", ""):
        raise failure
    sentence = html.escape(why[:1].upper() + why[1:])
    return HTMLResponse(_PAGE.format(why=f"{sentence}.", login=OIDC_LOGIN), failure.status_code, {"Cache-Control": "no-store"})


def _entered(users: Any, name: str, role: str) -> tuple[str, Identity]:
    entered: tuple[str, Identity] = users.enter(name, role, author="OpenID Connect")
    return entered
