"""A Modbus TCP device with two holding registers, a float32 big-endian, for each signal of the twin."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from twin.connectors.serving.worker import Now, State, Worker, guard
from twin.core.errors import WorkError
from twin.core.samples import SignalKey, is_bad
from twin.model.factory import Signal

REGISTERS = 2


class ModbusServing(Worker):
    """Read-only: unit 1, holding registers from 0 in the order of ``signals``; a bad value is NaN, text is NaN too."""

    def __init__(self, signals: Sequence[Signal], state: State, *, host: str = "127.0.0.1", port: int = 502) -> None:
        super().__init__("the Modbus server")
        guard(host, None)
        self._keys = [SignalKey(s.prim, s.name) for s in signals]
        self._state, self._host, self.port = state, host, port

    def address_of(self, key: SignalKey) -> int:
        """First register of a signal."""
        return REGISTERS * self._keys.index(key)

    def rename(self, now: Now) -> None:
        """Registers stay as they are, whatever their prims are called."""
        self._keys = [key.moved(now) for key in self._keys]

    async def serve(self, ready: Callable[[], None]) -> None:
        import asyncio

        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        size = max(REGISTERS * len(self._keys), 1)

        async def answer(function: int, start: int, address: int, count: int, registers: list[int], values: Any) -> None:
            if values is not None:
                return  # what is written is forgotten
            state = dict(self._state())
            for register in range(address, min(address + count, size)):
                number = _number(state, self._keys[register // REGISTERS]) if self._keys else math.nan
                words = struct.unpack(">2H", struct.pack(">f", number))
                registers[register - start] = words[register % REGISTERS]

        device = SimDevice(1, simdata=[SimData(0, values=[0] * size, datatype=DataType.REGISTERS)], action=answer)
        server = ModbusTcpServer(device, address=(self._host, self.port))
        try:
            await server.serve_forever(background=True)
        except (OSError, RuntimeError) as error:
            raise WorkError(f"cannot listen on {self._host}:{self.port}: {error}") from error
        ready()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await server.shutdown()


def _number(state: Any, key: SignalKey) -> float:
    sample = state.get(key)
    if sample is None or sample.value is None or is_bad(sample.quality) or isinstance(sample.value, str):
        return math.nan
    return float(sample.value)
