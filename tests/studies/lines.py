"""A small line built in Python, for tests that need no stage."""

import numpy as np

from twin.model.distributions import Distribution, DistributionRow
from twin.model.factory import FactoryModel, Node, NodeKind, stream_id
from twin.model.rigid import Body, Prototype

POWER = (100.0, 1000.0, 200.0, 500.0, 50.0)


def two_machines(*, capacity: int = 3, mean_1: float = 10.0, mean_2: float = 12.0, servers: int = 1, power=POWER) -> FactoryModel:
    """Saturated source, M1, buffer, M2 (which fails), sink; exponential times."""
    model = FactoryModel(name="line", item_types=["part"], prototype_type=[0])
    model.rigid.prototypes.append(Prototype("/Part", "part", Body("/Part"), [], np.full(3, 0.1), np.zeros(3)))

    def exponential(mean: float) -> int:
        return model.distributions.add(DistributionRow(Distribution.EXPONENTIAL, mean=mean))

    def add(path: str, kind: NodeKind, **fields) -> None:
        model.nodes.append(Node(path, kind, stream=stream_id(path), **fields))

    add("/Line/Src", NodeKind.SOURCE, saturated=True, items=[0], next=[1])
    add("/Line/M1", NodeKind.STATION, cycle=[exponential(mean_1)], servers=servers, power=power, next=[2])
    add("/Line/B1", NodeKind.BUFFER, capacity=capacity, next=[3])
    add(
        "/Line/M2", NodeKind.STATION, cycle=[exponential(mean_2)], time_to_failure=exponential(600.0),
        time_to_repair=exponential(60.0), power=power, next=[4],
    )  # fmt: skip
    add("/Line/Sink", NodeKind.SINK)
    return model
