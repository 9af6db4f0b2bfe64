"""A client of a broker for as long as it is needed; shared by what speaks through MQTT."""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from twin.connectors.base import Fatal, Retryable
from twin.connectors.drivers.mqtt.config import MqttLogin

T = TypeVar("T")

_FATAL_CODES = {1, 2, 4, 5, 132, 133, 134, 135}
"""Connection answers that a person has to resolve: protocol, client id, login."""

# The library repeats in its log what it raises, and knows the login.
logging.getLogger("aiomqtt").setLevel(logging.CRITICAL)
_quiet = logging.getLogger("twin.mqtt.client")
_quiet.setLevel(logging.CRITICAL)


class _HandOver(asyncio.Queue[aiomqtt.Message]):
    """Stands where the library queues, and hands each message over at once.

    The library forgets what is still queued when the connection ends, although it has acknowledged it. Nothing is ever
    queued here, and a slow taker slows the socket down instead of filling memory. What the taker raises ends the attempt.
    """

    def __init__(self, take: Callable[[aiomqtt.Message], None], failed: asyncio.Future[None]) -> None:
        super().__init__()
        self._take, self._failed = take, failed

    def put_nowait(self, item: aiomqtt.Message) -> None:
        try:
            self._take(item)
        except Exception as error:  # noqa: BLE001  (inside the client's callback; it is raised again in run())
            if not self._failed.done():
                self._failed.set_exception(error)


def open_session(
    address: str,
    options: MqttLogin,
    *,
    schemes: tuple[str, str] = ("mqtt", "mqtts"),
    session: bool = False,
    will: aiomqtt.Will | None = None,
    queue_type: Any = None,
    folder: Path | None = None,
) -> Session:
    """A session to be entered. ``schemes``: without and with TLS; ``session``: the broker keeps messages while away;
    ``folder``: from where certificate files are named.

    Raises:
        Fatal: The address or the options cannot work.
    """
    try:
        url = urlsplit(address)
        host, port = url.hostname, url.port
    except ValueError:
        host = port = url = None
    if url is None or url.scheme not in schemes or not host:
        allowed = [f"{scheme}://HOST:PORT" for scheme in schemes]
        raise Fatal("the address is not understood", attribute="address", allowed=allowed)
    secure = url.scheme == schemes[1]
    try:
        client = aiomqtt.Client(
            host,
            port or (8883 if secure else 1883),
            username=options.username or (unquote(url.username) if url.username else None),
            password=options.password or (unquote(url.password) if url.password else None),
            identifier=options.client_id,
            keepalive=options.keepalive,
            timeout=10.0,
            tls_context=_tls(options, folder) if secure else None,
            will=will,
            logger=_quiet,
            queue_type=queue_type,
            **_kept(session) if options.protocol == "5" else {"clean_session": not session},
        )
    except (OSError, ValueError) as error:  # certificate files; ssl's errors are among them
        raise Fatal(f"the client cannot be set up: {error}") from error
    return Session(client)


def _tls(options: MqttLogin, folder: Path | None) -> ssl.SSLContext:
    """Made here and not by the library, which would read the files only when it connects."""
    here = folder or Path()
    context = ssl.create_default_context(cafile=None if options.ca_file is None else str(here / options.ca_file))
    if options.cert_file is not None:
        key = None if options.key_file is None else str(here / options.key_file)
        context.load_cert_chain(str(here / options.cert_file), key)
    return context


def _kept(session: bool) -> dict[str, Any]:
    """What MQTT 5 calls a clean session, and one that the broker keeps for ever."""
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 0xFFFFFFFF if session else 0
    return {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": not session, "properties": properties}


class Receiving:
    """Hands each message to ``take`` at once; what that raises ends the attempt.

    Use ``queue_type`` for the session, then wait in until_over().
    """

    def __init__(self, take: Callable[[aiomqtt.Message], None]) -> None:
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        hand_over = functools.partial(_HandOver, take, self._failed)
        self.queue_type = lambda maxsize: hand_over()

    async def until_over(self, client: aiomqtt.Client) -> None:
        """Returns or raises when the connection is over."""
        lost = asyncio.create_task(_until_lost(client))
        try:
            await asyncio.wait({lost, self._failed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            self._failed.cancel()
        for ended in (self._failed, lost):
            if ended.done() and not ended.cancelled():
                ended.result()


async def answered(client: aiomqtt.Client, asked: Coroutine[Any, Any, T]) -> T:
    """What the broker answers to ``asked``, for clients that hand messages over (``Receiving``).

    The library does not notice that the connection is lost while it waits for an answer, and waits its whole timeout.

    Raises:
        aiomqtt.MqttError: There is no answer, or the connection is lost.
    """
    answer, lost = asyncio.create_task(asked), asyncio.create_task(_until_lost(client))
    try:
        await asyncio.wait({answer, lost}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise aiomqtt.MqttError("the connection was lost") from lost.exception()
        return answer.result()
    finally:
        for task in (answer, lost):
            task.cancel()
        await asyncio.gather(answer, lost, return_exceptions=True)


class Session:
    """A client for as long as it is needed; its errors become ours."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def __aenter__(self) -> aiomqtt.Client:
        try:
            return await self._client.__aenter__()
        except aiomqtt.MqttError as error:
            raise _ours(error) from error

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            await self._client.__aexit__(kind, error, trace)
        except aiomqtt.MqttError as closing:
            if error is None:
                raise _ours(closing) from closing
        else:
            if error is not None:
                # Why the connection ended lies in a future of the library, unread where the caller waited for something else:
                # asyncio would complain of it. The caller's own error is raised.
                with suppress(aiomqtt.MqttError):
                    await _until_lost(self._client)
        if isinstance(error, aiomqtt.MqttError):
            raise _ours(error) from error


def _ours(error: aiomqtt.MqttError) -> Retryable | Fatal:
    if isinstance(error, MqttConnectError):
        text = f"the broker refuses: {error.rc}"
        return Fatal(text) if code_of(error.rc) in _FATAL_CODES else Retryable(text)
    return Retryable(str(error) or "the connection to the broker was lost")


def code_of(answer: Any) -> int:
    """The number of an answer, which the library gives as a number or as an object."""
    return int(getattr(answer, "value", answer))


async def _until_lost(client: aiomqtt.Client) -> None:
    async for _ in client.messages:  # nothing is ever queued: this waits for the end of the connection, which raises
        pass


def bytes_of(payload: object) -> bytes:
    return bytes(payload) if isinstance(payload, (bytes, bytearray)) else str(payload or "").encode()
