"""Files that people bring: checked and written anew by a limited process, then parts of the library."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse

from twin.collab import Identity
from twin.protocol.messages import Changed
from twin.scene.intake import UNITS
from twin.scene.render.library import UPLOADS
from twin.server.auth import MAX_UPLOAD
from twin.server.context import Context, named, need, twin
from twin.server.quotas import person

router = APIRouter()
TIMEOUT_S = 90.0
TOGETHER = 2
MAX_WAITING = 8
MAX_KEPT = 4 << 30
"""Bytes of all uploads of an asset root together."""
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")
_turn = asyncio.Semaphore(TOGETHER)
_waiting = 0


@router.post("/api/uploads", status_code=201)
async def upload(request: Request, name: str, unit: str = "m", up: str = "Z") -> JSONResponse:
    """Take in a part, a mesh or a texture: the body is the file.

    Args:
        name: What the file is called; its ending says what it is. unit, up: Of a mesh: m, cm, mm, in or ft; Y or Z.
    """
    global _waiting
    who = need(request, "edit")
    context = twin(request)
    plain = _PLAIN.sub("_", Path(name).name).lstrip(".")[-100:]
    if not plain or up not in ("Y", "Z") or unit not in UNITS:
        raise HTTPException(422, f"a file needs a name with an ending; up is Y or Z; unit is one of {', '.join(UNITS)}")
    if _waiting >= MAX_WAITING:
        raise HTTPException(503, "too many files are being taken in; try again in a moment")
    _waiting += 1
    try:
        async with _turn:
            answer = await _taken_in(request, context, who, plain, unit, up)
    finally:
        _waiting -= 1
    await context.owner(lambda: context.host.uploaded(person(who), named(who), answer["asset"]))
    context.hub.publish(Changed("library"))
    return JSONResponse(answer, status_code=201)


async def _taken_in(request: Request, context: Context, who: Identity, name: str, unit: str, up: str) -> dict[str, Any]:
    root = context.host.document.asset_root
    uploads = root / UPLOADS
    uploads.mkdir(exist_ok=True)
    if await asyncio.to_thread(_size, uploads) > MAX_KEPT:
        raise HTTPException(507, f"the uploads of this asset root take more than {MAX_KEPT >> 30} GiB")
    theirs = [root / folder for folder in await context.owner(lambda: context.host.uploads.of(person(who)))]
    kept = await asyncio.to_thread(lambda: sum(_size(folder) for folder in theirs))
    scale, turn = await context.owner(lambda: context.host.mesh_frame(UNITS[unit], up))
    # beside where it will be, so that what was found good appears at once and whole, and paths in it mean the same
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=uploads))
    try:
        with tempfile.TemporaryDirectory(prefix="upload-", dir=context.host.settings.project) as folder:
            raw = Path(folder) / "raw"
            digest = hashlib.sha256(f"{name} {scale} {turn} ".encode())
            with raw.open("wb") as out:
                async for chunk in request.stream():
                    digest.update(chunk)
                    out.write(chunk)
                    if out.tell() > MAX_UPLOAD:
                        raise HTTPException(413, f"a file may have {MAX_UPLOAD >> 20} MiB")
                    if why := context.host.quotas.upload(who, kept, out.tell()):
                        raise HTTPException(507, why)
            answer = await _check(raw, name, fresh, root, scale, turn)
        final = uploads / f"{Path(name).stem or 'part'}-{digest.hexdigest()[:8]}"
        if not final.is_dir():  # the same file again is the same part
            fresh.chmod(0o755)
            fresh.rename(final)
    finally:
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
    return answer | {"asset": f"{UPLOADS}/{final.name}/{answer['asset']}"}


async def _check(raw: Path, name: str, folder: Path, root: Path, scale: float, turn: str) -> dict[str, Any]:
    command = ["-m", "twin.scene.intake", str(raw), name, str(folder), str(root), repr(scale), turn]
    # no secrets in its environment, and nothing that it could wait for
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, cwd=folder,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise HTTPException(422, f"{name} takes too long to read") from None
    try:
        answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        # killed by a limit, or by the file itself: either way this file stays out
        raise HTTPException(422, f"{name} cannot be read (the reader ended with {process.returncode})") from None
    if "error" in answer:
        raise HTTPException(422, f"{name}: {answer['error']}")
    return answer


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
