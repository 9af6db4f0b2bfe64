"""Compile the kernels of rigid bodies and process logic by running a one-carton line for a few steps."""

from __future__ import annotations

import numpy as np

from twin.model.distributions import Distribution, DistributionRow
from twin.model.factory import FactoryModel, Node, NodeKind, Zone
from twin.model.rigid import Body, Prototype, Shape, ShapeKind


def smallest_line() -> FactoryModel:
    """A source, a belt and a sink: 0.5 m/s, one carton every two seconds."""
    model = FactoryModel(name="smallest", item_types=["carton"], prototype_type=[0])
    half = np.array([0.2, 0.15, 0.15])
    model.rigid.prototypes.append(
        Prototype("/carton", "carton", Body("/carton", mass=5.0, inertia=np.array([0.08, 0.1, 0.1])),
                  [Shape("/carton/box", ShapeKind.BOX, 0, size=half)], half, np.zeros(3))
    )  # fmt: skip
    model.rigid.shapes.append(
        Shape("/belt", ShapeKind.BOX, position=np.array([2.0, 0.0, 0.75]), size=np.array([2.0, 0.3, 0.05]),
              surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=0.5)
    )  # fmt: skip

    def zone(x: float, half_x: float) -> Zone:
        return Zone(
            np.array([x, 0.0, 1.1]), np.array([0.0, 0.0, 0.0, 1.0]), np.array([half_x, 0.4, 0.3]), np.array([x, 0.0, 0.8])
        )

    every = model.distributions.add(DistributionRow(Distribution.CONSTANT, mean=2.0))
    model.nodes = [
        Node("/source", NodeKind.SOURCE, 1, [1], zone(0.25, 0.2), interarrival=every, items=[0], weights=[1.0]),
        Node("/belt", NodeKind.CONVEYOR, 2, [2], zone(2.0, 2.0), speed=0.5, length=4.0, belt_shapes=[0]),
        Node("/sink", NodeKind.SINK, 3, [], zone(3.7, 0.1)),
    ]
    return model


def compile_kernels() -> None:
    """Load every kernel of twin.sim and twin.physics, compiling what the cache lacks."""
    from twin.physics.kernels.data import LARGE_ISLAND
    from twin.sim.simulation import Simulation

    # room for large islands, so that the module that solves them is loaded too
    Simulation(smallest_line(), capacity=LARGE_ISLAND + 1).step(3)
