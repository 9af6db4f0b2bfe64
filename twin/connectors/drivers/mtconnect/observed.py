"""From what an MTConnect device observed to readings: the same for its adapter (SHDR) and for an agent."""

from __future__ import annotations

from contextlib import suppress

from twin.connectors.base import BAD_DECODING, BAD_NO_DATA, Fatal, Reading, Sink
from twin.connectors.drivers.mtconnect.model import Item
from twin.connectors.mapping import Point
from twin.connectors.units import compile_unit
from twin.core.errors import MappingError
from twin.core.samples import GOOD


def reading_of(point: Point, text: str | None, item: Item | None, time: int | None, received: int) -> Reading:
    """A reading of ``point``, whose source may ask for one number of several.

    Args:
        text: As it was sent, None: unavailable. item: What the device model says of it, if anything.
        time, received: Source and receive time [ns UTC].
    """
    value: str | float | None = text
    quality = GOOD if text is not None else BAD_NO_DATA
    index = point.source.index
    if text is not None and index is not None:
        numbers = text.split()
        value = numbers[index] if index < len(numbers) else None
        quality = GOOD if value is not None else BAD_DECODING
    if isinstance(value, str) and item is not None and item.category == "SAMPLE":
        # what is none is told where the mapping wants a number; else it is the text that was sent
        with suppress(ValueError):
            value = float(value)
    return Reading(point, value, quality, time, None, received)


def agree_on_unit(point: Point, item: Item | None, sink: Sink, by: str) -> None:
    """The mapping and the device must mean the same unit: a wrong one would go unnoticed.

    Args:
        item: The point's item in the device model; None is told to ``sink``. by: Who says the unit, for the message.

    Raises:
        Fatal: They do not.
    """
    if item is None:
        sink.reject("not in the device model", str(point))
        return
    if not item.unit or not point.raw_unit:
        return
    try:
        agrees = compile_unit(point.raw_unit, item.unit).is_identity
    except MappingError:
        agrees = False
    if not agrees:
        raise Fatal(f"{item.name} is in {item.unit!r} by the {by}, not in {point.raw_unit!r}", attribute=str(point))
