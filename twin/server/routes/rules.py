"""Rules on parts of the stage."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from twin.protocol.messages import Changed, RuleDoc
from twin.server.context import Id, json_body, named, need, twin

router = APIRouter()


class NewRule(BaseModel):
    """Body of ``POST /api/rules``: whoever has ``role``, or is one of ``users``, may edit at and below ``path``, or ``field``."""

    path: str = Field(max_length=1024, pattern=r"^/([A-Za-z_]\w*(/[A-Za-z_]\w*)*)?$")
    field: str = Field(default="", max_length=200, pattern=r"^([A-Za-z_]\w*(:\w+)*)?$")
    role: str
    users: list[str] = Field(default_factory=list, max_length=100)
    note: str = Field(default="", max_length=200)


@router.get("/api/rules")
async def rules(request: Request) -> JSONResponse:
    """All rules."""
    context = twin(request)
    return JSONResponse(json_body([msgspec.to_builtins(rule) for rule in await context.owner(context.host.rules.all)]))


@router.post("/api/rules", status_code=201)
async def put(body: NewRule, request: Request) -> JSONResponse:
    """Set the rule of a prim or a property."""
    who = need(request, "share")
    context = twin(request)

    def work() -> RuleDoc:
        rule = context.host.rules.put(body.path, body.field, body.role, body.users, note=body.note, author=named(who))
        context.host.access.audit(named(who), "rule", f"{_name(rule)}: {', '.join([rule.role, *rule.users])}")
        return rule

    rule = await context.owner(work)
    context.hub.publish(Changed("rules"))
    return JSONResponse(json_body(msgspec.to_builtins(rule)), status_code=201)


@router.delete("/api/rules/{id}", status_code=204)
async def delete(id: Id, request: Request) -> Response:
    """Take a rule away."""
    who = need(request, "share")
    context = twin(request)

    def work() -> None:
        rule = context.host.rules.delete(id)
        context.host.access.audit(named(who), "rule", f"{_name(rule)}: no more")

    await context.owner(work)
    context.hub.publish(Changed("rules"))
    return Response(status_code=204)


def _name(rule: RuleDoc) -> str:
    return f"{rule.path}.{rule.field}" if rule.field else rule.path
