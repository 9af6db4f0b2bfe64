"""What a mapping says about vehicles that speak VDA 5050 and about a signal of one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from twin.connectors.drivers.mqtt.config import MqttLogin
from twin.connectors.mapping import Seconds, Strict

Name = r"^(\+|[^/+#\x00]+)$"


class Vda5050Options(MqttLogin):
    """Options of a connection.

    Attributes:
        interface: First level of the topics. major: The version's level, ``v2`` or ``v3``; ``+`` listens to all.
        accept: How long a vehicle may take to accept an order or an instant action.
        patience: How long a vehicle may be silent; states come at least every 30 s.
    """

    interface: str = Field("uagv", pattern=r"^[^+#\x00]+$")
    major: str = Field("+", pattern=r"^(\+|v\d+)$")
    accept: Seconds = Field(5.0, gt=0.0)
    patience: Seconds = Field(45.0, gt=0.0)


Field_ = Literal[
    "x", "y", "theta", "map", "localized", "vx", "vy", "omega", "driving", "paused", "distance", "charge", "charging", "voltage",
    "mode", "order", "order_update", "last_node", "emergency_stop", "field_violation", "error", "errors", "load", "loads",
    "action", "connection", "order_out", "instant_action",
]  # fmt: skip


class Vda5050Source(Strict):
    """A signal's source: a vehicle by ``manufacturer`` and ``serial`` (``+`` for any), and either a ``field``, which means the
    same in all versions, or ``value``, a path into its state."""

    manufacturer: str = Field(pattern=Name)
    serial: str = Field(pattern=Name)
    field: Field_ | None = None
    value: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Vda5050Source:
        if (self.field is None) == (self.value is None):
            raise ValueError("give one of field and value")
        return self

    def __str__(self) -> str:
        return f"{self.manufacturer}/{self.serial} {self.field or self.value}"
