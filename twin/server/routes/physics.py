"""What the physics is doing, for who wants to see it. Nothing is gathered until somebody asks."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse

from twin.physics.overlay import overlay
from twin.server.context import twin
from twin.sim import Simulation

router = APIRouter()


@router.get("/api/physics")
async def physics(request: Request) -> JSONResponse:
    """Contact points, normals, islands and sleepers of the last step."""
    context = twin(request)
    runtime = context.host.runtime

    def look() -> dict[str, Any] | None:
        simulation = runtime.simulation
        if not isinstance(simulation, Simulation):
            return None
        return {"sim_time": simulation.time} | overlay(simulation.world)

    found = await context.owner(look)
    if found is None:
        raise HTTPException(409, "the plant moves this twin: there are no bodies with contacts")
    return JSONResponse(found)
