"""What the engines are given to move: cartons of 0.4 x 0.3 x 0.3 m and 5 kg on belts at 0.5 m/s, or in a bin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SPEED = 0.5
"""[m/s] of the belts."""
HALF = np.array([0.2, 0.15, 0.15])
MASS = 5.0
FRICTION = 0.5
ON_A_BELT = 50
BELT_HALF = np.array([40.0, 0.4, 0.05])
"""Longer than what rides on it: the peers' belts are slabs that move on."""
LAYERS = 8


@dataclass
class Scene:
    """Attributes: cartons [N,3] m. belts: centres [B,3] m. walls: centre and half extents [3] m of what is fixed."""

    name: str
    cartons: np.ndarray
    belts: np.ndarray
    walls: list[tuple[np.ndarray, np.ndarray]]
    settle: int
    """Frames before the clock starts."""

    def overlap(self, position: np.ndarray) -> float:
        """How deep a carton is in a belt, in its neighbour, or in floor and walls, at most [m]."""
        if self.name == "heap":
            (floor, _), *sides = self.walls
            deep = [float((floor[2] + 0.05 - (position[:, 2] - HALF.min())).max())]
            for center, half in sides:
                axis = int(np.argmin(half[:2]))
                inner = (half[axis] + HALF.min()) - np.abs(position[:, axis] - center[axis])
                deep.append(float(inner[position[:, 2] < 2.0].max(initial=0.0)))
            return max(0.0, *deep)
        deep = [float((HALF[2] - position[:, 2]).max())]
        if self.name == "queue":
            for k in range(0, len(position), ON_A_BELT):
                x = np.sort(position[k : k + ON_A_BELT, 0])
                deep.append(float((2.0 * HALF[0] - np.diff(x)).max(initial=0.0)))
        return max(0.0, *deep)

    def lost(self, position: np.ndarray) -> int:
        """Cartons that left where they belong."""
        bad = ~np.isfinite(position).all(axis=1) | (position[:, 2] < -0.2)
        if self.name == "heap":
            lower, upper = self.cartons.min(axis=0) - 1.5, self.cartons.max(axis=0) + 1.5
            bad |= ((position < lower) | (position > upper))[:, :2].any(axis=1)
        elif self.name == "queue":
            bad |= position[:, 0] > 0.2
        return int(bad.sum())

    def speed_error(self, moved: np.ndarray, seconds: float) -> float:
        """Of singulated cartons, at most [1]; of others it means nothing."""
        return float(np.abs(moved[:, 0] / seconds / SPEED - 1.0).max()) if self.name == "singulated" else float("nan")


def _belts(count: int) -> np.ndarray:
    lanes = -(-count // ON_A_BELT)
    return np.stack([np.zeros(lanes), np.arange(lanes, dtype=float), np.full(lanes, -0.05)], axis=1)


def singulated(count: int) -> Scene:
    """Every carton by itself, riding."""
    k = np.arange(count)
    places = np.stack([0.6 * (k % ON_A_BELT) - 25.0, 1.0 * (k // ON_A_BELT), np.full(count, HALF[2])], axis=1)
    return Scene("singulated", places, _belts(count), [], 60)


def queue(count: int) -> Scene:
    """Fifty on a belt against a stop, the belt running on below them."""
    k = np.arange(count)
    places = np.stack([-0.25 - 0.41 * (k % ON_A_BELT), 1.0 * (k // ON_A_BELT), np.full(count, HALF[2])], axis=1)
    belts = _belts(count)
    walls = [(np.array([0.05, y, 0.2]), np.array([0.05, 0.4, 0.19])) for y in belts[:, 1]]
    return Scene("queue", places, belts, walls, 300)


def heap(count: int) -> Scene:
    """Dropped into a bin eight deep, each a little aside of the one below."""
    side = int(np.ceil(np.sqrt(count / LAYERS)))
    k = np.arange(count)
    layer = k // (side * side)
    aside = 0.05 * np.stack([np.sin(7.0 * layer), np.cos(5.0 * layer)], axis=1)
    x, y = 0.46 * (k % side) + aside[:, 0], 0.36 * (k // side % side) + aside[:, 1]
    places = np.stack([x, y, 0.2 + 0.36 * layer], axis=1)
    low, high = places[:, :2].min(axis=0) - 0.35, places[:, :2].max(axis=0) + 0.35
    middle, half = (low + high) / 2.0, (high - low) / 2.0
    walls = [(np.array([*middle, -0.05]), np.array([*(half + 0.5), 0.05]))]
    for axis in range(2):
        for sign in (-1.0, 1.0):
            center, size = np.array([*middle, 2.0]), np.array([*(half + 0.4), 2.0])
            center[axis] += sign * (half[axis] + 0.2)
            size[axis] = 0.2
            walls.append((center, size))
    return Scene("heap", places, np.zeros((0, 3)), walls, 90)


SCENES: dict[str, Callable[[int], Scene]] = {"singulated": singulated, "queue": queue, "heap": heap}
