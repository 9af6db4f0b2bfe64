"""Looking back and putting aside: versions, proposals, activity, export."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import unicodedata
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field

from twin.collab.proposals import Conflicts
from twin.core.clock import now_ns
from twin.protocol.messages import Changed
from twin.scene.edits import Opinion, difference
from twin.server.context import Id, answer, json_body, named, need, twin

router = APIRouter()
EXPORT_TIMEOUT_S = 120.0
MAX_ACTIVITY = 1000
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Make a browser show what follows in another order."""
Version = Annotated[int, Query(lt=2**63, ge=-(2**63))]


def _in_one_line(label: str) -> str:
    label = label.strip()
    if not label or any(unicodedata.category(c) == "Cc" or c in _TURNS for c in label):
        raise ValueError("a name is one line of characters that show")
    return label


Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_in_one_line)]
"""What a version or a proposal is called, in lists of one line each."""


class VersionLabel(BaseModel):
    """Body of ``POST /api/versions``; ``session`` of the tab, for the name of its author."""

    label: Label
    session: str = Field(default="", max_length=64)


class Commit(BaseModel):
    """Who an edit counts for: ``session`` of the tab, so that it can be undone there, and its ``opid``, against repetition."""

    session: str = Field(default="", max_length=64)
    opid: int = Field(default_factory=now_ns, ge=0, lt=2**63)


class Merge(Commit):
    """Body of ``POST /api/proposals/{id}/merge``: ``overwrite`` what others have changed since, or ``keep`` that."""

    overwrite: bool = False
    keep: bool = False

    @property
    def conflicts(self) -> Conflicts:
        return "overwrite" if self.overwrite else "keep" if self.keep else "refuse"


class NewProposal(Commit):
    """Body of ``POST /api/proposals``: everything edited since version ``since`` (-1: since the stage's own files).

    ``take_back``: the shared edits go back to that version.
    """

    label: Label
    since: int = Field(default=-1, ge=-1, lt=2**63)
    take_back: bool = False


def _rows(opinions: list[Opinion]) -> list[dict[str, Any]]:
    return [
        {"path": o.path, "field": o.field, "change": o.change, "before": o.before, "after": o.after} for o in opinions
    ]  # fmt: skip


@router.get("/api/versions")
async def versions(request: Request) -> JSONResponse:
    """All versions, newest first."""
    context = twin(request)
    return JSONResponse(json_body(await context.owner(context.host.document.journal.versions)))


@router.post("/api/versions")
async def save_version(body: VersionLabel, request: Request) -> JSONResponse:
    """Keep the edits as they are under a name."""
    who = need(request, "edit")
    context = twin(request)
    _, user = await context.author(who, body.session)
    id = await context.owner(lambda: context.host.document.save_version(body.label, user))
    context.hub.publish(Changed("versions"))
    return JSONResponse({"id": id}, status_code=201)


@router.get("/api/versions/diff")
async def diff(request: Request, before: Version, after: Version = 0) -> JSONResponse:
    """What two versions say differently; 0 is now, -1 the stage without edits."""
    context = twin(request)
    document = context.host.document
    texts = await context.owner(lambda: (document.text_of(before), document.text_of(after)))
    return JSONResponse(_rows(await asyncio.to_thread(difference, *texts)))


@router.post("/api/versions/{id}/restore")
async def restore(id: Id, body: Commit, request: Request) -> JSONResponse:
    """Make the edits what they were; an edit like others, which can be undone."""
    who = need(request, "edit")
    context = twin(request)
    session, user = await context.author(who, body.session)
    outcome = await context.commit(lambda: context.host.restore(who, session, body.opid, user, id))
    if outcome.entry is not None and not outcome.again:
        await context.owner(lambda: context.host.access.audit(user, "restore", f"version {id}"))
    return answer(outcome)


@router.get("/api/proposals")
async def proposals(request: Request) -> JSONResponse:
    """All proposals, newest first."""
    context = twin(request)
    return JSONResponse(json_body(await context.owner(context.host.proposals.all)))


