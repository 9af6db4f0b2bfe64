"""What the routes share: the running twin, and who is asking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import HTTPException, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import JSONResponse

from twin.collab import Identity, Outcome, may
from twin.protocol.messages import History
from twin.server.host import Host
from twin.server.hub import Hub
from twin.server.limits import Tries

T = TypeVar("T")
Id = Annotated[int, PathParameter(ge=0, lt=2**63)]
"""Number of something in an address; what SQLite can hold."""
Nanoseconds = Annotated[int, Query(ge=-(2**63), lt=2**63)]


@dataclass(frozen=True)
class Context:
    """``cookie`` is the cookie's name, ``public`` the origin of ``--public-url`` or empty; ``tries`` are failed sign-ins."""

    host: Host
    hub: Hub
    cookie: str
    public: str
    tries: Tries = field(default_factory=Tries)

    def secure(self, request: Request) -> bool:
        """Whether cookies are for encrypted connections only."""
        return request.url.scheme == "https" or self.public.startswith("https:")

    def origin(self, request: Request) -> str:
        """Address that the browser sees."""
        return self.public or f"{request.url.scheme}://{request.headers['host']}"

    async def owner(self, fn: Callable[[], T]) -> T:
        """Run ``fn`` on the thread that owns the stage."""
        result: T = await asyncio.wrap_future(self.host.on_owner(fn))
        return result

    async def commit(self, fn: Callable[[], tuple[Outcome, list[Any]]]) -> Outcome:
        """Do an edit on the owner's thread and tell everybody, in the order in which edits happen."""

        def tell(outcome: Outcome, told: list[Any]) -> None:
            for event in told:
                self.hub.post(self.hub.publish, event)
            if outcome.entry is not None:
                # the author's page can take it back
                session = outcome.entry.session
                self.hub.post(self.hub.tell, session, History(*self.host.document.undo_labels(session)))

        return await self.hub.outcome(self.host.commits.commit(fn, tell))

    async def author(self, who: Identity, session: str) -> tuple[str, str]:
        """Session and name that an edit by HTTP counts for: a tab's own, so that its undo knows of it, else the token's."""
        known = await self.owner(lambda: self.host.document.journal.session(session, who.key)) if session else None
        return (session, known[0]) if known else (f"http-{who.key}", named(who))


def twin(request: Request) -> Context:
    """The running twin behind a request."""
    context: Context = request.app.state.context
    return context


def need(request: Request, action: str, *, counts: bool = True) -> Identity:
    """Who is asking, if they may do it. ``counts``: a request that is no GET is one of their changes.

    Raises:
        HTTPException: 403; 429 where it is a change, and they have made too many just now.
    """
    who: Identity = request.scope["who"]
    if not may(who.role, action):
        raise HTTPException(403, f"your role does not allow to {action}")
    if counts and request.method != "GET" and (why := twin(request).host.quotas.edit(who)):
        raise HTTPException(429, why)
    return who


def named(who: Identity) -> str:
    """What somebody is called in lists that outlast the session."""
    return who.user or who.label or ("admin" if who.key == "project" else f"{who.role} {who.key}")


def answer(outcome: Outcome) -> JSONResponse:
    """An edit's outcome: the number it got, or 409 with the reason."""
    if outcome.refusal is not None:
        return JSONResponse({"error": outcome.refusal.reason, "code": outcome.refusal.code}, status_code=409)
    return JSONResponse({"seq": outcome.entry.seq if outcome.entry else 0})


def json_body(value: Any) -> Any:
    """Integers beyond 2^53 are text in JSON, where a browser would round them."""
    if isinstance(value, dict):
        return {key: str(v) if key.endswith("_ns") else json_body(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_body(v) for v in value]
    return value
