"""The running simulation: rigid bodies with the line's process logic on top of them."""

from twin.sim.simulation import Simulation

__all__ = ["Simulation"]