@router.post("/api/proposals")
async def propose(body: NewProposal, request: Request) -> JSONResponse:
    """Put aside what was edited since a version."""
    who = need(request, "edit")
    context = twin(request)
    session, user = await context.author(who, body.session)
    id = await context.owner(lambda: context.host.proposals.make(body.label, user, since=body.since))
    if body.take_back:
        await context.commit(lambda: context.host.take_back(who, id, session, body.opid, user))
    context.hub.publish(Changed("proposals"))
    return JSONResponse({"id": id}, status_code=201)


@router.get("/api/proposals/{id}")
async def compare(id: Id, request: Request) -> JSONResponse:
    """What a proposal changes, and which of that others have changed otherwise since."""
    context = twin(request)
    compared = await context.owner(lambda: context.host.proposals.compare(id))
    conflicts = [row | {"since": since} for row, since in zip(_rows(compared.conflicts), compared.since, strict=True)]
    return JSONResponse({"opinions": _rows(compared.opinions), "conflicts": conflicts})


@router.post("/api/proposals/{id}/merge")
async def merge(id: Id, body: Merge, request: Request) -> JSONResponse:
    """Apply a proposal as one edit; a version is saved first."""
    who = need(request, "edit")
    context = twin(request)
    session, user = await context.author(who, body.session)
    outcome = await context.commit(lambda: context.host.merge(who, id, session, body.opid, user, conflicts=body.conflicts))
    if outcome.entry is not None and not outcome.again:
        await context.owner(lambda: context.host.access.audit(user, "merge", f"proposal {id}"))
    for what in ("proposals", "versions"):
        context.hub.publish(Changed(what))
    return answer(outcome)


@router.delete("/api/proposals/{id}", status_code=204)
async def discard(id: Id, request: Request) -> Response:
    """Close a proposal without merging it."""
    who = need(request, "edit")
    context = twin(request)
    await context.owner(lambda: context.host.proposals.discard(id, named(who)))
    context.hub.publish(Changed("proposals"))
    return Response(status_code=204)


@router.post("/api/proposals/{id}/reopen", status_code=204)
async def reopen(id: Id, request: Request) -> Response:
    """Have a proposal back that was discarded, or merged and the merge undone."""
    need(request, "edit")
    context = twin(request)
    await context.owner(lambda: context.host.proposals.reopen(id))
    context.hub.publish(Changed("proposals"))
    return Response(status_code=204)


@router.get("/api/activity")
async def activity(request: Request, before: int = 2**62, limit: int = 200) -> JSONResponse:
    """Who edited what, newest first; ``before`` is the number of the oldest that is known already."""
    context = twin(request)
    limit = max(1, min(limit, MAX_ACTIVITY))
    before = max(0, min(before, 2**62))
    return JSONResponse(json_body(await context.owner(lambda: context.host.document.journal.activity(before, limit))))


@router.get("/api/export")
async def export(request: Request, version: Version = 0, flatten: bool = False) -> Response:
    """The stage with its edits as USD text. Written by a process of its own, so that nobody's view waits for it."""
    need(request, "view")
    settings = twin(request).host.settings
    root = twin(request).host.document.asset_root
    if version < 0:
        raise HTTPException(404, f"there is no version {version}")
    with tempfile.TemporaryDirectory() as folder:
        # beside the stage, paths in the file mean what they mean there
        out = Path(folder) / "export.usda"
        command = ["export", str(settings.stage), "--project", f"{settings.project}@{version}", "--out", str(out)]
        command += ["--asset-root", str(root), "--beside-stage"] + (["--flatten"] if flatten else [])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "twin.cli.main", *command, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        try:
            _, errors = await asyncio.wait_for(process.communicate(), EXPORT_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise HTTPException(504, "the export took too long") from None
        if process.returncode != 0:
            raise HTTPException(404 if process.returncode == 2 else 500, errors.decode(errors="replace").strip()[-500:])
        name = f"{settings.stage.stem}.edited.usda"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(await asyncio.to_thread(out.read_bytes), media_type="text/plain; charset=utf-8", headers=headers)
