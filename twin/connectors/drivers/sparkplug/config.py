"""What a mapping says about a Sparkplug connection and about a signal on it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from twin.connectors.drivers.mqtt.config import MqttLogin
from twin.connectors.mapping import Seconds, Strict


def _name(value: str) -> str:
    if value == "+":
        return value
    if not value or any(c in value for c in "/+#\0"):
        raise ValueError(f"{value!r} is not a name (or + for any): no / + #")
    return value


Name = Annotated[str, AfterValidator(_name)]


class SparkplugOptions(MqttLogin):
    """Options of a connection.

    Attributes:
        host_id: Name of this host application; its state is published under it. Without it none is published.
        rebirth: Ask a node for its birth when it is not known, or when messages are missing. rebirth_pause: Not more often.
    """

    host_id: Name | None = None
    rebirth: bool = True
    rebirth_pause: Seconds = 5.0


class SparkplugSource(Strict):
    """A signal's source: a ``metric`` of an edge ``node``, or of a ``device`` behind it; ``+`` stands for any name."""

    group: Name
    node: Name
    device: Name | None = None
    metric: str = Field(min_length=1)

    def __str__(self) -> str:
        return "/".join(p for p in (self.group, self.node, self.device) if p) + f" {self.metric}"

    def captures(self, group: str, node: str, device: str | None) -> tuple[str, ...] | None:
        """What ``+`` stands for in these names; None where they do not match."""
        if (self.device is None) != (device is None):
            return None
        pairs = [(self.group, group), (self.node, node), (self.device, device)]
        if any(mine not in ("+", theirs) for mine, theirs in pairs):
            return None
        return tuple(str(theirs) for mine, theirs in pairs if mine == "+")
