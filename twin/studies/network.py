"""The line as a drawing: which nodes are worth drawing, what flows between them, and where each stands on the page."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from twin.model.factory import FactoryModel, NodeKind
from twin.studies.results import PointResult

SCRAP = -1
"""Stands for "scrapped at the station" where nodes are numbered."""


@dataclass(frozen=True)
class Link:
    """``pieces`` move from node ``begin`` to node ``end`` (mean over replications, within the horizon)."""

    begin: int
    end: int
    pieces: float
    backward: bool = False


@dataclass
class Network:
    """Nodes that are drawn, by index in the model (``SCRAP`` too).

    Attributes:
        columns: Nodes from left to right, each from top to bottom.
        links: Between drawn nodes; what only passes goods on from one node to one other is left out.
    """

    columns: list[list[int]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


def flow_network(result: PointResult) -> Network | None:
    """What moves through the line of a point; None where that was not counted."""
    moved = result.moved
    if not len(moved) or np.isnan(moved).any():
        return None
    model = result.point.runnable
    items = {(int(i), int(j)): float(v) for (i, j), v in zip(result.paths, moved, strict=True) if v > 0.0}
    pieces = _in_pieces(model, items)
    for i, amount in _scrapped(model, result, items).items():
        pieces[(i, SCRAP)] = amount
    return _laid_out(model, _shortened(model, pieces))


def station_network(model: FactoryModel, links: list[tuple[int, int]]) -> Network:
    """Stations and which follows which, laid out from left to right."""
    stations = [i for i, n in enumerate(model.nodes) if n.kind == NodeKind.STATION]
    return _laid_out(model, dict.fromkeys(links, 1.0), stations)


def _in_pieces(model: FactoryModel, items: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    """Items as pieces: one that leaves a packing or joining station holds all that went into it."""
    holds = np.ones(len(model.nodes))
    for _ in range(len(model.nodes) + 2):
        before = holds.copy()
        for i, node in enumerate(model.nodes):
            came = [(a, v) for (a, b), v in items.items() if b == i]
            total = sum(v for _, v in came)
            if total > 0.0:
                mean = sum(v * holds[a] for a, v in came) / total
                packs = node.kind == NodeKind.STATION and node.output >= 0
                holds[i] = mean * (len(node.joins) or max(node.batch_size, 1)) if packs else mean
        if np.allclose(holds, before):
            break
    return {(i, j): v * float(holds[i]) for (i, j), v in items.items()}


def _scrapped(model: FactoryModel, result: PointResult, items: dict[tuple[int, int], float]) -> dict[int, float]:
    """Pieces scrapped at their station, by node: what it let go less what came on."""
    pieces = _in_pieces(model, items)
    out = {}
    for i, node in enumerate(model.nodes):
        if node.kind != NodeKind.STATION or node.scrap_rate <= 0.0 or not len(result.node_out):
            continue
        sent = sum(v for (a, _), v in items.items() if a == i)
        lost = float(result.node_out[i]) - sent
        if lost > 1e-9 and sent > 0.0:
            out[i] = lost * sum(v for (a, _), v in pieces.items() if a == i) / sent
    return out


def _shortened(model: FactoryModel, pieces: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    """Without conveyors and buffers that have one way in and one way out."""
    links = dict(pieces)
    for i, node in enumerate(model.nodes):
        if node.kind not in (NodeKind.CONVEYOR, NodeKind.BUFFER, NodeKind.FLEET):
            continue
        into = [k for k in links if k[1] == i]
        out = [k for k in links if k[0] == i]
        if len(into) == 1 and len(out) == 1 and into[0][0] != out[0][1] and (into[0][0], out[0][1]) not in links:
            amount = min(links.pop(into[0]), links[out[0]])
            links.pop(out[0])
            links[(into[0][0], out[0][1])] = amount
    return links


def _laid_out(model: FactoryModel, links: dict[tuple[int, int], float], nodes: list[int] | None = None) -> Network:
    used = sorted({n for link in links for n in link} | set(nodes or []), key=lambda n: (n == SCRAP, n))
    backward = _backward(used, links)
    depth = dict.fromkeys(used, 0)
    for _ in used:
        for i, j in links:
            if (i, j) not in backward:
                depth[j] = max(depth[j], depth[i] + 1)
    columns: list[list[int]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for n in used:
        columns[depth[n]].append(n)
    row = {n: float(k) for column in columns for k, n in enumerate(column)}
    for column in columns[1:]:
        # a node stands where those stand that feed it, so that few links cross
        wanted = {}
        for n in column:
            feeders = [(row[i], v) for (i, j), v in links.items() if j == n and (i, j) not in backward]
            total = sum(v for _, v in feeders)
            wanted[n] = sum(r * v for r, v in feeders) / total if total > 0.0 else row[n]
        column.sort(key=lambda n: (n == SCRAP, wanted[n]))
        row |= {n: float(k) for k, n in enumerate(column)}
    return Network(columns, [Link(i, j, v, (i, j) in backward) for (i, j), v in links.items()])


def _backward(nodes: list[int], links: dict[tuple[int, int], float]) -> set[tuple[int, int]]:
    """Links that lead back to where goods came from (rework), so that the rest has no cycle."""
    ahead: dict[int, list[int]] = {n: [] for n in nodes}
    for i, j in links:
        ahead[i].append(j)
    entered = {j for _, j in links}
    found: set[tuple[int, int]] = set()
    state: dict[int, int] = {}
    for root in sorted(nodes, key=lambda n: (n in entered, n == SCRAP, n)):
        if state.get(root):
            continue
        stack = [(root, iter(ahead[root]))]
        state[root] = 1
        while stack:
            at, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                state[at] = 2
                stack.pop()
            elif state.get(following, 0) == 1:
                found.add((at, following))
            elif not state.get(following):
                state[following] = 1
                stack.append((following, iter(ahead[following])))
    return found
