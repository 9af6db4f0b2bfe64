"""Values that are authored but that the line, as it is, never reads: each a note with the reason."""

from __future__ import annotations

from pxr import Usd

from twin.core.findings import Findings
from twin.model.distributions import NEVER
from twin.model.factory import FactoryModel, Node, NodeKind, RouterRule
from twin.model.reach import types_at
from twin.scene.distributions import PARAMETERS

CODE = "not-read"


def note_unread(prims: list[Usd.Prim], model: FactoryModel, general: dict[int, int]) -> None:
    """Fill ``model.unread``: which authored values have no effect.

    Args:
        prims: Those of the model's nodes, in their order.
        general: Row of the general cycle time of each station, by its index, that has times by type as well.
    """
    findings = Findings(model.unread)
    come = types_at(model)
    for i, (prim, node) in enumerate(zip(prims, model.nodes, strict=True)):
        types = [t for t, comes in enumerate(come[i]) if comes]
        if node.kind == NodeKind.STATION:
            if types and i in general and general[i] not in [node.cycle[t] for t in types]:
                own = ", ".join(f"cycleTime:type:{model.item_types[t]}" for t in types)
                reason = f"it is overruled by {own}: every type that comes here has a time of its own"
                _note(prim, "twin:station:cycleTime", reason, findings)
            if len(types) == 1:
                reason = f"set-ups are between types, and only {model.item_types[types[0]]} comes here"
                _note(prim, "twin:station:setupTime", reason, findings)
            _staff(prim, node, findings)
        elif node.kind == NodeKind.SOURCE and node.saturated:
            _note(prim, "twin:source:interarrival", "twin:source:saturated is on: it always has an item", findings)
        elif node.kind == NodeKind.ROUTER and node.rule != RouterRule.PROBABILITY:
            _note(prim, "twin:router:weights", "only the rule probability reads weights", findings)
        elif node.kind == NodeKind.FLEET and node.battery_time == NEVER:
            _note(prim, "twin:fleet:chargeTime", "without twin:fleet:batteryTime its vehicles never charge", findings)


def _staff(prim: Usd.Prim, node: Node, findings: Findings) -> None:
    if node.time_to_failure == NEVER:
        for name in ("timeToRepair", "failureMode", "repairSkill"):
            _note(prim, f"twin:station:{name}", "without twin:station:timeToFailure it never fails", findings)
    if node.crew < 0:
        for name in ("crewSize", "skill"):
            _note(prim, f"twin:station:{name}", "no twin:station:crew is named: nobody is needed", findings)


def _note(prim: Usd.Prim, name: str, reason: str, findings: Findings) -> None:
    for suffix in ("", ":distribution", *(f":{p}" for p in PARAMETERS)):
        attribute = prim.GetAttribute(f"{name}{suffix}")
        if attribute and attribute.HasAuthoredValue():
            findings.info(attribute.GetPath(), CODE, reason)
