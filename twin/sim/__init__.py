"""The running simulation: rigid bodies with the line's process logic on top of them."""

from twin.sim.simulation import Simulation
from twin.sim.tables import ENGINE_VERSION

__all__ = ["ENGINE_VERSION", "Simulation"]
