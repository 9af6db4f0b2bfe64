"""Values that devices send to the twin: ``POST /api/in/CONNECTION[/CHANNEL]`` and a websocket at the same path.

A sender shows a token of the twin like everybody else (operator and up), and the secret of its connection where the
mapping names one, in the header ``X-Connection-Secret``.
"""

from __future__ import annotations

import json

from fastapi import APIRouter, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from twin.collab import Identity, may
from twin.connectors import Plant
from twin.core.errors import Rejected
from twin.server.context import Context, need, twin

router = APIRouter()
SECRET_HEADER = "x-connection-secret"
ACTION = "control"
"""What a sender's role must allow: to deliver a value is to change what everybody sees."""
_STATUS = {"path": 404, "role": 403, "limit": 413, "gone": 503}
FORBIDDEN, POLICY = 4403, 1008
"""Codes with which a websocket is closed."""


def _plant(context: Context) -> Plant:
    plant = context.host.plant
    if plant is None:
        raise Rejected("path", "this twin has no connections")
    return plant


@router.post("/api/in/{connection}")
async def push_root(request: Request, connection: str) -> JSONResponse:
    """Deliver one payload to the connection itself; answers how many values were good."""
    return await push(request, connection, "")


@router.post("/api/in/{connection}/{channel:path}")
async def push(request: Request, connection: str, channel: str) -> JSONResponse:
    """Deliver one payload to a channel; answers how many values were good, 404, 403, 413 or 503 with the reason."""
    need(request, ACTION, counts=False)  # a device may have much to say
    payload = await request.body()
    try:
        plant = _plant(twin(request))
        good = await plant.push(connection, channel, payload, secret=request.headers.get(SECRET_HEADER))
    except Rejected as refusal:
        raise HTTPException(_STATUS.get(refusal.code, 409), str(refusal)) from refusal
    return JSONResponse({"good": good}, status_code=200 if good else 422)


@router.websocket("/api/in/{connection}")
async def push_stream_root(socket: WebSocket, connection: str) -> None:
    """As below, for the connection itself."""
    await push_stream(socket, connection, "")


@router.websocket("/api/in/{connection}/{channel:path}")
async def push_stream(socket: WebSocket, connection: str, channel: str) -> None:
    """A message is a payload, its answer ``{"good": n}`` or ``{"error", "code"}``. A sender that may not is sent away."""
    who: Identity = socket.scope["who"]
    await socket.accept()
    if not may(who.role, ACTION):
        await socket.close(FORBIDDEN, "your role does not allow to deliver values")
        return
    context: Context = socket.app.state.context
    secret = socket.headers.get(SECRET_HEADER)
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            payload = message.get("bytes") or (message.get("text") or "").encode()
            if not context.host.access.valid(who.key):
                await socket.close(FORBIDDEN, "the token has ended")
                return
            try:
                answer = {"good": await _plant(context).push(connection, channel, payload, secret=secret)}
            except Rejected as refusal:
                answer = {"error": str(refusal), "code": refusal.code}  # type: ignore[dict-item]
                if refusal.code in ("role", "path"):
                    await socket.send_text(json.dumps(answer))
                    await socket.close(POLICY, str(refusal)[:120])
                    return
            await socket.send_text(json.dumps(answer))
    except WebSocketDisconnect:
        return
