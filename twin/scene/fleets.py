"""Where vehicles drive: the curves of a fleet as a graph, and the distances between the places that it serves."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

import numpy as np

from twin.model.factory import FactoryModel, Node, NodeKind, fleet_stops
from twin.scene.frames import rotation_of

JOINED_M = 0.05
"""Ends of ways this close to another way meet it [m]; in small networks a five-hundredth of their extent."""


@dataclass
class Network:
    """Where a fleet drives.

    Attributes:
        stops: The nodes it serves, as indices.
        ways: Distance [m] from each, and last from where its vehicles begin (the fleet's own place, else the first way's begin),
            to each: [S + 1][S]; infinite where no way leads.
        tracks: The same as polylines [P,3] m; empty where no way leads.
        lost: Nodes it should serve that have no place.
    """

    stops: list[int]
    ways: list[list[float]]
    tracks: list[list[np.ndarray]]
    lost: list[int]


def network(model: FactoryModel, index: int, ways: list[np.ndarray]) -> Network:
    """Where fleet ``index`` drives.

    Args:
        ways: Polylines, each [P,3] m in the world, driven both ways; none: straight lines between the stops.
    """
    fleet = model.nodes[index]
    stops = fleet_stops(model, index)
    lost = [i for i in stops if model.nodes[i].zone is None]
    stops = [i for i in stops if i not in lost]
    places = [_place(model.nodes[i], fetch=index in _leads_to(model, i)) for i in stops]
    if fleet.zone is not None:
        places.append(np.asarray(fleet.zone.floor, float))
    elif ways:
        places.append(ways[0][0])
    else:
        places.append(places[0] if places else np.zeros(3))
    if not ways:
        points = np.array(places)
        far = np.linalg.norm(points[:, None] - points[None], axis=2)
        tracks = [[np.array([a, b]) for b in places] for a in places]
    else:
        far, tracks = _along(ways, places)
    return Network(stops, far[:, : len(stops)].tolist(), [row[: len(stops)] for row in tracks], lost)


def _leads_to(model: FactoryModel, index: int) -> set[int]:
    """Nodes that an item may go to from node ``index``, routers included and seen through."""
    seen: set[int] = set()
    frontier = [*model.nodes[index].next, *([model.nodes[index].rework] if model.nodes[index].rework >= 0 else [])]
    while frontier:
        at = frontier.pop()
        if at not in seen:
            seen.add(at)
            if model.nodes[at].kind == NodeKind.ROUTER:
                frontier += model.nodes[at].next
    return seen


def _place(node: Node, *, fetch: bool) -> np.ndarray:
    """Where a vehicle stops [3] m: at a conveyor's end to fetch, at its beginning to deliver; else at the zone's middle."""
    assert node.zone is not None
    if node.kind != NodeKind.CONVEYOR:
        return np.asarray(node.zone.floor, float)
    along = rotation_of(np.asarray(node.zone.rotation))[0] * node.zone.half_extents[0]
    return np.asarray(node.zone.floor, float) + (along if fetch else -along)


def _along(ways: list[np.ndarray], places: list[np.ndarray]) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """Shortest distances [m] between places, each taken to the nearest point of a way, and the polylines [P,3] m there; infinite
    and empty where none leads."""
    corners = np.vstack(ways)
    joined = min(JOINED_M, float(np.ptp(corners, axis=0).max()) / 500.0)
    segments = [(a, b) for way in ways for a, b in itertools.pairwise(way)]
    cuts: list[list[tuple[float, int]]] = [[] for _ in segments]
    points: list[np.ndarray] = []

    def vertex(point: np.ndarray) -> int:
        for i, known in enumerate(points):
            if np.linalg.norm(known - point) <= joined:
                return i
        points.append(point)
        return len(points) - 1

    for i, (a, b) in enumerate(segments):
        cuts[i] += [(0.0, vertex(a)), (1.0, vertex(b))]
    for end in [p for way in ways for p in (way[0], way[-1])]:
        for i, (a, b) in enumerate(segments):
            share = _nearest(a, b, end)
            if 0.0 < share < 1.0 and np.linalg.norm(a + share * (b - a) - end) <= joined:
                cuts[i].append((share, vertex(end)))
    at = []
    for place in places:
        shares = [_nearest(a, b, place) for a, b in segments]
        feet = [a + share * (b - a) for (a, b), share in zip(segments, shares, strict=True)]
        best = int(np.argmin([np.linalg.norm(foot - place) for foot in feet]))
        at.append(vertex(feet[best]))
        cuts[best].append((shares[best], at[-1]))
    edges: list[list[tuple[int, float]]] = [[] for _ in points]
    for cut in cuts:
        row = sorted(cut)
        for (_, i), (_, j) in itertools.pairwise(row):
            if i != j:
                length = float(np.linalg.norm(points[i] - points[j]))
                edges[i].append((j, length))
                edges[j].append((i, length))
    far = np.full((len(at), len(at)), np.inf)
    tracks = []
    for i, start in enumerate(at):
        metres, before = _shortest(edges, start)
        far[i] = metres[at]
        tracks.append([np.array(_back(points, before, goal)) if np.isfinite(metres[goal]) else np.zeros((0, 3)) for goal in at])
    return far, tracks


def _back(points: list[np.ndarray], before: list[int], goal: int) -> list[np.ndarray]:
    """The points passed on the way to vertex ``goal``."""
    passed = [goal]
    while before[passed[-1]] >= 0:
        passed.append(before[passed[-1]])
    return [points[i] for i in reversed(passed)]


def _nearest(a: np.ndarray, b: np.ndarray, point: np.ndarray) -> float:
    """Share of the way from ``a`` to ``b`` at which it is nearest to a point."""
    along = b - a
    return float(np.clip((point - a) @ along / max(float(along @ along), 1e-18), 0.0, 1.0))


def _shortest(edges: list[list[tuple[int, float]]], start: int) -> tuple[np.ndarray, list[int]]:
    """Distances from one vertex to all (Dijkstra), and from which vertex each is reached, -1 for the first."""
    before = [-1] * len(edges)
    far = np.full(len(edges), np.inf)
    far[start] = 0.0
    queue = [(0.0, start)]
    while queue:
        metres, at = heapq.heappop(queue)
        if metres > far[at]:
            continue
        for other, length in edges[at]:
            if metres + length < far[other]:
                far[other] = metres + length
                before[other] = at
                heapq.heappush(queue, (metres + length, other))
    return far, before
