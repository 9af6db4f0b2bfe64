"""Run the server: one socket, one ready line, an orderly end."""

from __future__ import annotations

import errno
import gc
import json
import signal
import socket
import sqlite3
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI

from twin.collab.journal import unreadable
from twin.core.errors import InputError
from twin.server.app import create_app
from twin.server.auth import LOOPBACK, WILDCARD
from twin.server.direct import DirectWebSocket
from twin.server.garbage import Garbage
from twin.server.gateways import Gateways, upstream_socket
from twin.server.host import Host
from twin.server.oidc import Provider
from twin.server.settings import Settings

MAX_MESSAGE = 8 << 20
PING_TIMEOUT_S = 60.0
"""A peer that is there may answer late: what it sent before, edits that wait for a slow disk, is read first."""


def bind(address: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket; ``shared``: others of this process may be bound to the same address.

    Raises:
        InputError: The address is not this machine's, or the port is in use.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # named, or asyncio takes it for something else and leaves small answers waiting for the peer's delayed ACK (40 ms each)
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        about = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
        raise InputError(f"cannot listen on {address} port {port}: {error.strerror}", attribute=about) from error
    sock.listen(128)
    sock.set_inheritable(False)
    return sock


def server_config(app: FastAPI, tls_cert: Path | None = None, tls_key: Path | None = None) -> uvicorn.Config:
    """How the application is served; over TLS where a certificate and its key are given."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws=DirectWebSocket,
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
        ws_ping_timeout=PING_TIMEOUT_S,
        timeout_graceful_shutdown=3,
        server_header=False,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
    )


class Ready(uvicorn.Server):
    """Prints its ready line, if it has one, when connections are accepted, and calls ``each_second`` from then on."""

    def __init__(self, config: uvicorn.Config, ready: dict[str, Any] | None, each_second: Callable[[], None]) -> None:
        super().__init__(config)
        self._line, self._each_second = ready, each_second

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._line is not None:
            print(json.dumps(self._line), flush=True)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self._each_second()
        return await super().on_tick(counter)


class Leave(BaseException):
    """A signal asked the server to stop."""


def leave(number: int, frame: object) -> None:
    """Before uvicorn listens to signals, and when it passes on the one that ended it: stop in order, exit 0."""
    raise Leave


@dataclass(frozen=True)
class Front:
    """Where and how people reach the server."""

    address: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    provider: Provider | None = None
    gateways: int = 0
    """Processes that hold viewers' connections; 0: the server does."""


def check_tls(cert: Path, key: Path) -> None:
    """Whether a certificate and a key can be used, before anything is started.

    Raises:
        InputError: One of them is missing, unreadable, or they do not belong together.
    """
    for file, name in ((cert, "--tls-cert"), (key, "--tls-key")):
        if not file.is_file():
            raise InputError("no such file", file=file, attribute=name)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise InputError(f"cannot be used with {key}: {error}", file=cert, attribute="--tls-cert") from error


def url_of(front: Front, sock: socket.socket) -> str:
    """Address that people open."""
    shown = f"[{front.address}]" if ":" in front.address else front.address
    scheme = "https" if front.tls_cert else "http"
    return front.public_url.rstrip("/") or f"{scheme}://{shown}:{sock.getsockname()[1]}"


def names_of(front: Front) -> frozenset[str]:
    """Host names that the server answers to."""
    names = {front.address, urlsplit(front.public_url).hostname or front.address}
    return frozenset(names | ({_machine()} if front.address in WILDCARD else set()))


def _machine() -> str:
    return socket.gethostname().lower()


def said_of(front: Front, url: str) -> list[str]:
    """What whoever opens the server to others should know."""
    if front.address in LOOPBACK or front.public_url:
        return []
    said = []
    if front.address in WILDCARD:
        others = urlsplit(url)
        here = f"{others.scheme}://{_machine()}:{others.port}"
        said.append(f"others open {here} or an address of this machine; any other name needs --public-url")
    if front.tls_cert is None:
        said.append("passwords cross the network in the clear: give --tls-cert and --tls-key, or let a proxy do TLS")
    return said


def serve(settings: Settings, front: Front, sock: socket.socket | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        sock: A listening socket whose address has been announced already (``welcome.choose``); else one is made and announced.

    Raises:
        InputError: The port, the stage, the project or a mapping cannot be used.
    """
    sys.setswitchinterval(0.0001)  # the event loop must not wait for Python in the owner thread
    gc.disable()
    garbage = Garbage()
    announced = sock is not None
    sock = sock or bind(front.address, front.port)
    gateways: Gateways | None = None
    host: Host | None = None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    try:
        try:
            host = Host(settings, lambda text: print(f"{text} ...", file=sys.stderr, flush=True))
        except sqlite3.DatabaseError as error:  # of a part that was not read before
            raise unreadable(settings.project, error) from error
        host.start()
        garbage.begin()
        url, tap = url_of(front, sock), None
        if front.gateways:
            # the port was free; from now on others of this user could share it
            port = sock.getsockname()[1]
            sock.close()
            gateways = Gateways([bind(front.address, port, shared=True) for _ in range(front.gateways)])
            sock, tap = upstream_socket(gateways.upstream), gateways.publish
            gateways.start()
        app = create_app(host, hosts=names_of(front), public=front.public_url.rstrip("/"), provider=front.provider, tap=tap)
        for line in said_of(front, url):
            print(line, file=sys.stderr, flush=True)
        ready = {"event": "ready", "url": url, "open_url": f"{url}#token={host.token}", "token": host.token}
        hub = app.state.context.hub
        config = server_config(app, front.tls_cert, front.tls_key)
        Ready(config, None if announced else ready, lambda: garbage.look(alone=not hub.clients)).run(sockets=[sock])
    except Leave:
        pass
    finally:
        garbage.end()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # nothing may interrupt what follows
        if gateways is not None:
            gateways.stop()
        if host is not None:
            host.stop()
        sock.close()
