"""The line that both engines run."""

from __future__ import annotations

from twin.model.build import LineBuilder
from twin.model.factory import FactoryModel

STATIONS = 8
BUFFER = 4
CYCLE_S = 1.0
UPTIME_S = 100.0
REPAIR_S = 10.0


def eight_stations() -> FactoryModel:
    """A saturated serial line: exponential cycles, failures while working and repairs, a buffer between any two stations."""
    line = LineBuilder()
    line.source("Source", saturated=True)
    names = ["Source"]
    for i in range(STATIONS):
        line.station(
            f"M{i}",
            cycle=line.exponential(CYCLE_S),
            time_to_failure=line.exponential(UPTIME_S),
            time_to_repair=line.exponential(REPAIR_S),
        )
        names.append(f"M{i}")
        if i < STATIONS - 1:
            line.buffer(f"B{i}", BUFFER)
            names.append(f"B{i}")
    line.sink("Sink")
    line.chain(*names, "Sink")
    return line.model
