"""What a mapping says about devices that send to the twin."""

from __future__ import annotations

from pydantic import Field

from twin.connectors.mapping import Strict
from twin.connectors.payload import PayloadSource
from twin.connectors.stamps import ZoneName


class HttpOptions(Strict):
    """Options of a connection. ``secret``: what a sender must show; ``max_bytes``: the largest payload that is taken."""

    secret: str | None = Field(None, min_length=8)
    max_bytes: int = Field(1_000_000, ge=1)
    timezone: ZoneName = "UTC"


class HttpSource(PayloadSource):
    """A signal's source: the ``channel`` below the connection's address, empty for that itself, and where in the payload."""

    channel: str = ""

    def __str__(self) -> str:
        return f"{self.channel or '(root)'} {self.value or ''}".rstrip()
