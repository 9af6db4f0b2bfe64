"""A packaging line as a control room sees it: a few coupled differential equations, seeded, advanced in steps."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

AMBIENT_C = 22.0
SETPOINT_C = 165.0
HYSTERESIS_C = 1.5
HEATER_C_PER_S = 3.2
"""Heating at full power of the cold sealing bar."""
COOLING_S = 90.0
"""Time constant of the bar's heat loss."""
PACK_G = 500.0
CARTONS_A_MINUTE = 42.0
BELT_M_S = 0.5
STOP_EVERY_S = 240.0
STOP_LASTS_S = 12.0


@dataclass(frozen=True)
class Variable:
    """A variable of the server: ``folder`` and ``name`` make its node id, ``unit`` is UCUM, ``period`` [s] between values."""

    folder: str
    name: str
    unit: str
    period: float
    read: Callable[[PackagingLine], float | int | bool]

    @property
    def node(self) -> str:
        return f"{self.folder}.{self.name}"


@dataclass
class PackagingLine:
    """State of the line.

    Attributes:
        temperature: Sealing bar [Cel], at its setpoint when the emulation begins. drift: slow wandering of the sensor [K].
        motor: Palletiser's motor [Cel]. pressure: compressed air [bar]. speed: belt [m/s]. weight: last carton [g].
        count: cartons since the begin. running: false during a short stop.
    """

    seed: int = 1
    temperature: float = SETPOINT_C - 1.0
    heating: bool = True
    drift: float = 0.0
    motor: float = 48.0
    pressure: float = 6.0
    compressing: bool = False
    speed: float = BELT_M_S
    weight: float = PACK_G
    count: int = 0
    running: bool = True
    time: float = 0.0
    _next_carton: float = 0.0
    _next_change: float = field(init=False)
    _random: random.Random = field(init=False)
    _recent: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._next_change = self._random.expovariate(1.0 / STOP_EVERY_S)

    def step(self, dt: float) -> None:
        """Advance by ``dt`` [s], at most a second."""
        self.time += dt
        if self.time >= self._next_change:
            self.running = not self.running
            mean = STOP_EVERY_S if self.running else STOP_LASTS_S
            self._next_change = self.time + self._random.expovariate(1.0 / mean)
        self._seal(dt)
        self._convey(dt)
        self._weigh()
        self._palletise(dt)

    def _seal(self, dt: float) -> None:
        """Two-point control with hysteresis; every carton takes a little heat away."""
        if self.temperature < SETPOINT_C - HYSTERESIS_C:
            self.heating = True
        elif self.temperature > SETPOINT_C + HYSTERESIS_C:
            self.heating = False
        load = 0.12 if self.running else 0.0
        loss = (self.temperature - AMBIENT_C) / COOLING_S
        self.temperature += dt * ((HEATER_C_PER_S if self.heating else 0.0) - loss - load)
        # an Ornstein-Uhlenbeck process: wanders within about one kelvin over minutes
        self.drift += -self.drift * dt / 300.0 + self._random.gauss(0.0, 0.06) * math.sqrt(dt)

    def _convey(self, dt: float) -> None:
        wanted = BELT_M_S if self.running else 0.0
        self.speed += (wanted - self.speed) * min(dt / 0.4, 1.0)

    def _weigh(self) -> None:
        while self.running and self._next_carton <= self.time:
            self.count += 1
            self.weight = self._random.gauss(PACK_G + 1.5 * math.sin(self.time / 600.0), 1.8)
            if self._random.random() < 0.005:
                self.weight -= self._random.uniform(15.0, 60.0)  # a pack with something missing
            self._recent.append(self.time)
            self._next_carton = self.time + 60.0 / CARTONS_A_MINUTE * self._random.uniform(0.85, 1.15)
        if not self.running:
            self._next_carton = max(self._next_carton, self.time)
        while self._recent and self._recent[0] < self.time - 60.0:
            self._recent.pop(0)

    def _palletise(self, dt: float) -> None:
        heat = 58.0 if self.running else 40.0
        self.motor += (heat + 2.0 * math.sin(self.time / 45.0) - self.motor) * dt / 120.0
        if self.pressure < 5.6:
            self.compressing = True
        elif self.pressure > 6.4:
            self.compressing = False
        self.pressure += dt * ((0.09 if self.compressing else 0.0) - (0.045 if self.running else 0.005))

    def noise(self, sigma: float) -> float:
        """Noise of a sensor."""
        return self._random.gauss(0.0, sigma)

    @property
    def throughput(self) -> float:
        """Cartons an hour, over the last minute."""
        span = min(max(self.time, 1.0), 60.0)
        return len(self._recent) * 3600.0 / span


VARIABLES = (
    Variable("Sealer", "Temperature", "Cel", 0.2, lambda s: round(s.temperature + s.drift + s.noise(0.15), 2)),
    Variable("Sealer", "Setpoint", "Cel", 1.0, lambda s: SETPOINT_C),
    Variable("Sealer", "Heating", "", 0.2, lambda s: s.heating),
    Variable("Sealer", "Speed", "1/min", 0.5, lambda s: round(CARTONS_A_MINUTE * s.speed / BELT_M_S + s.noise(0.1), 2)),
    Variable("Checkweigher", "Weight", "g", 0.2, lambda s: round(s.weight, 1)),
    Variable("Checkweigher", "Throughput", "1/h", 0.5, lambda s: round(s.throughput, 1)),
    Variable("Palletiser", "Count", "1", 0.5, lambda s: s.count),
    Variable("Palletiser", "Temperature", "Cel", 0.5, lambda s: round(s.motor + s.noise(0.08), 2)),
    Variable("Palletiser", "Pressure", "bar", 0.2, lambda s: round(s.pressure + s.noise(0.01), 3)),
    Variable("InfeedA", "Speed", "m/s", 0.2, lambda s: round(max(s.speed + s.noise(0.004), 0.0), 4)),
)
