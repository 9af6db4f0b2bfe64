"""One websocket: hello, then edits, control and presence in, state out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from fastapi import WebSocket, WebSocketDisconnect

from twin.collab import may
from twin.core import log
from twin.core.errors import InputError, Rejected, WorkError
from twin.protocol.messages import (
    PROTOCOL_VERSION,
    Control,
    Edit,
    Hello,
    Presence,
    Preview,
    Redo,
    Refused,
    Undo,
    decode_client,
    encode,
)
from twin.protocol.messages import History as UndoState
from twin.server.host import Host
from twin.server.hub import Client, Hub

HELLO_TIMEOUT_S = 10.0
CLOSE_PROTOCOL = 4409
CLOSE_BAD_MESSAGE = 4400
EDITS_PER_S = 60.0
EDIT_BURST = 400.0
"""Transactions of one client: a token bucket."""

_log = log.get("websocket")


class Bucket:
    """Lets ``rate`` things a second through, and a burst of ``size``."""

    def __init__(self, rate: float, size: float) -> None:
        self._rate, self._size, self._level, self._at = rate, size, size, time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True


async def serve_client(socket: WebSocket, host: Host, hub: Hub) -> None:
    """From the handshake to the end of the connection."""
    await socket.accept()
    client = Client(socket.scope["role"])
    try:
        hello = decode_client(await asyncio.wait_for(socket.receive_bytes(), HELLO_TIMEOUT_S))
    except (TimeoutError, msgspec.DecodeError, KeyError):
        await socket.close(CLOSE_BAD_MESSAGE, "the first message must be a hello")
        return
    except WebSocketDisconnect:
        return
    if not isinstance(hello, Hello):
        await socket.close(CLOSE_BAD_MESSAGE, "the first message must be a hello")
        return
    if hello.protocol != PROTOCOL_VERSION:
        await socket.close(CLOSE_PROTOCOL, f"this server speaks protocol {PROTOCOL_VERSION}: reload the page")
        return
    hub.clients.add(client)
    try:
        await _enter(client, hello, host, hub)
    except Rejected as error:
        hub.leave(client)
        await socket.close(1013, error.message)
        return
    sender = asyncio.create_task(_send(socket, client, hub))
    receiver = asyncio.create_task(_receive(socket, client, host, hub))
    done, pending = await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    hub.leave(client)
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        failure = task.exception()
        if failure is not None and not isinstance(failure, WebSocketDisconnect):
            raise failure


async def _enter(client: Client, hello: Hello, host: Host, hub: Hub) -> None:
    # a session that is connected already stays with its tab; a duplicate gets one of its own
    session = "" if hub.connected(hello.session) else hello.session
    loop = asyncio.get_running_loop()

    def enter() -> None:
        join = host.join(session, hello.name, client.role, hello.epoch, hello.last_seq)
        welcome = join.welcome
        client.session = welcome.session
        client.presence = Presence(session=welcome.session, name=welcome.name, color=welcome.color, role=welcome.role)
        # in the same order as the events that follow from this thread
        loop.call_soon_threadsafe(hub.activate, client, [welcome, *join.messages])

    await asyncio.wrap_future(host.on_owner(enter))


async def _send(socket: WebSocket, client: Client, hub: Hub) -> None:
    while True:
        for data in await client.next():
            await socket.send_bytes(data)
        if client.close_code:
            await socket.close(client.close_code, "too slow to follow; connect again")
            return
        if client.frame_due:
            client.frame_due = False
            frame = hub.frames.encode(client.since)
            if frame is not None:
                client.since = hub.frames.tick
                await socket.send_bytes(frame)


async def _receive(socket: WebSocket, client: Client, host: Host, hub: Hub) -> None:
    bucket = Bucket(EDITS_PER_S, EDIT_BURST)
    while True:
        data = await socket.receive_bytes()
        try:
            message = decode_client(data)
        except msgspec.DecodeError as error:
            client.send(encode(Refused(0, "message", f"not understood: {error}")))
            continue
        if isinstance(message, (Edit, Undo, Redo)):
            if not may(client.role, "edit"):
                client.send(encode(Refused(message.opid, "role", "your role does not allow edits")))
            elif not bucket.take():
                client.send(encode(Refused(message.opid, "limit", "too many edits at once; try again in a moment")))
            else:
                await _edit(message, client, host, hub)
        elif isinstance(message, Control):
            await _control(message, client, host)
        elif isinstance(message, Presence):
            client.presence.selection = message.selection[:64]
            client.presence.camera = message.camera[:6]
            hub.others(client, client.presence)
        elif isinstance(message, Preview) and may(client.role, "edit"):
            message.session = client.session
            hub.others(client, message)


async def _edit(message: Edit | Undo | Redo, client: Client, host: Host, hub: Hub) -> None:
    loop = asyncio.get_running_loop()
    user = client.presence.name

    def work() -> None:
        if isinstance(message, Edit):
            outcome, told = host.edit(client.session, message.opid, user, message.txn, message.label)
        elif isinstance(message, Undo):
            outcome, told = host.undo(client.session, message.opid, user)
        else:
            outcome, told = host.redo(client.session, message.opid, user)
        for event in told:
            loop.call_soon_threadsafe(hub.publish, event)
        answers: list[Any] = []
        if outcome.refusal is not None:
            answers.append(Refused(message.opid, outcome.refusal.code, outcome.refusal.reason, outcome.refusal.path))
        elif outcome.again and outcome.entry is not None:
            from twin.server.host import edited

            answers.append(edited(outcome.entry))
        answers.append(UndoState(*host.document.undo_labels(client.session)))
        for answer in answers:
            loop.call_soon_threadsafe(client.send, encode(answer))

    try:
        await asyncio.wrap_future(host.on_owner(work))
    except Rejected as error:
        client.send(encode(Refused(message.opid, error.code, error.message)))
    except WorkError as error:
        _log.error("edit not written", error=str(error))
        client.send(encode(Refused(message.opid, "journal", str(error))))


async def _control(message: Control, client: Client, host: Host) -> None:
    if not may(client.role, "control"):
        client.send(encode(Refused(0, "role", "your role does not allow to run or pause the twin")))
        return
    try:
        await asyncio.wrap_future(host.runtime.control(message.action, message.value))
    except (InputError, Rejected) as error:
        client.send(encode(Refused(0, "control", str(error))))
