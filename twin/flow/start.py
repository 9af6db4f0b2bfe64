"""Where a run begins: an empty line, a line as it was found, or one that was kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import warp as wp

from twin.core.errors import InputError
from twin.flow.forks import Given
from twin.model.factory import FactoryModel, NodeKind
from twin.process.line import slots_of


@dataclass(frozen=True)
class Standing:
    """An item that stands on the line.

    Attributes:
        node: Prim path of the station, buffer or conveyor. type: item type.
        pieces: What it counts for. age_s: how long it has been on the line [s].
        along: How far along a conveyor its centre is, 0 to 1. done: its work in the station is done, it waits to leave.
        elapsed_s: How long its cycle has lasted [s]; None: it begins now.
        origin: Where it came from, for an assembly station that takes one from each.
    """

    node: str
    type: str
    pieces: int = 1
    age_s: float = 0.0
    along: float = 0.0
    done: bool = False
    elapsed_s: float | None = None
    origin: str = ""


@dataclass
class LineState:
    """A line as it was found at time 0.

    Attributes:
        items: In buffers the one to leave first comes first, on conveyors the one nearest to the end.
        down: Stations under repair: prim path to how long they have been down [s].
        uptime: Stations that fail: prim path to how long the clock of the failure to come has run [s]; those that are not named
            begin a new one.
    """

    items: list[Standing] = field(default_factory=list)
    down: dict[str, float] = field(default_factory=dict)
    uptime: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_levels(cls, model: FactoryModel, levels: Iterable[int], *, down: Iterable[str] = ()) -> LineState:
        """The line of which only the items in each node are known, [N]: of the first type, spread over conveyors, their cycles
        just begun."""
        items = []
        for node, level in zip(model.nodes, levels, strict=True):
            if node.kind in (NodeKind.STATION, NodeKind.BUFFER, NodeKind.CONVEYOR):
                items += [Standing(node.path, model.item_types[0], along=1.0 - (i + 0.5) / level) for i in range(level)]
        return cls(items, dict.fromkeys(down, 0.0))

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for a file or the network."""
        return {"items": [asdict(item) for item in self.items], "down": dict(self.down), "uptime": dict(self.uptime)}

    @classmethod
    def from_dict(cls, data: Any) -> LineState:
        """What ``as_dict`` gave. Raises InputError."""
        try:
            items = [Standing(**item) for item in data["items"]]
            down, uptime = (
                {str(path): float(seconds) for path, seconds in ages.items()} for ages in (data["down"], data.get("uptime", {}))
            )
            return cls(items, down, uptime)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(f"it does not describe what stands on a line: {error}") from error

    def arrays(self, model: FactoryModel, device: wp.Device) -> tuple[Any, Any, Any, int, int]:
        """``Given``; the stations that are down, then those whose time to failure has run, for how long each [us], and how many
        of both there are.

        Raises:
            InputError: It names what the model does not have, or more than there is room for.
        """
        index = {node.path: i for i, node in enumerate(model.nodes)}
        rows: list[tuple[Any, ...]] = []
        count: dict[str, int] = {}
        for item in self.items:
            if item.node not in index:
                raise InputError("the start names a node that the line does not have", prim=item.node)
            if item.type not in model.item_types:
                raise InputError(f"the start names the item type {item.type!r}", prim=item.node, allowed=model.item_types)
            node = model.nodes[index[item.node]]
            count[item.node] = count.get(item.node, 0) + 1
            room = {
                NodeKind.STATION: node.servers * (len(node.joins) or node.batch_size),
                NodeKind.BUFFER: node.capacity if node.capacity >= 0 else None,
                NodeKind.CONVEYOR: None,
            }
            if node.kind not in room:
                raise InputError("only stations, buffers and conveyors can hold items at the start", prim=item.node)
            most = room[node.kind]
            if most is not None and count[item.node] > most:
                raise InputError(f"the start puts {count[item.node]} items where {most} have room", prim=item.node)
            if node.joins and item.origin not in [model.nodes[j].path for j in node.joins]:
                allowed = [model.nodes[j].path for j in node.joins]
                raise InputError("the start must say where an item of an assembly came from", prim=item.node, allowed=allowed)
            along = item.along * node.length / node.speed if node.kind == NodeKind.CONVEYOR else 0.0
            elapsed = -1.0 if item.elapsed_s is None else item.elapsed_s * 1e6
            rows.append(
                (index[item.node], model.prototype_type.index(model.item_types.index(item.type)), item.pieces, item.age_s * 1e6,
                 along * 1e6, item.done, elapsed, index.get(item.origin, -1))
            )  # fmt: skip
        names = ("node", "prototype", "pieces", "age_us", "along_us", "done", "elapsed_us", "origin")
        given = Given()
        given.count = len(rows)
        for i, name in enumerate(names):
            wide = name.endswith("_us")
            column = np.array([row[i] for row in rows] or [0], np.int64 if wide else np.int32)
            setattr(given, name, wp.array(column, dtype=wp.int64 if wide else wp.int32, device=device))
        for path in self.down:
            at = model.nodes[index[path]] if path in index else None
            if at is None or at.kind != NodeKind.STATION or at.time_to_failure < 0:
                raise InputError("the start says that it is down, but it is no station that fails", prim=path)
        for path in self.uptime:
            at = model.nodes[index[path]] if path in index else None
            if at is None or at.time_to_failure < 0 or path in self.down:
                raise InputError("the start says how long it has worked, but it is no station that fails, or is down", prim=path)
        nodes = np.array([index[path] for path in (*self.down, *self.uptime)] or [0], np.int32)
        since = np.array([s * 1e6 for s in (*self.down.values(), *self.uptime.values())] or [0], np.int64)
        return (
            given,
            wp.array(nodes, dtype=wp.int32, device=device),
            wp.array(since, dtype=wp.int64, device=device),
            len(self.down),
            len(self.uptime),
        )


@dataclass
class Snapshot:
    """Replications of a line as they stood at one moment.

    Attributes:
        time_us: Simulated time [us]. settings: what the run was made with. arrays: the state by name, [R,...].
    """

    time_us: int
    settings: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def replications(self) -> int:
        return len(self.arrays["rep"])

    def save(self, path: Path) -> None:
        """Write it as one ``.npz`` file."""
        header = json.dumps({"time_us": self.time_us, "settings": self.settings})
        with path.open("wb") as file:
            np.savez_compressed(file, **{"header": np.array(header), **self.arrays})  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """Read what ``save`` wrote. Raises InputError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                arrays = {name: file[name] for name in file.files if name != "header"}
            return cls(header["time_us"], header["settings"], arrays)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"it is not a snapshot of a line: {error}", file=str(path)) from error


def layout_of(model: FactoryModel) -> list[list[Any]]:
    """What a model must have in common with a snapshot's to go on from it: its nodes and their places."""
    return [
        [node.path, int(node.kind), slots_of(node), node.time_to_failure >= 0, len(node.joins) or node.batch_size]
        for node in model.nodes
    ]
