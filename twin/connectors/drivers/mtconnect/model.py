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
    devices = [e for e in root.iter() if _local(e.tag) == "Device"]
    names = [d.get("name") or "" for d in devices]
    chosen = [d for d, name in zip(devices, names, strict=True) if device in (None, name)]
    if len(chosen) != 1:
        raise Fatal("name one device of the model", file=path, attribute="options.device", allowed=names)
    items: dict[str, Item] = {}
    _collect(chosen[0], "", items)
    return items


def _collect(element: ElementTree.Element, component: str, items: dict[str, Item]) -> None:
    for child in element:
        tag = _local(child.tag)
        if tag == "DataItem":
            native = (child.get("nativeUnits") or child.get("units") or "").removesuffix("_3D").rpartition(":")[2]
            name = child.get("name") or child.get("id") or ""
            item = Item(name, child.get("category") or "", child.get("type") or "", UCUM.get(native, ""), component)
            items.setdefault(child.get("id") or name, item)
            items[name] = item
        else:
            named = child.get("name") if tag not in ("DataItems", "Components", "Configuration") else None
            _collect(child, f"{component}/{named}" if named else component, items)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
