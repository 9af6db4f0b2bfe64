"""One-off looks at a connection, outside a running twin: who is there, and what could be mapped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import yaml

from twin.connectors.base import Driver, Found, Probe
from twin.connectors.drivers import KINDS, kind
from twin.connectors.mapping import SCHEMA, ConnectionEntry, Mapping
from twin.connectors.secret import Redactor
from twin.core.errors import TwinError, WorkError

T = TypeVar("T")


def probe(mapping: Mapping, connection: ConnectionEntry, *, timeout_s: float) -> Probe:
    """Connect once and ask who is there.

    Raises:
        WorkError: Nobody answered, or not in time.
    """
    return _with_driver(mapping, connection, lambda driver: driver.probe(), timeout_s)


def browse(mapping: Mapping, connection: ConnectionEntry, *, seconds: float, timeout_s: float) -> list[Found]:
    """Connect once and list what could be mapped; ``seconds`` bounds the looking, ``timeout_s`` the connecting.

    Raises:
        WorkError: Nobody answered, or not in time.
    """
    return _with_driver(mapping, connection, lambda driver: driver.browse(seconds=seconds), seconds + timeout_s)


def _with_driver(mapping: Mapping, connection: ConnectionEntry, work: Callable[[Driver], Awaitable[T]], timeout_s: float) -> T:
    redactor = Redactor()
    driver = kind(connection.driver).load()(mapping.resolve(connection, redactor))

    async def run() -> T:
        async with asyncio.timeout(timeout_s):
            return await work(driver)

    try:
        return asyncio.run(run())
    except TimeoutError:
        raise WorkError(f"connection {connection.name!r}: no answer within {timeout_s:g} s") from None
    except TwinError as error:
        raise WorkError(f"connection {connection.name!r}: {redactor.clean(str(error))}") from None


def driver_of(address: str) -> str | None:
    """The driver whose addresses begin like ``address``."""
    scheme = address.partition("://")[0]
    return next((name for name, k in KINDS.items() if f"{scheme}://" in k.address), None)


def draft(connection: ConnectionEntry, found: list[Found]) -> str:
    """A mapping file, as text, that maps everything found onto prims that a person has still to name."""
    signals: list[dict[str, Any]] = []
    for entry in found:
        parts = [re.sub(r"\W", "_", p) for p in re.split(r"[/.]", entry.label.strip("/")) if p]
        name = parts[-1].lower() + "".join(re.sub(r"\W", "_", p) for p in [entry.source.get("value", "")])
        prim = "/World/" + "/".join(p if not p[0].isdecimal() else f"_{p}" for p in parts[:-1] or ["Line"])
        signal = {"connection": connection.name, "source": entry.source, "target": {"prim": prim, "signal": name}}
        signals.append({**signal, "raw_unit": entry.unit} if entry.unit else signal)
    document = {"schema": SCHEMA, "connections": [connection.model_dump(exclude_defaults=True)], "signals": signals}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
