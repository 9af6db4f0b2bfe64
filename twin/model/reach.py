"""Which types of items come to which node, as far as the line says so."""

from __future__ import annotations

import numpy as np

from twin.model.factory import FactoryModel, Node, NodeKind, RouterRule


def types_at(model: FactoryModel) -> np.ndarray:
    """Whether items of each type may come to each node, bool [N,T]: followed from the sources along successors and rework,
    through routers by type, and changed where a batch or a join leaves as an item of another type."""
    nodes = model.nodes
    come = np.zeros((len(nodes), max(len(model.item_types), 1)), bool)
    frontier = []
    for i, node in enumerate(nodes):
        if node.kind == NodeKind.SOURCE and node.items:
            weights = node.weights if sum(node.weights) > 0.0 else [1.0] * len(node.items)
            for prototype, share in zip(node.items, weights, strict=True):
                come[i, model.prototype_type[prototype]] |= share > 0.0
            frontier.append(i)
    while frontier:
        i = frontier.pop()
        for j, types in _onward(model, nodes[i], come[i]):
            if (types & ~come[j]).any():
                come[j] |= types
                frontier.append(j)
    return come


def _onward(model: FactoryModel, node: Node, types: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Where the types at a node go next."""
    if node.kind == NodeKind.ROUTER and node.rule == RouterRule.BY_TYPE and node.next:
        out = [(j, np.zeros_like(types)) for j in node.next]
        named = list(node.router_types)[: len(node.next)]
        for t in map(int, np.flatnonzero(types)):
            out[named.index(t) if t in named else -1][1][t] = True
        return out
    if node.kind == NodeKind.STATION and node.output >= 0:
        types = np.zeros_like(types)
        types[model.prototype_type[node.output]] = True
    return [(j, types) for j in (*node.next, *([node.rework] if node.rework >= 0 else []))]
