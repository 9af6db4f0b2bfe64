"""A line built in Python, without a stage: for scripts, tests and benchmarks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from twin.model.distributions import NEVER, Distribution, DistributionRow
from twin.model.factory import Crew, FactoryModel, Node, NodeKind, Shift, stream_id
from twin.model.rigid import Body, Prototype


class LineBuilder:
    """Adds nodes by name and links them; ``model`` is the result.

    Example:
        line = LineBuilder()
        line.source("S", saturated=True)
        line.station("M1", cycle=line.exponential(1.0))
        line.sink("K")
        line.chain("S", "M1", "K")
    """

    def __init__(self, item_length: float = 0.4) -> None:
        self.model = FactoryModel(name="line", item_types=[], prototype_type=[])
        self._length = item_length
        self._index: dict[str, int] = {}

    def item(self, type: str = "item", length: float | None = None) -> int:
        """Index of the prototype of ``type``, added where it is new."""
        if type not in self.model.item_types:
            self.model.item_types.append(type)
            half = np.array([(length or self._length) / 2.0, 0.1, 0.1])
            self.model.rigid.prototypes.append(Prototype(f"/{type}", type, Body(f"/{type}"), [], half, np.zeros(3)))
            self.model.prototype_type.append(self.model.item_types.index(type))
        return self.model.item_types.index(type)

    def constant(self, mean: float) -> int:
        return self.distribution(Distribution.CONSTANT, mean=mean)

    def exponential(self, mean: float) -> int:
        return self.distribution(Distribution.EXPONENTIAL, mean=mean)

    def erlang(self, mean: float, k: int) -> int:
        return self.distribution(Distribution.ERLANG, mean=mean, k=k)

    def distribution(self, kind: Distribution, **parameters: Any) -> int:
        """Row index of a distribution; parameters as in ``DistributionRow``."""
        return self.model.distributions.add(DistributionRow(kind, **parameters))

    def node(self, name: str, kind: NodeKind, **fields: Any) -> Node:
        """Add a node; ``fields`` as in ``Node``."""
        node = Node(f"/{name}", kind, stream_id(f"/{name}"), **fields)
        self._index[name] = len(self.model.nodes)
        self.model.nodes.append(node)
        return node

    def source(self, name: str, *, saturated: bool = False, interarrival: int = NEVER, types: tuple[str, ...] = ("item",),
               weights: tuple[float, ...] = (), **fields: Any) -> Node:  # fmt: skip
        items = [self.item(t) for t in types]
        shares = list(weights) or [1.0 / len(items)] * len(items)
        return self.node(
            name, NodeKind.SOURCE, saturated=saturated, interarrival=interarrival, items=items, weights=shares, **fields
        )

    def station(self, name: str, *, cycle: int | list[int], **fields: Any) -> Node:
        """``cycle`` is one row for all types, or a row per item type."""
        return self.node(name, NodeKind.STATION, cycle=[cycle] if isinstance(cycle, int) else cycle, **fields)

    def buffer(self, name: str, capacity: int, **fields: Any) -> Node:
        return self.node(name, NodeKind.BUFFER, capacity=capacity, **fields)

    def conveyor(self, name: str, *, length: float, speed: float, **fields: Any) -> Node:
        return self.node(name, NodeKind.CONVEYOR, length=length, speed=speed, **fields)

    def router(self, name: str, **fields: Any) -> Node:
        return self.node(name, NodeKind.ROUTER, **fields)

    def sink(self, name: str, **fields: Any) -> Node:
        return self.node(name, NodeKind.SINK, **fields)

    def fleet(self, name: str, size: int, *, speed: float, ways: dict[tuple[str, str], float], **fields: Any) -> Node:
        """Vehicles; ``ways`` are distances [m] between nodes already added, either way, the fleet's own name standing for
        where they begin. Others are found along those."""
        stops = sorted({n for pair in ways for n in pair} - {name}, key=self.index)
        places = [*stops, name]
        far = np.full((len(places), len(places)), np.inf)
        np.fill_diagonal(far, 0.0)
        for (a, b), metres in ways.items():
            far[places.index(a), places.index(b)] = far[places.index(b), places.index(a)] = metres
        for via in range(len(places)):
            far = np.minimum(far, far[:, via : via + 1] + far[via : via + 1, :])
        return self.node(name, NodeKind.FLEET, servers=size, speed=speed, stops=[self.index(n) for n in stops],
                         ways=far[:, : len(stops)].tolist(), **fields)  # fmt: skip

    def shift(self, *patterns: str) -> int:
        """Index of a new weekly calendar, like ``mon-fri 06:00-14:00``."""
        self.model.shifts.append(Shift(f"/Shift{len(self.model.shifts)}", list(patterns)))
        return len(self.model.shifts) - 1

    def crew(self, size: int, *, shift: int = -1) -> int:
        """Index of a new crew of ``size`` people."""
        self.model.crews.append(Crew(f"/Crew{len(self.model.crews)}", size, shift))
        return len(self.model.crews) - 1

    def chain(self, *names: str) -> None:
        """Each leads to the next; called again, a node gets further successors."""
        for a, b in itertools.pairwise(names):
            self.model.nodes[self._index[a]].next.append(self._index[b])

    def index(self, name: str) -> int:
        return self._index[name]


def serial_line(stations: int, buffer: int, *, k: int = 1, rates: list[float] | None = None) -> FactoryModel:
    """A saturated source, ``stations`` with Erlang-``k`` cycles (mean 1/rate s) and ``buffer`` slots between them, a sink."""
    line = LineBuilder()
    line.source("S", saturated=True)
    names = ["S"]
    for i, rate in enumerate(rates or [1.0] * stations):
        line.station(f"M{i}", cycle=line.erlang(1.0 / rate, k))
        names.append(f"M{i}")
        if i < stations - 1 and buffer > 0:
            line.buffer(f"B{i}", buffer)
            names.append(f"B{i}")
    line.sink("K")
    line.chain(*names, "K")
    return line.model
