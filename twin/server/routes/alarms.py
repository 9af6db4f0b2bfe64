"""Alarms, who has acknowledged them, and limits of signals."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from twin.protocol.messages import Changed, LimitDoc
from twin.server.context import json_body, need, twin

router = APIRouter()
LONGEST_NS = 2**63 - 1

Moment = Annotated[int, Query(ge=0, le=LONGEST_NS)]
Bound = Annotated[float, Field(allow_inf_nan=False)]


class Seen(BaseModel):
    """Body of ``POST /api/alarms/ack``: which alarms; none named: all. ``session`` says under which name."""

    ids: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(default_factory=list, max_length=1000)
    session: str = Field(default="", max_length=64)


class Limit(BaseModel):
    """Body of ``PUT /api/limits``: bounds of a signal in its unit; with neither it has none."""

    prim: str = Field(max_length=1024, pattern=r"^/")
    name: str = Field(min_length=1, max_length=200)
    low: Bound | None = None
    high: Bound | None = None
    session: str = Field(default="", max_length=64)


@router.get("/api/alarms")
async def alarms(
    request: Request,
    t0_ns: Annotated[Moment, Query(alias="from")] = 0,
    t1_ns: Annotated[Moment, Query(alias="to")] = LONGEST_NS,
    limit: Annotated[int, Query(ge=1, le=1000)] = 400,
) -> JSONResponse:
    """Alarms that lasted at some time between two moments [ns UTC], newest first."""
    context = twin(request)
    docs = await context.owner(lambda: context.host.alarms.log.between(t0_ns, t1_ns, limit))
    return JSONResponse([json_body(msgspec.to_builtins(doc)) for doc in docs])


@router.post("/api/alarms/ack")
async def acknowledge(request: Request, body: Seen) -> JSONResponse:
    """Say that one has seen alarms; operator and up."""
    who = need(request, "comment")
    context = twin(request)
    _, user = await context.author(who, body.session)
    count = await context.owner(lambda: context.host.alarms.acknowledge(body.ids, user))
    return JSONResponse({"acknowledged": count})


@router.get("/api/limits")
async def limits(request: Request) -> JSONResponse:
    """All limits of signals."""
    context = twin(request)
    docs = await context.owner(context.host.alarms.log.limits)
    return JSONResponse([json_body(msgspec.to_builtins(doc)) for doc in docs])


@router.put("/api/limits")
async def set_limit(request: Request, body: Limit) -> JSONResponse:
    """Have an alarm raised where a signal leaves its bounds; editor and up."""
    who = need(request, "edit")
    context = twin(request)
    _, user = await context.author(who, body.session)
    host = context.host

    def work() -> LimitDoc:
        signals = host.runtime.signals
        return host.alarms.set_limit(body.prim, body.name, body.low, body.high, author=user, signals=signals)

    doc = await context.owner(work)
    context.hub.publish(Changed("limits"))
    return JSONResponse(json_body(msgspec.to_builtins(doc)))
