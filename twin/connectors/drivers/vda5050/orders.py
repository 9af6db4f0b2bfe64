"""Orders and instant actions, as VDA 5050 2.x and 3.0 want them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

VERSIONS = {2: "2.1.0", 3: "3.0.0"}
"""What is written into messages, by major version."""


class _Part(BaseModel):
    # a vehicle may know more than we do: what is unknown goes through
    model_config = ConfigDict(extra="allow")


class Action(_Part):
    """Something to be done at a node, on an edge, or at once. ``blockingType``: HARD where an order names none, NONE at once."""

    actionId: str = Field(default_factory=lambda: uuid.uuid4().hex, min_length=1)  # noqa: N815
    actionType: str = Field(min_length=1)  # noqa: N815
    blockingType: Literal["NONE", "SOFT", "SINGLE", "HARD"] | None = None  # noqa: N815
    actionParameters: list[dict[str, Any]] | None = None  # noqa: N815


class Place(_Part):
    """Of a node [m, rad] on a map."""

    x: float
    y: float
    mapId: str  # noqa: N815


class Node(_Part):
    """A node to be passed. ``released``: part of the base, not only of the horizon."""

    nodeId: str = Field(min_length=1)  # noqa: N815
    sequenceId: int = Field(ge=0)  # noqa: N815
    released: bool
    actions: list[Action] = []
    nodePosition: Place | None = None  # noqa: N815


class Edge(_Part):
    """Between two nodes of an order."""

    edgeId: str = Field(min_length=1)  # noqa: N815
    sequenceId: int = Field(ge=0)  # noqa: N815
    released: bool
    actions: list[Action] = []
    startNodeId: str | None = None  # noqa: N815
    endNodeId: str | None = None  # noqa: N815


class Order(_Part):
    """An order without its header: nodes with even, edges with odd sequence numbers, a base, then perhaps a horizon."""

    orderId: str = Field(default_factory=lambda: uuid.uuid4().hex, min_length=1)  # noqa: N815
    orderUpdateId: int = Field(0, ge=0)  # noqa: N815
    nodes: list[Node] = Field(min_length=1)
    edges: list[Edge] = []

    @model_validator(mode="after")
    def _chain(self) -> Order:
        if len(self.edges) != len(self.nodes) - 1:
            raise ValueError(f"{len(self.nodes)} nodes need {len(self.nodes) - 1} edges, not {len(self.edges)}")
        first = self.nodes[0].sequenceId
        parts: list[Node | Edge] = sorted([*self.nodes, *self.edges], key=lambda p: p.sequenceId)
        if [p.sequenceId for p in parts] != list(range(first, first + len(parts))) or first % 2:
            raise ValueError("sequenceIds count up by one, nodes even and edges odd")
        if any(isinstance(p, Edge) != bool(p.sequenceId % 2) for p in parts):
            raise ValueError("nodes have even sequenceIds and edges odd ones")
        if not self.nodes[0].released:
            raise ValueError("the first node belongs to the base: it is released")
        flags = [p.released for p in parts]
        if sorted(flags, reverse=True) != flags:
            raise ValueError("what is released comes before what is not")
        return self


def order_over(nodes: Sequence[tuple[str, float, float]], map_id: str, *, released: int | None = None) -> Order:
    """An order that passes ``nodes`` (id, x [m], y [m]) one after another.

    Args:
        released: How many of the nodes are the base; None: all.
    """
    base = len(nodes) if released is None else released
    stops = [
        Node(nodeId=name, sequenceId=2 * i, released=i < base, nodePosition=Place(x=x, y=y, mapId=map_id))
        for i, (name, x, y) in enumerate(nodes)
    ]
    edges = [Edge(edgeId=f"{a.nodeId}-{b.nodeId}", sequenceId=a.sequenceId + 1, released=b.released) for a, b in pairwise(stops)]
    return Order(orderUpdateId=0, nodes=stops, edges=edges)


def _body(part: BaseModel) -> dict[str, Any]:
    return part.model_dump(exclude_none=True)


def header(number: int, major: int, manufacturer: str, serial: str, now_ns: int) -> dict[str, Any]:
    """The header of a message to a vehicle."""
    moment = datetime.fromtimestamp(now_ns / 1e9, UTC)
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
    version = VERSIONS.get(major, f"{major}.0.0")
    return {"headerId": number, "timestamp": stamp, "version": version, "manufacturer": manufacturer, "serialNumber": serial}


def order_message(order: Order, head: dict[str, Any], major: int) -> dict[str, Any]:
    """The order as a vehicle of a major version wants it: 2.x names both ends of an edge."""
    body = _body(order)
    nodes = sorted(body["nodes"], key=lambda n: n["sequenceId"])
    for part in (*nodes, *body["edges"]):
        for action in part["actions"]:
            action.setdefault("blockingType", "HARD")
    for edge in body["edges"]:
        if major < 3:
            at = (edge["sequenceId"] - nodes[0]["sequenceId"] - 1) // 2
            edge.setdefault("startNodeId", nodes[at]["nodeId"])
            edge.setdefault("endNodeId", nodes[at + 1]["nodeId"])
        else:
            edge.pop("startNodeId", None)
            edge.pop("endNodeId", None)
    return head | body


def action_message(action: Action, head: dict[str, Any]) -> dict[str, Any]:
    """One instant action. Implementations of 2.0 disagree on the list's name, so a vehicle of 2.0 is given both."""
    actions = [{"blockingType": "NONE"} | _body(action)]
    message = head | {"actions": actions}
    return message | {"instantActions": actions} if str(head["version"]).startswith("2.0") else message
