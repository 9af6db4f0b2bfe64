"""One unit of a Modbus connection: polled at its own pace, left in peace for a while when it is silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from twin.connectors.base import BAD_DECODING, Reading
from twin.connectors.drivers.modbus.config import ModbusOptions, ModbusSource
from twin.connectors.drivers.modbus.registers import Block, decode, plan_blocks
from twin.connectors.mapping import Point
from twin.core.clock import now_ns
from twin.core.errors import WorkError
from twin.core.samples import BAD_CONFIGURATION, BAD_NO_COMMUNICATION, GOOD

BAD_DEVICE_FAILURE = 0x808B0000
BAD_NOT_WRITABLE = 0x803B0000
BAD_RESOURCE = 0x80040000
_QUALITY = {4: BAD_DEVICE_FAILURE, 5: BAD_RESOURCE, 6: BAD_RESOURCE} | dict.fromkeys((1, 2, 3), BAD_CONFIGURATION)
_REASON = {1: "illegal function", 2: "illegal address", 3: "illegal value", 4: "device failure", 5: "busy", 6: "busy"}
_CONFIGURATION = (1, 2, 3)
_GATEWAY = (10, 11)
"""Exceptions by which a gateway says that the unit behind it does not answer."""
_FIRST_RETRY_S = 0.5


class UnitSilent(WorkError):
    """The unit did not answer."""


def quality_of(answer: ModbusPDU) -> int:
    """The status code for an exception response."""
    return _QUALITY.get(answer.exception_code, BAD_NO_COMMUNICATION)


async def request(client: AsyncModbusTcpClient, unit: int, table: str, address: int, count: int) -> ModbusPDU:
    """Read registers or bits. Raises ModbusException where nobody answers."""
    read: Any = {
        "holding": client.read_holding_registers,
        "input": client.read_input_registers,
        "coil": client.read_coils,
        "discrete": client.read_discrete_inputs,
    }[table]
    answer: ModbusPDU = await read(address, count=count, device_id=unit)
    return answer


class Unit:
    """Polls the signals of one unit.

    Args:
        connect: Makes a fresh connected client, or raises Retryable: then nobody is there at all.
        deliver: Takes readings, and whether they come from an answer.
        refused: Told of each signal that the unit does not have.

    Attributes:
        silent: Why it is thought to be silent; empty while it answers.
    """

    def __init__(
        self,
        number: int,
        points: Sequence[Point],
        options: ModbusOptions,
        connect: Callable[[], Awaitable[AsyncModbusTcpClient]],
        deliver: Callable[[list[Reading], bool], None],
        refused: Callable[[str, Point], None],
    ) -> None:
        self._number, self._points, self._options = number, list(points), options
        self._connect, self._deliver, self._refused = connect, deliver, refused
        self._client: AsyncModbusTcpClient | None = None
        self._lock = asyncio.Lock()
        self._unavailable: set[int] = set()
        self._changed = True
        self.silent = ""

    def wanted(self) -> set[int]:
        """``Point.index`` of what is polled."""
        return {p.index for p in self._points} - self._unavailable

    def ask_again(self, point: Point) -> None:
        """Poll a signal that the unit had refused."""
        self._unavailable.discard(point.index)
        self._changed = True

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    # ---- polling

    async def poll(self) -> None:
        """Read everything at its interval, until cancelled. Raises Retryable when nobody is there any more."""
        pause = _FIRST_RETRY_S
        due: dict[float, float] = {}
        groups: dict[float, list[Block]] = {}
        while True:
            if self._changed:
                self._changed = False
                groups = self._plan()
                due = {period: due.get(period, 0.0) for period in groups}
            try:
                for period, blocks in groups.items():
                    if time.monotonic() >= due[period]:
                        # from now, so that a slow unit is asked less often and not ever more
                        due[period] = max(due[period] + period, time.monotonic())
                        for block in blocks:
                            await self._read_block(block)
                self.silent, pause = "", _FIRST_RETRY_S
            except UnitSilent as error:
                self.silent = str(error)
                self.close()
                now = now_ns()
                self._deliver([Reading(p, None, BAD_NO_COMMUNICATION, None, None, now) for p in self._points], False)
                await asyncio.sleep(pause)
                pause = min(2.0 * pause, self._options.retry)
                due = dict.fromkeys(groups, 0.0)
                continue
            await asyncio.sleep(max(min(due.values(), default=time.monotonic() + 1.0) - time.monotonic(), 0.001))

    def _plan(self) -> dict[float, list[Block]]:
        """Requests by how often they are made [s]."""
        by_period: dict[float, list[Point]] = {}
        for point in self._points:
            if point.index not in self._unavailable:
                by_period.setdefault(point.interval_s or self._options.poll, []).append(point)
        return {
            period: plan_blocks(points, gap=self._options.gap, most=self._options.block)
            for period, points in sorted(by_period.items())
        }

    async def _read_block(self, block: Block) -> None:
        answer = await self.read(block.table, block.address, block.count)
        if answer.isError():
            code = answer.exception_code
            if code in _CONFIGURATION and len(block.points) > 1:
                # perhaps only the unused registers between two signals are missing
                for point in block.points:
                    await self._read_block(Block(block.table, point.source.address, point.source.width, (point,)))
                return
            reason = _REASON.get(code, f"exception {code}")
            now = now_ns()
            for point in block.points:
                self._refused(reason, point)
                if code in _CONFIGURATION:
                    self._unavailable.add(point.index)
                    self._changed = True
            self._deliver([Reading(p, None, quality_of(answer), None, None, now) for p in block.points], True)
            return
        now = now_ns()
        self._deliver([self._reading(p, block, answer, now) for p in block.points], True)

    def _reading(self, point: Point, block: Block, answer: ModbusPDU, now: int) -> Reading:
        source: ModbusSource = point.source
        begin = source.address - block.address
        if source.is_bits:
            return Reading(point, bool(answer.bits[begin]), GOOD, None, None, now)
        try:
            return Reading(point, decode(source, answer.registers[begin : begin + source.width]), GOOD, None, None, now)
        except ValueError:
            self._refused("is no text", point)
            return Reading(point, None, BAD_DECODING, None, None, now)

    # ---- one request

    async def read(self, table: str, address: int, count: int) -> ModbusPDU:
        """Read, or raise UnitSilent; an exception of the unit is an answer."""
        return await self._ask(lambda client: request(client, self._number, table, address, count))

    async def write(self, source: ModbusSource, words: list[int]) -> ModbusPDU:
        """Write registers or one coil, or raise UnitSilent."""
        if source.is_bits:
            return await self._ask(lambda c: c.write_coil(source.address, bool(words[0]), device_id=self._number))
        if len(words) == 1:  # the single-register function is the one that small devices know
            return await self._ask(lambda c: c.write_register(source.address, words[0], device_id=self._number))
        return await self._ask(lambda c: c.write_registers(source.address, words, device_id=self._number))

    async def _ask(self, ask: Callable[[AsyncModbusTcpClient], Awaitable[ModbusPDU]]) -> ModbusPDU:
        async with self._lock:
            if self._client is None:
                self._client = await self._connect()
            try:
                answer = await ask(self._client)
            except (ModbusException, OSError) as error:
                self.close()  # a late answer must not be taken for the next one
                raise UnitSilent(f"unit {self._number} does not answer: {error}") from error
        if answer.isError() and answer.exception_code in _GATEWAY:
            raise UnitSilent(f"unit {self._number} does not answer (gateway: exception {answer.exception_code})")
        return answer
