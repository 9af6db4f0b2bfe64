"""Comments on prims."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from twin.collab import Identity, may
from twin.protocol.messages import CommentDoc, Commented
from twin.server.context import Context, Id, json_body, need, twin

router = APIRouter()


class NewComment(BaseModel):
    """Body of ``POST /api/comments``: ``parent`` is the comment that it answers; ``session`` says under which name."""

    path: str = Field(default="/", max_length=1024, pattern=r"^/")
    text: str = Field(max_length=10_000)
    parent: int = Field(default=0, ge=0, lt=2**63)
    session: str = Field(default="", max_length=64)


class CommentChange(BaseModel):
    """Body of ``PATCH /api/comments/{id}``: other words, or settled or not."""

    text: str | None = Field(default=None, max_length=10_000)
    resolved: bool | None = None
    session: str = Field(default="", max_length=64)


def _owner(who: Identity) -> str:
    """Whose a comment is: a person's, however often they sign in; of a link without a name, whoever holds it."""
    return f"user:{who.user}" if who.user else who.key


def _told(context: Context, doc: CommentDoc) -> JSONResponse:
    context.hub.publish(Commented(doc))
    return JSONResponse(json_body(msgspec.to_builtins(doc)))


@router.get("/api/comments")
async def comments(request: Request) -> JSONResponse:
    """All comments, oldest first."""
    context = twin(request)
    docs = await context.owner(context.host.comments.all)
    return JSONResponse([json_body(msgspec.to_builtins(doc)) for doc in docs])


@router.post("/api/comments", status_code=201)
async def comment(body: NewComment, request: Request) -> JSONResponse:
    """Say something about a prim, or answer."""
    who = need(request, "comment")
    context = twin(request)
    _, user = await context.author(who, body.session)
    host = context.host

    def add() -> CommentDoc:
        return host.comments.add(host.renames.called_now(body.path), body.text, user, _owner(who), parent=body.parent)

    doc = await context.owner(add)
    answer = _told(context, doc)
    answer.status_code = 201
    return answer


@router.patch("/api/comments/{id}")
async def change(id: Id, body: CommentChange, request: Request) -> JSONResponse:
    """Change one's own words, or settle a thread."""
    who = need(request, "comment")
    context = twin(request)
    _, user = await context.author(who, body.session)

    def work() -> CommentDoc:
        doc = None
        if body.text is not None:
            doc = context.host.comments.change(id, body.text, {_owner(who), who.key})
        if body.resolved is not None or doc is None:
            doc = context.host.comments.resolve(id, user, resolved=bool(body.resolved))
        return doc

    return _told(context, await context.owner(work))


@router.delete("/api/comments/{id}", status_code=204)
async def delete(id: Id, request: Request) -> Response:
    """Take back one's own comment, with the answers to it."""
    who = need(request, "comment")
    context = twin(request)
    own = {_owner(who), who.key}  # those from before people were told apart by name are their token's
    for doc in await context.owner(lambda: context.host.comments.delete(id, own, admin=may(who.role, "share"))):
        context.hub.publish(Commented(doc))
    return Response(status_code=204)
