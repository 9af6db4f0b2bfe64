"""States of vehicles: what each field is called in VDA 5050 2.x and 3.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

UNITS = {
    "x": "m", "y": "m", "theta": "rad", "vx": "m/s", "vy": "m/s", "omega": "rad/s", "distance": "m", "charge": "%",
    "voltage": "V", "errors": "1", "loads": "1",
}  # fmt: skip
"""UCUM of the fields that are numbers; those of the specification."""
COMMANDS = ("order_out", "instant_action")
"""Fields that are only written."""
_LEVELS = ("WARNING", "URGENT", "CRITICAL", "FATAL")
_ACTIVE = ("RUNNING", "INITIALIZING", "PAUSED", "RETRIABLE")


class StateError(ValueError):
    """A message that does not say what it should; the message is a short reason."""


def _inside(document: dict[str, Any], *names: str) -> dict[str, Any]:
    """The object under the first of ``names`` that is there; empty where none is."""
    for name in names:
        found = document.get(name)
        if found is not None:
            if not isinstance(found, dict):
                raise StateError(f"has a {name} that is no object")
            return found
    return {}


def _position(s: dict[str, Any]) -> dict[str, Any]:
    return _inside(s, "mobileRobotPosition", "agvPosition")


def _power(s: dict[str, Any]) -> dict[str, Any]:
    return _inside(s, "powerSupply", "batteryState")


def _list(s: dict[str, Any], name: str) -> list[dict[str, Any]] | None:
    found = s.get(name)
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(f, dict) for f in found):
        raise StateError(f"has {name} that are no list of objects")
    return found


def _count(name: str) -> Callable[[dict[str, Any]], int | None]:
    return lambda s: None if (found := _list(s, name)) is None else len(found)


def _worst(s: dict[str, Any]) -> str | None:
    """The worst level of the errors that stand, ``NONE`` without any."""
    errors = _list(s, "errors")
    if errors is None:
        return None
    levels = [str(e.get("errorLevel")) for e in errors]
    return max(levels, key=lambda level: _LEVELS.index(level) if level in _LEVELS else len(_LEVELS), default="NONE")


def _load(s: dict[str, Any]) -> str | None:
    loads = _list(s, "loads")
    return None if loads is None else ", ".join(str(x.get("loadId") or x.get("loadType") or "unnamed") for x in loads)


def _action(s: dict[str, Any]) -> str | None:
    states = _list(s, "actionStates")
    if states is None:
        return None
    return ", ".join(str(a.get("actionType") or a.get("actionId")) for a in states if a.get("actionStatus") in _ACTIVE)


READ: dict[str, Callable[[dict[str, Any]], Any]] = {
    "x": lambda s: _position(s).get("x"),
    "y": lambda s: _position(s).get("y"),
    "theta": lambda s: _position(s).get("theta"),
    "map": lambda s: _position(s).get("mapId"),
    "localized": lambda s: _position(s).get("localized", _position(s).get("positionInitialized")),
    "vx": lambda s: _inside(s, "velocity").get("vx"),
    "vy": lambda s: _inside(s, "velocity").get("vy"),
    "omega": lambda s: _inside(s, "velocity").get("omega"),
    "driving": lambda s: s.get("driving"),
    "paused": lambda s: s.get("paused"),
    "distance": lambda s: s.get("distanceSinceLastNode"),
    "charge": lambda s: _power(s).get("stateOfCharge", _power(s).get("batteryCharge")),
    "charging": lambda s: _power(s).get("charging"),
    "voltage": lambda s: _power(s).get("batteryVoltage"),
    "mode": lambda s: s.get("operatingMode"),
    "order": lambda s: s.get("orderId"),
    "order_update": lambda s: s.get("orderUpdateId"),
    "last_node": lambda s: s.get("lastNodeId"),
    "emergency_stop": lambda s: _inside(s, "safetyState").get("activeEmergencyStop", _inside(s, "safetyState").get("eStop")),
    "field_violation": lambda s: _inside(s, "safetyState").get("fieldViolation"),
    "error": _worst,
    "errors": _count("errors"),
    "load": _load,
    "loads": _count("loads"),
    "action": _action,
}
"""The value of a field in a state message; None where the vehicle does not tell it."""
MOTION = ("x", "y", "theta", "map", "localized", "vx", "vy", "omega")
"""Fields that a visualization message brings as well."""


def refused(state: dict[str, Any], order_id: str) -> str | None:
    """Why a vehicle does not take an order: the first error that refers to it, None where there is none."""
    for error in _list(state, "errors") or []:
        references = error.get("errorReferences") or []
        values = {str(r.get("referenceValue")) for r in references if isinstance(r, dict)}
        if order_id in values:
            return f"{error.get('errorType')}: {error.get('errorDescription') or ''}".rstrip(": ")
    return None
