"""What a mapping says about an MTConnect adapter and about a signal on it."""

from __future__ import annotations

from pydantic import Field

from twin.connectors.mapping import Seconds, Strict
from twin.connectors.stamps import ZoneName


class MtconnectOptions(Strict):
    """Options of a connection.

    Attributes:
        devices: Device model (Devices.xml), relative to the mapping: categories and units of the data items.
        device: Name of the device where the model has several, and the prefix ``device:`` of items that is understood.
        heartbeat: Asked of the adapter until it says its own; an adapter that never answers is not watched.
        timezone: Of stamps that name none.
    """

    devices: str | None = None
    device: str | None = None
    heartbeat: Seconds = Field(10.0, gt=0.0)
    timezone: ZoneName = "UTC"


class MtconnectSource(Strict):
    """A signal's source: a data ``item`` by the name that the adapter sends; ``index`` picks one number of a 3-D item."""

    item: str = Field(min_length=1)
    index: int | None = Field(None, ge=0, le=2)

    def __str__(self) -> str:
        return self.item if self.index is None else f"{self.item}[{self.index}]"
