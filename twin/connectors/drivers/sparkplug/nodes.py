"""What a host application knows of the edge nodes: who is born, under which aliases, and which message comes next."""

from __future__ import annotations

from dataclasses import dataclass, field

from twin.connectors.drivers.sparkplug.wire import Metric, Payload, retyped

BD_SEQ = "bdSeq"


@dataclass
class Owner:
    """Whoever has metrics: an edge node, or a device behind it. ``by_alias``, ``types`` and ``fields`` come from its birth."""

    alive: bool = False
    by_alias: dict[int, str] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    fields: dict[str, int] = field(default_factory=dict)

    def born(self, metrics: list[Metric]) -> None:
        self.alive = True
        self.by_alias = {m.alias: m.name for m in metrics if m.alias is not None and m.name}
        self.types = {m.name: m.datatype for m in metrics if m.name}
        self.fields = {m.name: m.field for m in metrics if m.name}

    def name_of(self, metric: Metric) -> str | None:
        """Its name, by the alias where the message has only that; None where the birth did not tell it."""
        return metric.name or (None if metric.alias is None else self.by_alias.get(metric.alias))

    def complete(self, metric: Metric) -> Metric:
        """The metric with the data type that its birth gave, where the message leaves it out."""
        name = self.name_of(metric) or ""
        metric.name = name
        if not metric.datatype:
            metric.datatype = self.types.get(name, 0)
            metric.value = retyped(metric.value, metric.datatype)
        return metric


@dataclass
class Node(Owner):
    """An edge node with its devices. ``seq`` is that of its last message, ``bd_seq`` that of its birth."""

    seq: int | None = None
    bd_seq: int | None = None
    devices: dict[str, Owner] = field(default_factory=dict)

    def node_born(self, payload: Payload) -> None:
        self.born(payload.metrics)
        self.seq = payload.seq
        self.bd_seq = bd_seq(payload)
        for device in self.devices.values():
            device.alive = False

    def ends(self, payload: Payload) -> bool:
        """Whether a death belongs to the birth that is known; a late one of an earlier session does not."""
        told = bd_seq(payload)
        return self.alive and (told is None or self.bd_seq is None or told == self.bd_seq)

    def follows(self, seq: int | None) -> bool:
        """Whether a message is the next one; it is taken as the last one in either case."""
        expected = None if self.seq is None else (self.seq + 1) % 256
        self.seq = seq
        return seq is None or expected is None or seq == expected

    def owner(self, device: str | None) -> Owner:
        return self if device is None else self.devices.setdefault(device, Owner())


def bd_seq(payload: Payload) -> int | None:
    """The number that ties a death to its birth."""
    return next((m.value for m in payload.metrics if m.name == BD_SEQ and isinstance(m.value, int)), None)
