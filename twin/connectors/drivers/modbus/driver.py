"""Modbus TCP by pymodbus: every unit is polled on a connection and in a task of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from twin.connectors.base import BAD_DECODING, Fatal, Found, Plan, Probe, Reading, Retryable, Sink, WriteRequest, WriteResult
from twin.connectors.drivers.modbus.config import ModbusOptions, ModbusSource
from twin.connectors.drivers.modbus.registers import decode, encode
from twin.connectors.drivers.modbus.unit import BAD_NOT_WRITABLE, Unit, UnitSilent, quality_of, request
from twin.connectors.mapping import Point, ResolvedConnection
from twin.core.samples import BAD_OUT_OF_RANGE, GOOD
from twin.core.tasks import first_of

BROWSED_REGISTERS = 200
BROWSED_AT_ONCE = 10

# The library repeats in its log what it raises.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class ModbusDriver:
    """One attempt at one device or gateway."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._options: ModbusOptions = connection.options
        try:
            url = urlsplit(connection.address)
            host, port = url.hostname, url.port or 502
        except ValueError:
            url, host, port = None, None, 0
        if url is None or url.scheme != "modbus" or not host:
            raise Fatal("the address is not understood", attribute="address", allowed=["modbus://HOST:PORT"])
        self._host, self._port = host, port
        self._units: dict[int, Unit] = {}
        self._sink: Sink | None = None
        self._answered = False

    # ---- the contract

    async def probe(self) -> Probe:
        client = await self._connect()
        try:
            answer: Any = await client.read_device_information(device_id=1)
            known = {} if answer.isError() else answer.information
            told = {_IDENTITY.get(k, str(k)): v.decode(errors="replace") for k, v in known.items()}
        except ModbusException as error:
            raise Retryable(f"connected, but unit 1 does not answer: {error}") from error
        finally:
            client.close()
        return Probe(" ".join(["Modbus device", *(v for k, v in told.items() if k in ("vendor", "product") and v)]), told)

    async def browse(self, *, seconds: float) -> list[Found]:
        """Registers and bits of unit 1 that answer, from the beginning of each table."""
        found: list[Found] = []
        end = time.monotonic() + seconds
        client = await self._connect()
        try:
            for table in ("holding", "input", "coil", "discrete"):
                for begin in range(0, BROWSED_REGISTERS, BROWSED_AT_ONCE):
                    if time.monotonic() > end:
                        return found
                    answer = await request(client, 1, table, begin, BROWSED_AT_ONCE)
                    if answer.isError():
                        break
                    is_bits = table in ("coil", "discrete")
                    values: Sequence[int] = answer.bits[:BROWSED_AT_ONCE] if is_bits else answer.registers
                    kind = "bool" if is_bits else "uint16"
                    found += [
                        Found({"unit": 1, "table": table, "address": begin + i}, f"unit1/{table}/r{begin + i}", kind, str(value))
                        for i, value in enumerate(values)
                    ]
        except ModbusException as error:
            if not found:
                raise Retryable(f"unit 1 does not answer: {error}") from error
        finally:
            client.close()
        return found

    async def run(self, plan: Plan, sink: Sink) -> None:
        self._sink = sink
        by_unit: dict[int, list[Point]] = {}
        for point in plan.points:
            by_unit.setdefault(point.source.unit, []).append(point)
        # once, so that nobody there is known before any unit is judged silent
        first = await self._connect()
        first.close()
        if not by_unit:
            sink.connected()
        self._units = {
            number: Unit(number, points, self._options, self._connect, self._took, self._refused)
            for number, points in by_unit.items()
        }
        try:
            await first_of(*(unit.poll() for unit in self._units.values()), self._until_all_silent())
        finally:
            for unit in self._units.values():
                unit.close()

    def subscribed(self) -> set[int]:
        return {index for unit in self._units.values() for index in unit.wanted()}

    async def subscribe(self, points: Sequence[Point]) -> None:
        for point in points:
            self._units[point.source.unit].ask_again(point)

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        results = []
        for item in requests:
            try:
                results.append(await self._write(item))
            except UnitSilent as error:
                raise Retryable(str(error)) from error
        return results

    # ---- inside

    async def _connect(self) -> AsyncModbusTcpClient:
        client = AsyncModbusTcpClient(
            self._host, port=self._port, timeout=self._options.timeout, retries=0, reconnect_delay=0, reconnect_delay_max=0
        )
        try:
            connected = await client.connect()
        except (OSError, ModbusException) as error:
            raise Retryable(f"cannot connect: {error}") from error
        if not connected:
            client.close()
            raise Retryable(f"cannot connect to {self._host}:{self._port}")
        return client

    def _took(self, readings: list[Reading], answered: bool) -> None:
        assert self._sink is not None
        if answered and not self._answered:
            self._answered = True
            self._sink.connected()
        self._sink.offer(readings)

    def _refused(self, reason: str, point: Point) -> None:
        assert self._sink is not None
        self._sink.reject(reason, str(point))

    async def _until_all_silent(self) -> None:
        """Raises when there is no unit left that answers."""
        while True:
            await asyncio.sleep(0.1)
            if self._units and all(unit.silent for unit in self._units.values()):
                raise Retryable(next(iter(self._units.values())).silent)

    async def _write(self, item: WriteRequest) -> WriteResult:
        source: ModbusSource = item.point.source
        unit = self._units[source.unit]
        if source.table in ("input", "discrete") or source.bit is not None:
            # one bit of a register could only be written by writing its neighbours too
            return WriteResult(item.point, BAD_NOT_WRITABLE)
        try:
            words = [int(bool(item.value))] if source.is_bits else encode(source, item.value)
        except ValueError:
            return WriteResult(item.point, BAD_OUT_OF_RANGE)
        answer = await unit.write(source, words)
        if answer.isError():
            return WriteResult(item.point, quality_of(answer))
        back = await unit.read(source.table, source.address, source.width)
        if back.isError():
            return WriteResult(item.point, quality_of(back))
        try:
            return WriteResult(item.point, GOOD, _value(source, back))
        except ValueError:
            return WriteResult(item.point, BAD_DECODING)


_IDENTITY = {0: "vendor", 1: "product", 2: "version", 3: "url", 4: "name", 5: "model", 6: "application"}


def _value(source: ModbusSource, answer: ModbusPDU) -> float | int | bool | str | None:
    return bool(answer.bits[0]) if source.is_bits else decode(source, answer.registers)
