"""An emulated plant: a real OPC UA server in a process of its own, with the dynamics of a packaging line behind it."""

from twin.connectors.emulated.spawn import emulated_mapping, spawn_emulated, spawn_plant

__all__ = ["emulated_mapping", "spawn_emulated", "spawn_plant"]
