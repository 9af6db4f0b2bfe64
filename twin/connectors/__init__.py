"""Live connections to a plant: drivers deliver readings, supervisors keep them connected, the mapping says what is what."""

from twin.connectors.mapping import Mapping, load
from twin.connectors.plant import Plant
from twin.connectors.serve import publish_mqtt, publish_sparkplug, serve_opcua
from twin.connectors.supervisor import Timing

__all__ = ["Mapping", "Plant", "Timing", "load", "publish_mqtt", "publish_sparkplug", "serve_opcua"]
