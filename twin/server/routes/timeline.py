"""What a time line shows beside the pose track: bookmarks that people set, alarms, keyframes, and what the signals were."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from twin.collab.journal import Journal
from twin.core.clock import now_ns
from twin.core.samples import Sample, is_bad
from twin.history import diff, state_at
from twin.server.context import named, need, twin

router = APIRouter()
MAX_BOOKMARKS = 5_000
_SCHEMA = """create table if not exists bookmarks (
    id integer primary key, time_ns integer not null, text text not null, user text not null, made_ns integer not null)"""
_COLUMNS = ("id", "time_ns", "text", "user", "made_ns")
_NOT_KEPT = {"Cache-Control": "no-store"}
LONGEST_NS = 2**63 - 1


class Bookmark(BaseModel):
    """Body of ``POST /api/bookmarks``."""

    time_ns: int = Field(gt=0, lt=2**62)
    text: str = Field(min_length=1, max_length=200)


def _rows(journal: Journal, t0_ns: int, t1_ns: int) -> list[dict[str, Any]]:
    journal.write(_SCHEMA)
    names = ", ".join(_COLUMNS)
    found = journal.read(f"select {names} from bookmarks where time_ns between ? and ? order by time_ns", (t0_ns, t1_ns))
    return [_body(dict(zip(_COLUMNS, row, strict=True))) for row in found]


def _body(row: dict[str, Any]) -> dict[str, Any]:
    """Integers beyond 2^53 are text in JSON, where a browser would round them."""
    return {k: str(v) if k.endswith("_ns") else v for k, v in row.items()}


@router.get("/api/timeline")
async def timeline(
    request: Request,
    t0_ns: Annotated[int, Query(alias="from", ge=0, le=LONGEST_NS)] = 0,
    t1_ns: Annotated[int, Query(alias="to", ge=0, le=LONGEST_NS)] = LONGEST_NS,
) -> JSONResponse:
    """Bookmarks, alarms and keyframes between two moments [ns UTC]."""
    host = twin(request).host
    bookmarks = await twin(request).owner(lambda: _rows(host.document.journal, t0_ns, t1_ns))
    alarms = [
        _body({"prim": a.key.prim, "name": a.key.name, "begin_ns": a.begin_ns, "end_ns": a.end_ns, "worst": a.worst})
        for a in host.runtime.signals.residuals.alarms()
        if a.begin_ns <= t1_ns and (a.end_ns == 0 or a.end_ns >= t0_ns)
    ]
    keyframes = [str(t) for t in await asyncio.to_thread(host.keyframes.times) if t0_ns <= t <= t1_ns]
    return JSONResponse({"bookmarks": bookmarks, "alarms": alarms, "keyframes": keyframes}, headers=_NOT_KEPT)


@router.post("/api/bookmarks", status_code=201)
async def add(request: Request, body: Bookmark) -> JSONResponse:
    """Mark a moment; operator and up."""
    who = need(request, "comment")
    context = twin(request)
    journal = context.host.document.journal

    def put() -> dict[str, Any]:
        journal.write(_SCHEMA)
        if journal.read("select count(*) from bookmarks")[0][0] >= MAX_BOOKMARKS:
            raise HTTPException(409, f"a project holds {MAX_BOOKMARKS} bookmarks")
        row = (body.time_ns, body.text.strip(), named(who), now_ns())
        id = journal.write("insert into bookmarks (time_ns, text, user, made_ns) values (?, ?, ?, ?)", row)
        return _body(dict(zip(_COLUMNS, (id, *row), strict=True)))

    return JSONResponse(await context.owner(put), status_code=201)


@router.delete("/api/bookmarks/{id}", status_code=204)
async def remove(request: Request, id: int) -> Response:
    """Take a bookmark away; operator and up."""
    need(request, "comment")
    context = twin(request)
    journal = context.host.document.journal

    def drop() -> bool:
        journal.write(_SCHEMA)
        there = bool(journal.read("select 1 from bookmarks where id = ?", (id,)))
        journal.write("delete from bookmarks where id = ?", (id,))
        return there

    if not await context.owner(drop):
        raise HTTPException(404, f"there is no bookmark {id}")
    return Response(status_code=204)


@router.get("/api/edits/at")
async def edits_at(request: Request, t_ns: Annotated[int, Query(ge=0, le=LONGEST_NS)]) -> JSONResponse:
    """The last edit at a moment [ns UTC], and from when until when it was the last (``until_ns`` 0: it still is)."""
    context = twin(request)
    seq, begin, end = await context.owner(lambda: context.host.edits_at(t_ns))
    return JSONResponse({"seq": seq, "from_ns": str(begin), "until_ns": str(end)}, headers=_NOT_KEPT)


@router.get("/api/history/at")
async def at(request: Request, t_ns: Annotated[int, Query(ge=0, le=LONGEST_NS)]) -> JSONResponse:
    """The last sample of every signal at a moment."""
    found = await asyncio.to_thread(state_at, twin(request).host.history, t_ns)
    rows = [
        {"prim": key.prim, "name": key.name} | _shown(sample) for key, sample in sorted(found.items(), key=lambda f: str(f[0]))
    ]
    return JSONResponse(rows, headers=_NOT_KEPT)


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
    return JSONResponse(rows, headers=_NOT_KEPT)


def _shown(sample: Sample) -> dict[str, Any]:
    value = None if is_bad(sample.quality) or sample.value != sample.value else sample.value
    return {"value": value, "quality": sample.quality, "time_ns": str(sample.time), "origin": sample.origin}
