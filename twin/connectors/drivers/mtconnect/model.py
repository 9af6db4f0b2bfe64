"""Device models: which data items there are, of which category, in which unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from twin.connectors.base import Fatal

UCUM = {
    "AMPERE": "A",
    "CELSIUS": "Cel",
    "COUNT": "1",
    "DECIBEL": "dB",
    "DEGREE": "deg",
    "DEGREE/SECOND": "deg/s",
    "DEGREE/SECOND^2": "deg/s2",
    "DEGREE/MINUTE": "deg/min",
    "FAHRENHEIT": "[degF]",
    "FOOT": "[ft_i]",
    "FOOT/MINUTE": "[ft_i]/min",
    "GRAM": "g",
    "HERTZ": "Hz",
    "HOUR": "h",
    "INCH": "[in_i]",
    "INCH/MINUTE": "[in_i]/min",
    "INCH/SECOND": "[in_i]/s",
    "JOULE": "J",
    "KILOGRAM": "kg",
    "KILOWATT": "kW",
    "KILOWATT_HOUR": "kW.h",
    "LITER": "L",
    "LITER/MINUTE": "L/min",
    "LITER/SECOND": "L/s",
    "METER": "m",
    "MICRO_RADIAN": "urad",
    "MILLIMETER": "mm",
    "MILLIMETER/MINUTE": "mm/min",
    "MILLIMETER/REVOLUTION": "mm",
    "MILLIMETER/SECOND": "mm/s",
    "MILLIMETER/SECOND^2": "mm/s2",
    "MINUTE": "min",
    "NEWTON": "N",
    "NEWTON_METER": "N.m",
    "OHM": "Ohm",
    "PASCAL": "Pa",
    "PERCENT": "%",
    "POUND/INCH^2": "[psi]",
    "RADIAN": "rad",
    "REVOLUTION/MINUTE": "1/min",
    "REVOLUTION/SECOND": "1/s",
    "REVOLUTION/SECOND^2": "1/s2",
    "SECOND": "s",
    "VOLT": "V",
    "WATT": "W",
    "WATT_SECOND": "W.s",
}
"""MTConnect units (ANSI/MTC1.4, part 2) in UCUM. A unit that is not here is left open."""


LEVELS = {"normal": 0, "warning": 1, "fault": 2}
"""Of a condition, from good to bad."""


@dataclass(frozen=True)
class Item:
    """One data item. ``category``: SAMPLE, EVENT or CONDITION; ``unit``: UCUM of what the adapter sends, empty where unknown."""

    name: str
    category: str
    type: str
    unit: str
    component: str


def read_items(path: Path, device: str | None) -> dict[str, Item]:
    """Data items by name and by id, as an adapter may call them.

    Raises:
        Fatal: No such file, not a device model, or not one device.
    """
    try:
        text = path.read_bytes()
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # entities that name entities grow without end
            raise Fatal("a device model has no document type", file=path)
        root = ElementTree.fromstring(text)
    except (OSError, ElementTree.ParseError) as error:
        raise Fatal(f"the device model cannot be read: {error}", file=path) from error
    return items_of(root, device, where=path, native=True)


def items_of(root: ElementTree.Element, device: str | None, *, where: object, native: bool) -> dict[str, Item]:
    """As read_items(), from a parsed model; ``native``: units as an adapter sends them, else as an agent does.

    Raises:
        Fatal: Not one device of that name or uuid.
    """
    devices = [e for e in root.iter() if local_name(e.tag) == "Device"]
    chosen = [d for d in devices if device in (None, d.get("name"), d.get("uuid"))]
    if len(chosen) != 1:
        names = [d.get("name") or "" for d in devices]
        raise Fatal("name one device of the model", file=where, attribute="options.device", allowed=names)
    items: dict[str, Item] = {}
    _collect(chosen[0], "", items, native)
    return items


def worst_level(active: dict[str, str], level: str, code: str) -> str | None:
    """What a condition is after an entry: the worst of its active levels; None where unavailable.

    Args:
        active: Levels by native code, kept from entry to entry.

    Raises:
        ValueError: No such level; the message is a short reason.
    """
    if level == "unavailable":
        active.clear()
        return None
    if level not in LEVELS:
        raise ValueError(f"has the level {level[:20]!r}")
    if level == "normal":
        if code:
            active.pop(code, None)
        else:
            active.clear()
    else:
        active[code] = level
    return max(active.values(), key=LEVELS.__getitem__, default="normal").upper()


def _collect(element: ElementTree.Element, component: str, items: dict[str, Item], native: bool) -> None:
    for child in element:
        tag = local_name(child.tag)
        if tag == "DataItem":
            sent = (child.get("nativeUnits") if native else None) or child.get("units") or ""
            sent = sent.removesuffix("_3D").rpartition(":")[2]
            name = child.get("name") or child.get("id") or ""
            item = Item(name, child.get("category") or "", child.get("type") or "", UCUM.get(sent, ""), component)
            items.setdefault(child.get("id") or name, item)
            items[name] = item
        else:
            named = child.get("name") if tag not in ("DataItems", "Components", "Configuration") else None
            _collect(child, f"{component}/{named}" if named else component, items, native)


def local_name(tag: str) -> str:
    """A tag without its namespace."""
    return tag.rpartition("}")[2]
