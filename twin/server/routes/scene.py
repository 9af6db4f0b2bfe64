"""The scene, its parts, and what its signals did."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from typing import Annotated

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse

from twin.collab.moves import FIRST_NS
from twin.core.samples import Sample, SignalKey, is_bad
from twin.history import Columns
from twin.history.columns import downsample, joined
from twin.server.context import Nanoseconds, twin

router = APIRouter()
MAX_POINTS = 20_000
MAX_PATHS = 200
Seq = Annotated[int | None, Query(ge=0, le=2**62)]
MAX_ASSETS = 100
"""In one request for several."""
SMALL_ASSET = 64 << 10
MAX_TOGETHER = 1 << 20
"""What is larger is sent alone; so many bytes are sent in one answer for several. What an answer holds follows from its ids."""
ALONE = b"\xff\xff\xff\xff"
PACKING = 5
_KEPT = {"Cache-Control": "private, max-age=31536000, immutable"}
_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}
"""Media types of images by how they begin."""


@router.get("/api/scene")
async def scene(request: Request, seq: Seq = None) -> Response:
    """Everything that is drawn (SceneDoc): now, or as it was after the edit ``seq``."""
    context = twin(request)
    if seq is not None:
        return Response(await context.host.past.scene(seq), media_type="application/json")
    return Response(await context.owner(context.host.scene), media_type="application/json")


@router.get("/api/prim")
async def prim(request: Request, path: str, seq: Seq = None) -> Response:
    """All properties of one prim (PrimDetail): now, or as they were after the edit ``seq``."""
    context = twin(request)
    if seq is not None:
        return Response(await context.host.past.prim(seq, path), media_type="application/json")
    detail = await context.owner(lambda: context.host.prim(path))
    return Response(msgspec.json.encode(detail), media_type="application/json")


@router.get("/api/layers")
async def layers(request: Request) -> JSONResponse:
    """What the stage is composed of, strongest first, and its variant sets."""
    context = twin(request)
    return JSONResponse(await context.owner(context.host.layers))


@router.get("/api/part")
async def part(request: Request, asset: str) -> Response:
    """How a part of the library looks (SceneDoc with prims and materials only)."""
    return Response(await twin(request).host.past.part(asset), media_type="application/json")


@router.get("/api/clip")
async def clip(request: Request, path: Annotated[list[str], Query(max_length=MAX_PATHS)]) -> Response:
    """What a clipboard holds of prims: text that can be pasted into this scene or another one."""
    context = twin(request)
    text = await context.owner(lambda: context.host.clip(path))
    return Response(text, media_type="application/json")


@router.get("/api/assets/{key}")
async def asset(request: Request, key: str) -> Response:
    """A mesh or a texture by its content hash; it never changes, so who has it need not ask again."""
    if request.headers.get("if-none-match") == f'"{key}"':
        return Response(status_code=304, headers=_KEPT | {"ETag": f'"{key}"'})
    data = twin(request).host.assets.get(key)
    if data is None:
        raise HTTPException(404, "no such asset")
    kind = next((kind for begin, kind in _KINDS.items() if data.startswith(begin)), "application/octet-stream")
    return Response(data, media_type=kind, headers=_KEPT | {"ETag": f'"{key}"'})


@router.get("/api/assets")
async def several(request: Request, ids: Annotated[str, Query(max_length=MAX_ASSETS * 65)]) -> Response:
    """Several small assets in one answer: for each of ``ids``, hashes with commas between them, a u32 of its size, little-endian,
    and its bytes, padded to four. Where ``ALONE`` stands for the size nothing follows: it is to be asked for alone.
    """
    keys = ids.split(",")
    if len(keys) > MAX_ASSETS:
        raise HTTPException(422, f"at most {MAX_ASSETS} ids in one request")
    tag = {"ETag": f'"{hashlib.sha256(ids.encode()).hexdigest()}"'}
    if request.headers.get("if-none-match") == tag["ETag"]:
        return Response(status_code=304, headers=_KEPT | tag)
    assets, parts, room = twin(request).host.assets, [], MAX_TOGETHER
    for key in keys:
        data = assets.get(key)
        if data is None:
            raise HTTPException(404, f"no such asset: {key[:64]}")
        if len(data) > min(SMALL_ASSET, room):
            parts.append(ALONE)
            continue
        room -= len(data)
        parts += [len(data).to_bytes(4, "little"), data, bytes(-len(data) % 4)]
    answer, packed = b"".join(parts), {"Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        # together they pack far better than one by one; not on the event loop, which has others to serve
        answer, packed = await asyncio.to_thread(gzip.compress, answer, PACKING, mtime=0), packed | {"Content-Encoding": "gzip"}
    return Response(answer, media_type="application/octet-stream", headers=_KEPT | tag | packed)


@router.get("/api/history")
async def history(
    request: Request, prim: str, name: str, t0_ns: Nanoseconds, t1_ns: Nanoseconds, points: int = 2000, before: bool = False
) -> JSONResponse:
    """What one signal did (Series), also while its prim was called otherwise.

    ``before``: also the last sample ahead of ``t0_ns``, which says what held then.
    """
    context = twin(request)
    recorded = context.host.history
    points = max(2, min(points, MAX_POINTS))
    spans = await context.owner(lambda: context.host.document.moves.spans(prim, FIRST_NS if before else t0_ns, max(t0_ns, t1_ns)))
    named = [(SignalKey(span.path, name), span.begin_ns, span.end_ns) for span in spans]

    def read() -> tuple[Columns, Sample | None]:
        within = [recorded.range(key, max(begin, t0_ns), min(end, t1_ns)) for key, begin, end in named if end >= t0_ns]
        ahead = (recorded.latest_at(key, min(end, t0_ns - 1)) for key, begin, end in reversed(named) if begin < t0_ns)
        return downsample(joined(within), points), next((held for held in ahead if held is not None), None)

    columns, earlier = await asyncio.to_thread(read)
    time_ns, value, quality = columns.time_ns.tolist(), columns.value, columns.quality.tolist()
    if earlier is not None:
        held = None if is_bad(earlier.quality) else earlier.value
        time_ns, value, quality = [earlier.time, *time_ns], [held, *value], [earlier.quality, *quality]
    key = SignalKey(prim, name)
    return JSONResponse(
        {
            "prim": prim,
            "name": name,
            "unit": recorded.units().get(key, ""),
            "time_ns": [str(t) for t in time_ns],
            "value": value,
            "quality": quality,
        }
    )


@router.get("/api/signals")
async def signals(request: Request) -> JSONResponse:
    """All signals that have been recorded."""
    context = twin(request)
    host = context.host
    known = await context.owner(lambda: {(s.prim, s.name): s for s in host.runtime.model.signals})
    units = host.history.units()
    out = []
    for s in await asyncio.to_thread(host.history.signals):
        declared = known.get((s.prim, s.name))
        unit = units.get(SignalKey(s.prim, s.name), declared.unit if declared else "")
        role = declared.role if declared else "measurement"
        row = {"prim": s.prim, "name": s.name, "unit": unit, "role": role, "count": s.count}
        out.append(row | {"first_ns": str(s.first_ns), "last_ns": str(s.last_ns)})
    return JSONResponse(out)
