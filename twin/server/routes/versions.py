"""Named versions of the edits."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from twin.server.context import json_body, named, need, twin

router = APIRouter()


class VersionLabel(BaseModel):
    """Body of ``POST /api/versions``."""

    label: str = Field(min_length=1, max_length=200)


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
    id = await context.owner(lambda: context.host.document.save_version(body.label, named(who)))
    return JSONResponse({"id": id}, status_code=201)
