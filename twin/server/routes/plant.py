"""The connected plant: how each connection and each signal stands, restart, test, and guarded writes.

A write needs the server's permission (``--allow-writes``), a ``write`` entry in the mapping, an admin who has armed the
signal for a while, a value within its limits, and a caller who looks at the present: a replay cannot write.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import msgspec
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from twin.connectors import Plant
from twin.core.clock import now_ns
from twin.core.errors import Rejected, TwinError
from twin.core.samples import SignalKey, is_good
from twin.server.context import Context, json_body, named, need, twin
from twin.server.metrics import CONTENT_TYPE, exposition

router = APIRouter()
EVER = 2**63 - 1
PRESENT_S = 60.0
"""A write refers to what was seen at most so long ago [s]."""
TEST_S = 10.0
_STATUS = {"path": 404, "role": 403, "limit": 422, "gone": 503}


class Arming(BaseModel):
    """Body of ``POST /api/plant/arm``; 0 seconds disarm."""

    prim: str
    name: str
    seconds: float = Field(default=300.0, ge=0.0, allow_inf_nan=False)


class Writing(BaseModel):
    """Body of ``POST /api/plant/write``: ``value`` in the signal's unit, ``seen_ns`` the moment that the caller looks at."""

    prim: str
    name: str
    value: bool | int | float | str
    seen_ns: int


def _plant(context: Context) -> Plant:
    if context.host.plant is None:
        raise HTTPException(404, "this twin has no connections")
    return context.host.plant


def _refused(refusal: Rejected) -> HTTPException:
    return HTTPException(_STATUS.get(refusal.code, 409), str(refusal))


@router.get("/api/plant")
async def health(request: Request) -> JSONResponse:
    """Connections and, signal by signal, raw and converted value, quality, age, lag and losses; empty without a plant."""
    context = twin(request)
    plant = context.host.plant
    if plant is None:
        return JSONResponse({"connections": [], "signals": [], "losses": {}, "armed": []})
    now = now_ns()
    signals = [
        {
            "prim": row.key.prim,
            "name": row.key.name,
            "connection": row.connection,
            "source": row.source,
            "raw": _finite(row.raw),
            "raw_unit": row.raw_unit,
            "value": _finite(row.value),
            "unit": row.unit,
            "quality": row.quality,
            "good": is_good(row.quality) and not row.stale,
            "stale": row.stale,
            "age_s": row.age_s,
            "source_age_s": None if row.source_time is None else (now - row.source_time) / 1e9,
            "writable": row.writable,
        }
        for row in plant.view()
    ]
    late = plant.late()
    connections = [msgspec.to_builtins(s) | {"late": late.get(s.name, 0)} for s in plant.statuses()]
    armed = [{"prim": k.prim, "name": k.name, "seconds": round(left, 1)} for k, left in plant.armed().items()]
    body = {"connections": connections, "signals": signals, "losses": plant.losses(), "armed": armed}
    return JSONResponse(body)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


@router.post("/api/plant/{connection}/restart", status_code=204)
async def restart(request: Request, connection: str) -> Response:
    """Begin a connection anew, also one that had given up."""
    who = need(request, "control")
    context = twin(request)
    try:
        _plant(context).restart(connection)
    except Rejected as refusal:
        raise _refused(refusal) from refusal
    await context.owner(lambda: context.host.access.audit(named(who), "restart connection", connection))
    return Response(status_code=204)


@router.post("/api/plant/{connection}/test")
async def test(request: Request, connection: str) -> JSONResponse:
    """Connect a second time and say who answers; the running connection is left alone."""
    need(request, "control")
    plant = _plant(twin(request))
    try:
        found = await asyncio.to_thread(plant.probe, connection, TEST_S)
    except Rejected as refusal:
        raise _refused(refusal) from refusal
    except TwinError as error:
        return JSONResponse({"answers": False, "error": str(error)})
    return JSONResponse({"answers": True, "peer": found.peer, "details": {k: str(v) for k, v in found.details.items()}})


@router.post("/api/plant/arm", status_code=204)
async def arm(request: Request, body: Arming) -> Response:
    """Permit writing one signal for a while. Admins only, and on record."""
    who = need(request, "share")
    context = twin(request)
    key = SignalKey(body.prim, body.name)
    try:
        _plant(context).arm(key, body.seconds)
    except Rejected as refusal:
        raise _refused(refusal) from refusal
    what = f"{key} for {body.seconds:g} s" if body.seconds else f"{key} disarmed"
    await context.owner(lambda: context.host.access.audit(named(who), "arm", what))
    return Response(status_code=204)


@router.post("/api/plant/write")
async def write(request: Request, body: Writing) -> JSONResponse:
    """Write one armed signal; answers with the quality and what was read back. Asked for and answered are both on record."""
    who = need(request, "control")
    context = twin(request)
    key = SignalKey(body.prim, body.name)
    plant = _plant(context)

    async def note(what: str) -> None:
        await context.owner(lambda: context.host.access.audit(named(who), "write to plant", f"{key} = {body.value!r}: {what}"))

    if abs(now_ns() - body.seen_ns) > PRESENT_S * 1e9:
        await note("refused, not looking at the present")
        raise HTTPException(409, "you are looking at the past: return to the present to write")
    await note("asked")
    try:
        result = await asyncio.to_thread(plant.write, key, body.value, user=named(who))
    except Rejected as refusal:
        await note(f"refused, {refusal.message}")
        raise _refused(refusal) from refusal
    except TwinError as error:
        await note(f"failed, {error}")
        raise HTTPException(502, str(error)) from error
    await note(f"quality 0x{result.quality:08X}, read back {result.read_back!r}")
    return JSONResponse({"quality": result.quality, "good": is_good(result.quality), "read_back": _finite(result.read_back)})


@router.get("/api/residuals")
async def residuals(request: Request) -> JSONResponse:
    """Where plant and simulation disagree, the least usual first; with the alarms, also of earlier runs, newest first.

    ``note`` says why what was learned before is not known any more, else it is empty.
    """
    context = twin(request)
    host = context.host
    units = host.history.units()
    rows = [
        {"prim": r.key.prim, "name": r.key.name, "unit": units.get(r.key, "")}
        | {f: getattr(r, f) for f in ("plant", "simulated", "residual", "mean", "rms", "score")}
        | {"alarm_since_ns": str(r.alarm_since_ns)}
        for r in host.runtime.signals.residuals.rows()
    ]
    alarms = await context.owner(lambda: host.alarms.log.between(0, EVER, kind="residual"))
    told = [json_body(msgspec.to_builtins(alarm)) for alarm in alarms]
    return JSONResponse({"signals": rows, "alarms": told, "note": host.learned.refused})


@router.get("/api/metrics")
async def metrics(request: Request) -> Response:
    """Counters and gauges for Prometheus (text format 0.0.4)."""
    context = twin(request)
    text = await asyncio.to_thread(exposition, context.host, len(context.hub.clients))
    return Response(text, media_type=CONTENT_TYPE)
