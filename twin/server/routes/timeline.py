"""What a time line shows beside the pose track: bookmarks that people set, alarms, keyframes, and what the signals were."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from twin.core.samples import Sample, is_bad
from twin.history import diff, state_at
from twin.protocol.messages import AlarmDoc, BookmarkDoc, Changed
from twin.server.context import Context, Id, json_body, need, twin

router = APIRouter()
LONGEST_NS = 2**63 - 1


class NewBookmark(BaseModel):
    """Body of ``POST /api/bookmarks``: a moment [ns UTC], a view (position and target [m]), or both."""

    text: str = Field(min_length=1, max_length=200)
    time_ns: int = Field(default=0, ge=0, lt=2**62)
    camera: list[Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=list, max_length=6)
    session: str = Field(default="", max_length=64)


class BookmarkName(BaseModel):
    """Body of ``PATCH /api/bookmarks/{id}``."""

    text: str = Field(min_length=1, max_length=200)


def _told(context: Context, doc: BookmarkDoc, status: int = 200) -> JSONResponse:
    context.hub.publish(Changed("bookmarks"))
    return JSONResponse(json_body(msgspec.to_builtins(doc)), status_code=status)


@router.get("/api/bookmarks")
async def bookmarks(request: Request) -> JSONResponse:
    """All bookmarks: those of views alone first, then by their moment."""
    context = twin(request)
    docs = await context.owner(context.host.bookmarks.all)
    return JSONResponse([json_body(msgspec.to_builtins(doc)) for doc in docs])


@router.get("/api/timeline")
async def timeline(
    request: Request,
    t0_ns: Annotated[int, Query(alias="from", ge=0, le=LONGEST_NS)] = 0,
    t1_ns: Annotated[int, Query(alias="to", ge=0, le=LONGEST_NS)] = LONGEST_NS,
) -> JSONResponse:
    """Bookmarks, alarms (those of ``GET /api/alarms``) and keyframes between two moments [ns UTC]."""
    host = twin(request).host

    def kept() -> tuple[list[BookmarkDoc], list[AlarmDoc]]:
        return host.bookmarks.all(max(t0_ns, 1), t1_ns), host.alarms.log.between(t0_ns, t1_ns)

    docs, raised = await twin(request).owner(kept)
    keyframes = [str(t) for t in await asyncio.to_thread(host.keyframes.times) if t0_ns <= t <= t1_ns]
    bookmarks, alarms = (json_body([msgspec.to_builtins(doc) for doc in some]) for some in (docs, raised))
    body = {"bookmarks": bookmarks, "alarms": alarms, "keyframes": keyframes}
    return JSONResponse(body)


@router.post("/api/bookmarks", status_code=201)
async def add(request: Request, body: NewBookmark) -> JSONResponse:
    """Keep a moment or a view for everybody; operator and up."""
    who = need(request, "comment")
    context = twin(request)
    _, user = await context.author(who, body.session)

    def work() -> BookmarkDoc:
        return context.host.bookmarks.add(body.text, user, time_ns=body.time_ns, camera=body.camera)

    return _told(context, await context.owner(work), 201)


@router.patch("/api/bookmarks/{id}")
async def rename(request: Request, id: Id, body: BookmarkName) -> JSONResponse:
    """Another name; operator and up."""
    need(request, "comment")
    context = twin(request)
    return _told(context, await context.owner(lambda: context.host.bookmarks.rename(id, body.text)))


@router.delete("/api/bookmarks/{id}", status_code=204)
async def remove(request: Request, id: Id) -> Response:
    """Take a bookmark away; operator and up."""
    need(request, "comment")
    context = twin(request)
    await context.owner(lambda: context.host.bookmarks.delete(id))
    context.hub.publish(Changed("bookmarks"))
    return Response(status_code=204)


@router.get("/api/edits/at")
async def edits_at(request: Request, t_ns: Annotated[int, Query(ge=0, le=LONGEST_NS)]) -> JSONResponse:
    """The last edit at a moment [ns UTC], and from when until when it was the last (``until_ns`` 0: it still is)."""
    context = twin(request)
    seq, begin, end = await context.owner(lambda: context.host.edits_at(t_ns))
    return JSONResponse({"seq": seq, "from_ns": str(begin), "until_ns": str(end)})


@router.get("/api/history/at")
async def at(request: Request, t_ns: Annotated[int, Query(ge=0, le=LONGEST_NS)]) -> JSONResponse:
    """The last sample of every signal at a moment."""
    found = await asyncio.to_thread(state_at, twin(request).host.history, t_ns)
    rows = [
        {"prim": key.prim, "name": key.name} | _shown(sample) for key, sample in sorted(found.items(), key=lambda f: str(f[0]))
    ]
    return JSONResponse(rows)


@router.get("/api/history/diff")
async def difference(
    request: Request,
    before: Annotated[int, Query(ge=0, le=LONGEST_NS)],
    after: Annotated[int, Query(ge=0, le=LONGEST_NS)],
) -> JSONResponse:
    """Signals that were another at two moments [ns UTC]."""
    found = await asyncio.to_thread(diff, twin(request).host.history, before, after)
    rows = [
        {"prim": c.key.prim, "name": c.key.name, "before": c.before and _shown(c.before), "after": c.after and _shown(c.after)}
        | {"difference": c.difference}
        for c in found
    ]
    return JSONResponse(rows)


def _shown(sample: Sample) -> dict[str, Any]:
    value = None if is_bad(sample.quality) or sample.value != sample.value else sample.value
    return {"value": value, "quality": sample.quality, "time_ns": str(sample.time), "origin": sample.origin}
