"""An emulated plant: a real OPC UA server in a process of its own, with the dynamics of a packaging line behind it."""

from twin.connectors.emulated.spawn import EmulatedPlant, emulated_mapping, spawn_emulated

__all__ = ["EmulatedPlant", "emulated_mapping", "spawn_emulated"]
