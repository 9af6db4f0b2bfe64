"""One websocket: hello, then edits, control and presence in, state out."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec
from fastapi import WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from twin.collab import Identity, Outcome, may
from twin.core.errors import InputError, Rejected, WorkError
from twin.protocol.messages import (
    PROTOCOL_VERSION,
    Control,
    Edit,
    Hello,
    Notice,
    Ping,
    Pong,
    Presence,
    Preview,
    Redo,
    Refused,
    Seen,
    Undo,
    decode_client,
    encode,
)
from twin.protocol.messages import History as UndoState
from twin.server.direct import EXTENSION
from twin.server.gateway import HEADER as FRAMES_HEADER
from twin.server.host import Host, edited
from twin.server.hub import CLOSE_UNAUTHORISED, Client, Hub
from twin.server.inbox import Inbox
from twin.server.limits import Bucket

HELLO_TIMEOUT_S = 10.0
CLOSE_PROTOCOL = 4409
CLOSE_BAD_MESSAGE = 4400
EDITS_PER_S = 60.0
EDIT_BURST = 400.0
"""Transactions and commands of one client: a token bucket."""
LOSSY_PER_S = 120.0
"""Presence and previews of one client; more are dropped."""
MAX_CLIENTS = 500
TURN = 16
"""After so many messages of one client others have their turn."""
MAX_SELECTION = 64
MAX_PATH = 1024
MAX_REASON = 120
"""Longest reason in the close of a websocket [characters]."""
CLOSE_TIMEOUT_S = 2.0
CLOSE_AGAIN_LATER = 1013
PONG = encode(Pong())


async def serve_client(socket: WebSocket, host: Host, hub: Hub) -> None:
    """From the handshake to the end of the connection."""
    await socket.accept()
    if len(hub.clients) >= MAX_CLIENTS:
        await _farewell(socket, CLOSE_AGAIN_LATER, f"{MAX_CLIENTS} connections are open already")
        return
    try:
        hello = _understood(await asyncio.wait_for(socket.receive_bytes(), HELLO_TIMEOUT_S))
    except (TimeoutError, BadMessage, KeyError):
        await _farewell(socket, CLOSE_BAD_MESSAGE, "the first message must be a hello")
        return
    except WebSocketDisconnect:
        return
    if not isinstance(hello, Hello):
        await _farewell(socket, CLOSE_BAD_MESSAGE, "the first message must be a hello")
        return
    if hello.protocol != PROTOCOL_VERSION:
        await _farewell(socket, CLOSE_PROTOCOL, f"this server speaks protocol {PROTOCOL_VERSION}: reload the page")
        return
    if why := host.quotas.connect(socket.scope["who"], [other.who for other in hub.clients]):
        await _farewell(socket, CLOSE_AGAIN_LATER, why[:MAX_REASON])
        return
    elsewhere = FRAMES_HEADER in socket.headers
    who: Identity = socket.scope["who"]
    client = Client(
        who,
        batches=hello.batches,
        frames_elsewhere=elsewhere,
        direct=socket.scope.get("extensions", {}).get(EXTENSION),
        may=lambda: host.access.valid(who.key),
    )
    hub.clients.add(client)
    try:
        hub.claim(client, hello.session, hello.tab)
        await _enter(client, hello, host, hub)
        await _converse(socket, client, host, hub)
    except (Rejected, WorkError) as error:
        await _farewell(socket, CLOSE_AGAIN_LATER, error.message[:MAX_REASON])
    finally:
        hub.leave(client)


async def _farewell(socket: WebSocket, code: int, reason: str) -> None:
    """Close with a reason. A peer that has gone needs none, and one that does not read would never let it through."""
    with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
        await asyncio.wait_for(socket.close(code, reason), CLOSE_TIMEOUT_S)


async def _converse(socket: WebSocket, client: Client, host: Host, hub: Hub) -> None:
    """Send and receive until either ends or the client must go; what had come by then is done all the same."""
    inbox = Inbox()
    work = asyncio.create_task(_work(inbox, client, host, hub))
    receive = asyncio.create_task(_receive(socket, client, inbox, host, hub))
    tasks = [receive, asyncio.create_task(_send(socket, client, host, hub)), asyncio.create_task(client.closing.wait())]
    done, _ = await asyncio.wait([*tasks, work], return_when=asyncio.FIRST_COMPLETED)
    if not client.close_code:
        await asyncio.wait([receive], timeout=CLOSE_TIMEOUT_S)  # what has come comes before the end of the connection
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    hub.leave(client)
    inbox.end()
    if client.close_code:
        await _farewell(socket, client.close_code, client.close_reason)
    await work  # edits that are sent again after a reconnection are known by their numbers
    if client.close_code:
        return
    failures = [task.exception() for task in done]
    gone = WebSocketState.DISCONNECTED in (socket.client_state, socket.application_state)
    for failure in failures:
        # whoever talks to a socket that the other task has seen closed gets a RuntimeError
        if (
            failure is not None
            and not isinstance(failure, WebSocketDisconnect)
            and not (gone and isinstance(failure, RuntimeError))
        ):
            raise failure


async def _enter(client: Client, hello: Hello, host: Host, hub: Hub) -> None:
    def enter() -> None:
        join = host.join(client.session, hello.name, client.who, hello.epoch, hello.last_seq)
        welcome = join.welcome
        client.session = welcome.session
        client.presence = Presence(session=welcome.session, name=welcome.name, color=welcome.color, role=welcome.role)
        # in the same order as the events that follow from this thread
        hub.post(hub.activate, client, [welcome, *join.messages])

    await asyncio.wrap_future(host.on_owner(enter))


async def _send(socket: WebSocket, client: Client, host: Host, hub: Hub) -> None:
    while True:
        waiting = await client.next()
        for n, data in enumerate(waiting):
            if n % 4 == 3:
                await asyncio.sleep(0)  # others' turn, and a look whether the peer is still there
            await socket.send_bytes(data)
        if not host.access.valid(client.who.key):
            client.close(CLOSE_UNAUTHORISED, "access has ended")
        if client.close_code:
            return
        frame = None if client.frames_elsewhere else client.latest.take(hub.frames)
        if frame is not None:
            await socket.send_bytes(frame)


class BadMessage(Exception):
    """A message that cannot be read."""


def _understood(data: bytes) -> Any:
    try:
        return decode_client(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadMessage(str(error)) from error


async def _receive(socket: WebSocket, client: Client, inbox: Inbox, host: Host, hub: Hub) -> None:
    """Read all that comes, at once: what takes its time goes into the inbox, or answers to pings would wait behind it."""
    edits, lossy = Bucket(EDITS_PER_S, EDIT_BURST), Bucket(LOSSY_PER_S, LOSSY_PER_S)
    role = client.who.role
    for number in count():
        if number % TURN == TURN - 1:
            await asyncio.sleep(0)  # a flood that is here already would be read without a pause
        try:
            data = await socket.receive_bytes()
            message = _understood(data)
        except BadMessage as error:
            client.send(encode(Refused(0, "message", f"not understood: {error}")))
            continue
        except KeyError:
            client.send(encode(Refused(0, "message", "not understood: messages are binary")))
            continue
        hub.heard(client)
        if not host.access.valid(client.who.key):
            client.close(CLOSE_UNAUTHORISED, "access has ended")
        elif isinstance(message, (Edit, Undo, Redo)):
            # an operator may have set-points: the rules decide by operation
            if not may(role, "control"):
                client.send(encode(Refused(message.opid, "role", "your role does not allow edits")))
            elif not edits.take():
                client.send(encode(Refused(message.opid, "limit", "too many edits at once; try again in a moment")))
            elif why := host.quotas.edit(client.who):
                client.send(encode(Refused(message.opid, "limit", why)))
            elif not inbox.add(message, len(data)):
                client.send(encode(Refused(message.opid, "limit", f"{inbox.full}; try again in a moment")))
        elif isinstance(message, Control):
            if not edits.take():
                client.send(encode(Refused(0, "limit", "too many commands at once; try again in a moment")))
            elif not inbox.add(message, len(data)):
                client.send(encode(Refused(0, "limit", f"{inbox.full}; try again in a moment")))
        elif isinstance(message, Seen):
            client.latest.saw(message.number)
        elif not lossy.take():
            continue
        elif isinstance(message, Ping):
            client.signs = True
            client.send(PONG, lossy=True)  # where much waits, that is a sign of life too
        elif isinstance(message, Presence):
            holding = message.holding if may(role, "edit") else []
            client.presence.selection = _paths(message.selection)
            client.presence.camera = message.camera if _numbers(message.camera, 6) else []
            client.latest.follower.look(client.presence.camera)
            client.presence.holding = hub.hold(client, _paths(holding))
            hub.others(client, client.presence)
        elif (
            isinstance(message, Preview) and may(role, "edit") and len(message.path) <= MAX_PATH and _numbers(message.matrix, 16)
        ):
            message.session = client.session
            hub.others(client, message)


def _numbers(values: list[float], count: int) -> bool:
    """Whether there are ``count`` of them, all finite: others' pages calculate with them."""
    return len(values) == count and all(map(math.isfinite, values))


