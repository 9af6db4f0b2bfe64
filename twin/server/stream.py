"""The stream of poses: absolute values of what changed since a client's last frame, encoded once for all in step."""

from __future__ import annotations

import numpy as np

from twin.model.frame import StateFrame
from twin.protocol.frames import BODIES, GOODS, Poses, encode_frame

DEAD_BAND_M = 0.001
DEAD_BAND_Q = 0.0017
"""Half the sine of 0.2 degrees: a quaternion component that moves less is left alone."""
CACHED = 32
REMEMBERED = 600
"""A client that is further behind than this many frames gets a whole one."""


class FrameEncoder:
    """Keeps the poses as last sent, and when each changed.

    ``push`` takes the newest frame and gives it a number; ``encode(since)`` gives everything that changed after frame
    number ``since`` (0: everything). Numbers go up always, ticks do not: an edit while the twin is paused changes poses and
    leaves the tick, and a failed run goes back.

    Attributes:
        number: Number of the newest frame, 0 before the first.
        version: Version of the body table that the frames need.
    """

    def __init__(self) -> None:
        self.version = 0
        self.number = 0
        self._whole = 0
        self._tick = 0
        self._ticks: dict[int, int] = {}
        self._time = 0.0
        self._shape: tuple[int, int] = (-1, -1)
        self._cache: dict[int, bytes] = {}

    def reset(self, version: int) -> None:
        """A new table of bodies: nothing that was sent holds any longer."""
        self.version = version
        self._shape = (-1, -1)
        self._cache.clear()

    def push(self, frame: StateFrame) -> None:
        """Take the newest frame."""
        self.number += 1
        shape = (len(frame.body_position), len(frame.item_position))
        position = np.concatenate([frame.body_position, frame.item_position]) if sum(shape) else np.zeros((0, 3))
        rotation = np.concatenate([frame.body_rotation, frame.item_rotation]) if sum(shape) else np.zeros((0, 4))
        identity = np.concatenate([np.full(shape[0], -1), np.where(frame.item_alive, frame.item_id, -2)])
        kind = np.concatenate([np.zeros(shape[0], np.int64), frame.item_prototype])
        if shape != self._shape or frame.tick < self._tick:
            self._shape = shape
            self._whole = self.number  # what was sent before this no longer holds
            self._ticks.clear()
            self._position, self._rotation = position.copy(), rotation.copy()
            self._identity, self._kind = identity.copy(), kind.copy()
            self._changed = np.full(len(position), self.number, np.int64)
        else:
            moved = np.abs(position - self._position).max(axis=1, initial=0.0) > DEAD_BAND_M
            moved |= np.abs(rotation - self._rotation).max(axis=1, initial=0.0) > DEAD_BAND_Q
            moved |= (identity != self._identity) | (kind != self._kind)
            for kept, new in (
                (self._position, position),
                (self._rotation, rotation),
                (self._identity, identity),
                (self._kind, kind),
            ):
                kept[moved] = new[moved]
            self._changed[moved] = self.number
        self._alive = frame.item_alive.copy()
        self._tick, self._time = frame.tick, frame.sim_time
        self._ticks[self.number] = frame.tick
        self._ticks.pop(self.number - REMEMBERED, None)
        self._cache.clear()

    def encode(self, since: int) -> bytes | None:
        """The frame for a client that has everything up to frame number ``since``; None before the first frame."""
        if self._shape[0] < 0:
            return None
        since = since if self._whole <= since <= self.number and since in self._ticks else 0
        data = self._cache.get(since)
        if data is None:
            data = self._encode(since)
            if len(self._cache) < CACHED:
                self._cache[since] = data
        return data

    def _encode(self, since: int) -> bytes:
        bodies, slots = self._shape
        fresh = self._changed > since if since else np.ones(bodies + slots, bool)
        body = np.flatnonzero(fresh[:bodies])
        slot = np.flatnonzero(fresh[bodies:] & self._alive)
        rows = bodies + slot
        return encode_frame(
            tick=self._tick,
            since=self._ticks.get(since, 0),
            version=self.version,
            sim_time=self._time,
            alive=self._alive,
            poses=[
                Poses(BODIES, body, self._position[body], self._rotation[body]),
                Poses(GOODS, slot, self._position[rows], self._rotation[rows], self._kind[rows], self._identity[rows] % 64),
            ],
        )
