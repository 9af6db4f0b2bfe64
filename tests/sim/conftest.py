"""Lines with a place in the world, built in Python."""

import itertools

import numpy as np
import pytest

from twin.model.distributions import Distribution, DistributionRow
from twin.model.factory import FactoryModel, Node, NodeKind, Zone, stream_id
from twin.model.rigid import Body, Prototype, Shape, ShapeKind

TOP = 0.8


class Plant:
    """A straight line along X at y = 0, belts 0.6 m wide, top at 0.8 m, built from left to right."""

    def __init__(self):
        self.model = FactoryModel(name="plant", item_types=[], prototype_type=[])
        self.x = 0.0

    def goods(self, type="carton", half=(0.2, 0.15, 0.15), mass=5.0):
        h = np.array(half)
        inertia = mass / 3.0 * np.array([h[1] ** 2 + h[2] ** 2, h[0] ** 2 + h[2] ** 2, h[0] ** 2 + h[1] ** 2])
        shapes = [Shape(f"/{type}/box", ShapeKind.BOX, 0, size=h)]
        if type not in self.model.item_types:
            self.model.item_types.append(type)
        self.model.prototype_type.append(self.model.item_types.index(type))
        self.model.rigid.prototypes.append(
            Prototype(f"/{type}", type, Body(f"/{type}", mass=mass, inertia=inertia), shapes, h, np.zeros(3))
        )
        return len(self.model.rigid.prototypes) - 1

    def constant(self, mean):
        return self.model.distributions.add(DistributionRow(Distribution.CONSTANT, mean=mean))

    def exponential(self, mean):
        return self.model.distributions.add(DistributionRow(Distribution.EXPONENTIAL, mean=mean))

    def zone(self, x, half_x, y=0.0):
        return Zone(
            np.array([x, y, TOP + 0.35]), np.array([0.0, 0.0, 0.0, 1.0]), np.array([half_x, 0.35, 0.4]), np.array([x, y, TOP])
        )

    def _belt(self, path, length, speed, y=0.0):
        self.model.rigid.shapes.append(
            Shape(f"{path}/belt", ShapeKind.BOX, position=np.array([self.x + length / 2, y, TOP - 0.05]),
                  size=np.array([length / 2, 0.3, 0.05]),
                  surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=speed)
        )  # fmt: skip
        return len(self.model.rigid.shapes) - 1

    def add(self, name, kind, **fields):
        node = Node(f"/{name}", kind, stream_id(f"/{name}"), **fields)
        self.model.nodes.append(node)
        return node

    def source(self, name="S", interarrival=-1, saturated=False, items=None, **fields):
        items = items if items is not None else [self.goods()]
        weights = [1.0 / len(items)] * len(items)
        return self.add(name, NodeKind.SOURCE, interarrival=interarrival, saturated=saturated, items=items, weights=weights,
                        zone=self.zone(self.x + 0.3, 0.25), **fields)  # fmt: skip

    def conveyor(self, name, length, speed=0.5, **fields):
        shape = self._belt(f"/{name}", length, speed)
        node = self.add(name, NodeKind.CONVEYOR, length=length, speed=speed, belt_shapes=[shape],
                        zone=self.zone(self.x + length / 2, length / 2), **fields)  # fmt: skip
        self.x += length
        return node

    def station(self, name, cycle, length=1.0, **fields):
        self._belt(f"/{name}", length, 0.5)
        types = max(len(self.model.item_types), 1)
        node = self.add(name, NodeKind.STATION, cycle=[cycle] * types, zone=self.zone(self.x + length / 2, 0.07), **fields)
        self.x += length
        return node

    def buffer(self, name, capacity, **fields):
        return self.add(name, NodeKind.BUFFER, capacity=capacity, zone=self.zone(self.x - 0.1, 0.1), **fields)

    def sink(self, name="K", **fields):
        return self.add(name, NodeKind.SINK, zone=self.zone(self.x - 0.1, 0.1), **fields)

    def index(self, name):
        return self.model.node_index(f"/{name}")

    def chain(self, *names):
        for a, b in itertools.pairwise(names):
            self.model.nodes[self.index(a)].next.append(self.index(b))


@pytest.fixture
def plant():
    return Plant()
