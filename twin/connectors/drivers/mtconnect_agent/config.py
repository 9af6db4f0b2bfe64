"""What a mapping says about an MTConnect agent and about a signal of it."""

from __future__ import annotations

from pydantic import Field

from twin.connectors.mapping import Seconds, Strict


class AgentOptions(Strict):
    """Options of a connection.

    Attributes:
        device: Name or uuid of the device where the agent serves several.
        interval: Shortest time between two parts of the stream. heartbeat: Longest; after 2.5 of them in silence the agent
            is gone.
        count: Observations asked for at once.
        backfill: So many of the newest observations in the agent's buffer are read anew at each connection, so that a
            short interruption leaves no hole; what history holds already counts once.
        ca_file: Certificates that are trusted, for ``mtconnects://``.
    """

    device: str | None = None
    interval: Seconds = Field(0.1, ge=0.0)
    heartbeat: Seconds = Field(10.0, ge=0.01)
    count: int = Field(1000, ge=1, le=100_000)
    backfill: int = Field(10_000, ge=0)
    ca_file: str | None = None


class AgentSource(Strict):
    """A signal's source: a data ``item`` by its id or name; ``index`` picks one number of several (a 3-D item)."""

    item: str = Field(min_length=1)
    index: int | None = Field(None, ge=0)

    def __str__(self) -> str:
        return self.item if self.index is None else f"{self.item}[{self.index}]"
