"""Compile the line engine's kernels by running the smallest line."""

from __future__ import annotations

from twin.flow.engine import simulate
from twin.flow.start import LineState
from twin.model.distributions import Distribution, DistributionRow
from twin.model.factory import FactoryModel, Node, NodeKind
from twin.model.rigid import Body, Prototype


def compile_kernels() -> None:
    """Load every kernel of twin.flow, compiling what the cache lacks."""
    import numpy as np

    model = FactoryModel(name="smallest", item_types=["item"], prototype_type=[0])
    model.rigid.prototypes.append(Prototype("/item", "item", Body("/item"), [], np.full(3, 0.1), np.zeros(3)))
    cycle = model.distributions.add(DistributionRow(Distribution.CONSTANT, mean=1.0))
    model.nodes = [
        Node("/source", NodeKind.SOURCE, 1, [1], saturated=True, items=[0], weights=[1.0]),
        Node("/station", NodeKind.STATION, 2, [2], cycle=[cycle]),
        Node("/sink", NodeKind.SINK, 3, []),
    ]
    simulate(model, horizon_s=10.0, replications=1)
    simulate(model, horizon_s=10.0, replications=1, start=LineState())
