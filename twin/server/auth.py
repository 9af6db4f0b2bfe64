"""Who may talk to the server: token or cookie, Host and Origin. Pure ASGI, so that websockets pass through it too."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from twin.collab import Access, Identity

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
WILDCARD = frozenset({"0.0.0.0", "::"})
OIDC_LOGIN, OIDC_CALLBACK = "/api/oidc/login", "/api/oidc/callback"
OPEN_PATHS = frozenset(
    {"/", "/index.html", "/api/health", "/api/login", "/favicon.ico", "/favicon.svg", OIDC_LOGIN, OIDC_CALLBACK}
)
OPEN_PREFIX = "/assets/"
"""The page and what it is made of; everything else needs a token."""
MAX_BODY = 1 << 20
"""Largest body of a request [bytes]."""
UPLOADS = "/api/uploads"
MAX_UPLOAD = 128 << 20
"""Largest file that is taken in [bytes]."""

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "worker-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_API = "/api/"
_NOT_KEPT = (b"cache-control", b"no-store")
"""Of what is for whoever asked, unless it says otherwise: no cache of a browser or a proxy may hand it to somebody else."""
_ELSEWHERE = ("cross-site", "same-site")


class Guard:
    """ASGI middleware: refuses what is not for this server, and notes the Identity, or None, in ``scope["who"]``.

    Args:
        access: The tokens.
        hosts: Host names that the server answers to, beside loopback; the wildcard address stands for whichever address of this
            machine a connection came to. public: Origin of ``--public-url``, if any.
        cookie: Name of the cookie.
    """

    def __init__(self, app: Any, *, access: Access, hosts: frozenset[str], public: str, cookie: str) -> None:
        self._app, self._access = app, access
        self._hosts = hosts | LOOPBACK
        self._everywhere = not hosts.isdisjoint(WILDCARD)
        self._public, self._cookie = public, cookie

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        problem = self._problem(scope, headers)
        if problem is not None:
            await _refuse(scope, receive, send, *problem)
            return

        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = message.get("headers", [])
                # two policies would both hold: a page that brings a narrower one of its own (a report) has only that
                given = {name.lower() for name, _ in own}
                usual = [*_HEADERS, _NOT_KEPT] if scope["path"].startswith(_API) else _HEADERS
                message = message | {"headers": [*own, *(h for h in usual if h[0] not in given)]}
            await send(message)

        if scope["type"] == "http":
            await self._app(scope, _limited(receive, _largest(scope)), send_with_headers)
        else:
            await self._app(scope, receive, send)

    def _problem(self, scope: dict[str, Any], headers: dict[str, str]) -> tuple[int, str] | None:
        name = headers.get("host", "")
        hostname = _hostname(name)
        # a page that has its name point here (DNS rebinding) brings that name, never an address of ours
        address = (scope.get("server") or ("",))[0] if self._everywhere else ""
        if hostname not in self._hosts and not (address and hostname == address):
            return 421, "this server does not answer to that host name: give it --public-url, the address that people open"
        origin = headers.get("origin")
        if origin is not None and (not origin or origin not in (f"http://{name}", f"https://{name}", self._public)):
            return 403, "cross-origin requests are not allowed"
        # pictures and scripts that another page names come without an Origin, and from another port of this host with the cookie
        from_elsewhere = headers.get("sec-fetch-site") in _ELSEWHERE and headers.get("sec-fetch-mode") != "navigate"
        if from_elsewhere and scope["path"].startswith(_API):
            return 403, "cross-origin requests are not allowed"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > _largest(scope):
            return 413, f"too large: {_largest(scope) >> 20} MiB at most"
        scope["who"] = self._who(headers)
        path = scope["path"]
        if scope["type"] == "http" and (path in OPEN_PATHS or path.startswith(OPEN_PREFIX)):
            return None
        if scope["who"] is None:
            return 401, "a token is needed"
        return None

    def _who(self, headers: dict[str, str]) -> Identity | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and given:
            return self._access.identify(given.strip())
        # by hand: the standard parser stops at the first odd cookie, and other servers of this host name set cookies too
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            # another page of the host's domain may have set one of this name too
            if name == self._cookie and (who := self._access.identify(value)) is not None:
                return who
        return None


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _largest(scope: dict[str, Any]) -> int:
    return MAX_UPLOAD if scope["path"] == UPLOADS else MAX_BODY


def _limited(receive: Any, most: int) -> Any:
    """``receive`` that ends a body that is longer than it said."""
    taken = 0

    async def limited() -> Any:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return message if taken <= most else {"type": "http.disconnect"}

    return limited


async def _refuse(scope: dict[str, Any], receive: Any, send: Any, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        # a browser sees the code of a close only after the handshake
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4401 if status == 401 else 4403, "reason": reason})
        return
    body = f'{{"error": "{reason}"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_HEADERS, _NOT_KEPT]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
