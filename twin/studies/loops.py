"""Where a line came to a standstill: the loop of places of which each waits for room in the next."""

from __future__ import annotations

from collections.abc import Sequence

from twin.model.factory import FactoryModel
from twin.process.line import downstream


def locked_loop(model: FactoryModel, stuck: Sequence[str]) -> list[str]:
    """Prim paths of the shortest loop among the nodes whose items can never move on, each before the one that it waits for;
    empty where those nodes do not wait in a loop."""
    held = {i for i, n in enumerate(model.nodes) if n.path in set(stuck)}
    ahead = {i: [j for j in downstream(model, i) if j in held] for i in held}
    best: list[int] = []
    for start in sorted(held):
        before: dict[int, int] = {}
        frontier = [start]
        while frontier and start not in before:
            i = frontier.pop(0)
            for j in ahead[i]:
                if j not in before:
                    before[j] = i
                    frontier.append(j)
        if start in before:
            loop = [start]
            while (at := before[loop[-1]]) != start:
                loop.append(at)
            loop = [loop[0], *reversed(loop[1:])]
            if not best or len(loop) < len(best):
                best = loop
    return [model.nodes[i].path for i in best]


def loop_text(model: FactoryModel, stuck: Sequence[str]) -> str:
    """The loop in words: ``LatheB waits for room in TurnedRack, that for CarrierCell, that for LatheB``; empty where none."""
    loop = [path.rsplit("/", 1)[-1] for path in locked_loop(model, stuck)]
    if not loop:
        return ""
    if len(loop) == 1:
        return f"{loop[0]} waits for itself"
    return f"{loop[0]} waits for room in {', that for '.join([*loop[1:], loop[0]])}"
