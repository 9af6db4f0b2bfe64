"""What the line engine has to say about a model before it runs it."""

from __future__ import annotations

import numpy as np

from twin.core.findings import Finding
from twin.model.factory import FactoryModel, Node, NodeKind, fleet_stops
from twin.model.shifts import switch_times
from twin.process.line import MAX_JOINS, upstream


def flow_findings(model: FactoryModel) -> list[Finding]:
    """What of the model the line engine does not simulate, or cannot run."""
    out = []
    for node in model.nodes:
        if node.kind == NodeKind.FLEET:
            out += _fleet_findings(model, node)
        if node.kind == NodeKind.CONVEYOR and node.speed <= 0.0:
            out.append(Finding("error", node.path, "no-speed", "twin:conveyor:speed must be above 0"))
        if node.kind == NodeKind.STATION:
            out += _people_findings(model, node) + _join_findings(model, node)
    if not any(n.kind == NodeKind.SOURCE for n in model.nodes):
        out.append(Finding("error", "/", "no-source", "the line has no source"))
    for shift in model.shifts:
        try:
            switch_times(shift.patterns)
        except ValueError as error:
            out.append(Finding("error", shift.path, "bad-pattern", str(error)))
    return out


def _people_findings(model: FactoryModel, node: Node) -> list[Finding]:
    """A crew too small for what is asked of it would never start."""
    out = []
    for attribute, crew, people in (("crew", node.crew, node.crew_size), ("repairCrew", node.repair_crew, 1)):
        if crew >= 0 and model.crews[crew].size < people:
            text = f"twin:station:{attribute} needs {people} people, {model.crews[crew].path} has {model.crews[crew].size}"
            out.append(Finding("error", node.path, "crew-too-small", text))
    if node.crew >= 0 and node.crew_size == 0:
        text = "twin:station:crewSize is 0: the crew named does nothing here"
        out.append(Finding("warning", node.path, "crew-without-size", text))
    return out


def _fleet_findings(model: FactoryModel, node: Node) -> list[Finding]:
    """A fleet that cannot drive where it is needed."""
    out = []
    if node.speed <= 0.0:
        out.append(Finding("error", node.path, "no-speed", "twin:fleet:speed must be above 0"))
    if not node.next:
        out.append(Finding("error", node.path, "dead-end", "a fleet needs a successor in twin:next to carry items to"))
    for index in fleet_stops(model, model.nodes.index(node)):
        other = model.nodes[index]
        if other.kind == NodeKind.FLEET:
            text = f"a fleet cannot hand over to {other.path}: put a buffer between"
            out.append(Finding("error", node.path, "fleet-to-fleet", text))
        elif index not in node.stops or not all(np.isfinite(row[node.stops.index(index)]) for row in node.ways):
            text = f"no way of twin:fleet:paths leads to {other.path}"
            out.append(Finding("error", node.path, "no-way", text))
    return out


def _join_findings(model: FactoryModel, node: Node) -> list[Finding]:
    if not node.joins:
        return []
    ahead = upstream(model, model.nodes.index(node))
    out = []
    for i in node.joins:
        if i not in ahead:
            text = f"twin:station:joins names {model.nodes[i].path}, from which nothing comes"
            out.append(Finding("error", node.path, "nothing-to-join", text))
    for i in ahead:
        if i not in node.joins:
            text = f"{model.nodes[i].path} leads here but twin:station:joins does not name it: its items are never taken"
            out.append(Finding("error", node.path, "not-joined", text))
    if len(node.joins) > MAX_JOINS or len(set(node.joins)) < len(node.joins):
        text = f"twin:station:joins names {len(node.joins)} nodes: up to {MAX_JOINS}, each once, can be joined"
        out.append(Finding("error", node.path, "too-many-joins", text))
    return out