def _paths(paths: list[str]) -> list[str]:
    return [path for path in paths[:MAX_SELECTION] if len(path) <= MAX_PATH]


async def _work(inbox: Inbox, client: Client, host: Host, hub: Hub) -> None:
    """Do what the client asks for, one thing after the other, until the inbox has ended."""
    while (message := await inbox.next()) is not None:
        if not host.access.valid(client.who.key):
            client.close(CLOSE_UNAUTHORISED, "access has ended")
            return
        if isinstance(message, Control):
            await _control(message, client, host)
        else:
            await _edit(message, client, host, hub)


async def _edit(message: Edit | Undo | Redo, client: Client, host: Host, hub: Hub) -> None:
    user = client.presence.name

    def work() -> tuple[Outcome, list[Any]]:
        if isinstance(message, Edit):
            opid, txn = message.opid, message.txn
            return host.edit(client.who, client.session, opid, user, txn, message.label, seen=message.base_seq)
        if isinstance(message, Undo):
            return host.undo(client.who, client.session, message.opid, user)
        return host.redo(client.who, client.session, message.opid, user)

    def tell(outcome: Outcome, told: list[Any]) -> None:
        for event in told:
            hub.post(hub.publish, event)
        answers: list[Any] = []
        if outcome.refusal is not None:
            answers.append(Refused(message.opid, outcome.refusal.code, outcome.refusal.reason, outcome.refusal.path))
        elif outcome.again and outcome.entry is not None:
            answers.append(edited(outcome.entry))
        answers.append(UndoState(*host.document.undo_labels(client.session)))
        hub.post(hub.answer, client, answers)

    try:
        await hub.outcome(host.commits.commit(work, tell))
    except Rejected as error:
        client.send(encode(Refused(message.opid, error.code, error.message)))
    except WorkError as error:
        client.send(encode(Refused(message.opid, "journal", str(error))))
        hub.publish(Notice("error", f"Nothing can be edited any more: {host.document.read_only}"))


async def _control(message: Control, client: Client, host: Host) -> None:
    if not may(client.who.role, "control"):
        client.send(encode(Refused(0, "role", "your role does not allow to run or pause the twin")))
        return
    try:
        await asyncio.wrap_future(host.runtime.control(message.action, message.value))
    except (InputError, Rejected) as error:
        client.send(encode(Refused(0, "control", str(error))))
