"""The stream of poses: absolute values of what changed since a client's last frame, encoded once for all in step.

Space is cut into cells. What changed in a cell since some frame is encoded once and shared by every client that holds that
frame; a client gets the cells near its camera with every frame and those far off with every second or fourth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from twin.model.frame import StateFrame
from twin.protocol.frames import BODIES, CELL_M, GONE, GOODS, encode_block, frame_header, pack_rotation, quantise

DEAD_BAND_M = 0.001
DEAD_BAND_Q = 0.0017
"""Half the sine of 0.2 degrees: a quaternion component that moves less is left alone."""
NEAR_M, MIDDLE_M = 60.0, 160.0
"""Cells nearer to the camera than this come with every frame, with every second; others, and those behind it, every fourth."""
FAR = 4
CELL_RADIUS_M = CELL_M * math.sqrt(3.0) / 2.0
LOOKED_M, LOOKED_COS = 2.0, 0.985
"""A camera that moves less than this, or turns less than about ten degrees, changes no rates."""
REACH_M = 1.0e6
"""What is further away than this is not shown where it is."""
MANY_CELLS = 4096
UPRIGHT = (0.0, 0.0, 0.0, 1.0)

Parts = dict[int, tuple[int, bytes]]
"""Number of blocks and their bytes, by cell."""


class FrameEncoder:
    """Keeps the poses as last sent, and when each changed.

    ``push`` takes the newest frame and gives it a number; ``encode(since)`` gives everything that changed after frame
    number ``since`` (0: everything). Numbers go up always, ticks do not: an edit while the twin is paused changes poses and
    leaves the tick, and a failed run goes back.

    Attributes:
        number: Number of the newest frame, 0 before the first.
        whole: Frames before this one say nothing about what comes after it.
        version: Version of the body table that the frames need.
        cells: Number of the frame in which something in the cell last changed, by cell.
        born: Up to this frame nothing stood in the cell, by cell.
    """

    def __init__(self) -> None:
        self.version = 0
        self.number = 0
        self.whole = 0
        self.cells: dict[int, int] = {}
        self.born: dict[int, int] = {}
        self._tick = 0
        self._time = self._wall = 0.0
        self._shape: tuple[int, int] = (-1, -1)
        self._parts: dict[int, Parts] = {}
        self._gone: dict[int, tuple[int, bytes]] = {}
        self._whole_frames: dict[int, bytes] = {}

    @property
    def ready(self) -> bool:
        """There is something to send."""
        return self._shape[0] >= 0

    def reset(self, version: int) -> None:
        """A new table of bodies: nothing that was sent holds any longer."""
        self.version = version
        self._shape = (-1, -1)
        self._forget()

    def _forget(self) -> None:
        self._parts.clear()
        self._gone.clear()
        self._whole_frames.clear()

    def push(self, frame: StateFrame, wall_time: float | None = None) -> None:
        """Take the newest frame, of the moment ``wall_time`` [s UTC], else now."""
        self.number += 1
        self._wall = time.time() if wall_time is None else wall_time
        shape = (len(frame.body_position), len(frame.item_position))
        position = np.concatenate([frame.body_position, frame.item_position], dtype=np.float32)
        rotation = np.concatenate([frame.body_rotation, frame.item_rotation], dtype=np.float32)
        identity = np.concatenate([np.full(shape[0], -1), np.where(frame.item_alive, frame.item_id, -2)])
        kind = np.concatenate([np.zeros(shape[0], np.int64), frame.item_prototype])
        here = identity > -2
        position[~here], rotation[~here] = 0.0, UPRIGHT  # whatever an empty slot holds
        if shape != self._shape or frame.tick < self._tick:
            self._begin(shape, len(position))
            self._mend(position, rotation)
            moved = turned = named = np.ones(len(position), bool)
        else:
            self._mend(position, rotation)
            turned = _differs(rotation, self._rotation, DEAD_BAND_Q)
            named = (identity != self._identity) | (kind != self._kind)
            moved = _differs(position, self._position, DEAD_BAND_M) | turned | named
        rows = np.flatnonzero(moved)
        self._position[rows], self._rotation[rows] = position[rows], rotation[rows]
        self._identity[rows], self._kind[rows] = identity[rows], kind[rows]
        self._take(rows, turned[rows], named[rows])
        self._tick, self._time = frame.tick, frame.sim_time
        self._forget()

    def _begin(self, shape: tuple[int, int], n: int) -> None:
        """What was sent before this no longer holds."""
        self._shape = shape
        self.whole = self.number
        self.cells.clear()
        self.born.clear()
        self._position, self._rotation = np.zeros((n, 3), np.float32), np.tile(np.array(UPRIGHT, np.float32), (n, 1))
        self._identity, self._kind = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._moved, self._turned, self._named = (np.zeros(n, np.int64) for _ in range(3))
        self._steps, self._packed = np.zeros((n, 3), np.uint16), np.zeros(n, np.uint32)
        self._cell, self._place = np.full(n, -1, np.int64), np.zeros(n, np.int64)
        self._keys: list[int] = []
        self._places: dict[int, int] = {}

    def _mend(self, position: np.ndarray, rotation: np.ndarray) -> None:
        """What is no number, or out of the world, stays where it was: one broken body must not stop the stream."""
        if np.abs(position).max(initial=0.0) < REACH_M and np.abs(rotation).max(initial=0.0) < REACH_M:
            return  # which is not true of what is no number either
        broken = ~(np.abs(position).max(axis=1, initial=0.0) < REACH_M) | ~np.isfinite(rotation).all(axis=1)
        if broken.any():
            position[broken], rotation[broken] = self._position[broken], self._rotation[broken]

    def _take(self, rows: np.ndarray, turned: np.ndarray, named: np.ndarray) -> None:
        """Put what changed as it is sent, and note that it did."""
        axes, self._steps[rows] = quantise(self._position[rows])
        cell = ((axes[:, 0] + 32768) << 32) | ((axes[:, 1] + 32768) << 16) | (axes[:, 2] + 32768)
        # in a new cell a body is told whole: its client may hold an older frame of the cell that it comes from
        crossed = cell != self._cell[rows]
        anew, spun = rows[crossed | named], rows[crossed | named | turned]
        self._cell[rows] = cell
        self._packed[spun] = pack_rotation(self._rotation[spun])
        self._moved[rows], self._turned[spun], self._named[anew] = self.number, self.number, self.number
        if crossed.any():
            self._settle(rows[crossed], cell[crossed])
        touched = np.bincount(self._place[rows[self._identity[rows] > -2]], minlength=len(self._keys))
        for place in np.flatnonzero(touched).tolist():
            key = self._keys[place]
            self.cells[key] = self.number
            self.born.setdefault(key, self.number - 1)
        if len(self.cells) > MANY_CELLS:
            occupied = set(self._cell.tolist())
            self.cells = {key: number for key, number in self.cells.items() if key in occupied}
            self.born = {key: self.born[key] for key in self.cells}
            self._keys, self._places = [], {}
            self._settle(np.arange(len(self._cell)), self._cell)

    def _settle(self, rows: np.ndarray, cell: np.ndarray) -> None:
        """Number the cells that bodies have come to: small numbers are quick to sort by."""
        keys, inverse = np.unique(cell, return_inverse=True)
        for key in keys.tolist():
            if key not in self._places:
                self._places[key] = len(self._keys)
                self._keys.append(key)
        self._place[rows] = np.array([self._places[key] for key in keys.tolist()])[inverse.reshape(-1)]

    # ---- what clients are sent

    def parts(self, since: int) -> Parts:
        """What changed after frame ``since``, by cell."""
        found = self._parts.get(since)
        if found is None:
            found = self._parts[since] = self._encode_parts(since)
        return found

    def gone(self, since: int) -> tuple[int, bytes]:
        """Slots that have become empty after frame ``since``: number of blocks, and their bytes."""
        found = self._gone.get(since)
        if found is None:
            bodies = self._shape[0]
            slots = np.flatnonzero((self._named[bodies:] > since) & (self._identity[bodies:] == -2))
            blocks = encode_block(GONE, slots) if len(slots) and since else []
            found = self._gone[since] = (len(blocks), b"".join(blocks))
        return found

    def _encode_parts(self, since: int) -> Parts:
        bodies = self._shape[0]
        rows = np.flatnonzero((self._moved > since) & (self._identity > -2))
        if len(rows) == 0:
            return {}
        goods = rows >= bodies
        spun, anew = self._turned[rows] > since, (self._named[rows] > since) & goods
        # what stands in one block: the same kind with the same things to tell
        sort = goods * 4 + anew * 2 + (spun | anew)
        group = self._place[rows] * 8 + sort
        if len(self._keys) < 8192:
            group = group.astype(np.uint16)  # radix sort
        order = np.argsort(group, kind="stable")
        rows, group = rows[order], group[order]
        ids = np.where(rows >= bodies, rows - bodies, rows)
        steps, packed = self._steps[rows], self._packed[rows]
        meta = ((self._kind[rows] & 1023) | ((self._identity[rows] % 64) << 10)).astype(np.uint16)
        ends = np.flatnonzero(group[1:] != group[:-1]) + 1
        parts: Parts = {}
        span = self.number - since if since else 0
        for a, b in zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True):
            place, what = divmod(int(group[a]), 8)
            key = self._keys[place]
            blocks = encode_block(
                GOODS if what & 4 else BODIES,
                ids[a:b],
                cell=cell_of(key),
                span=span,
                steps=steps[a:b],
                packed=packed[a:b] if what & 1 else None,
                meta=meta[a:b] if what & 2 else None,
            )
            count, data = parts.get(key, (0, b""))
            parts[key] = (count + len(blocks), data + b"".join(blocks))
        return parts

    def assemble(self, base: int, pieces: Sequence[tuple[int, bytes]]) -> bytes:
        """A frame of the newest moment out of blocks."""
        header = frame_header(
            number=self.number,
            base=base,
            version=self.version,
            sim_time=self._time,
            wall_time=self._wall,
            tick=self._tick,
            blocks=sum(count for count, _ in pieces),
        )
        return b"".join([header, *(data for _, data in pieces)])

    def encode(self, since: int) -> bytes | None:
        """The frame for a client that has everything up to frame number ``since``; None before the first frame."""
        if not self.ready:
            return None
        since = since if self.whole <= since <= self.number else 0
        data = self._whole_frames.get(since)
        if data is None:
            data = self._whole_frames[since] = self.assemble(since, [self.gone(since), *self.parts(since).values()])
        return data


def _differs(a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """[n] where a component of ``a`` [n,k] is off that of ``b`` by more than ``limit``; column by column, which is quick."""
    apart = np.abs(a - b)
    found = apart[:, 0] > limit
    for column in range(1, apart.shape[1]):
        found |= apart[:, column] > limit
    return np.asarray(found)


def cell_of(key: int) -> tuple[int, int, int]:
    """Cell (x, y, z) of a key of ``FrameEncoder.cells``."""
    return (key >> 32) - 32768, ((key >> 16) & 0xFFFF) - 32768, (key & 0xFFFF) - 32768


class Follower:
    """What one client has been sent, and so what its next frame must hold.

    Attributes:
        last: Number of the frame it got last, 0 none.
    """

    def __init__(self) -> None:
        self.last = 0
        self._since: dict[int, int] = {}
        self._entered = 0
        """Every cell that ``_since`` does not name is up to date as of this frame."""
        self._even = False
        """So are all cells, as of the last frame."""
        self._eye: tuple[float, ...] | None = None
        self._ahead: tuple[float, ...] = (0.0, 0.0, 0.0)
        self._strides: dict[int, int] = {}

    def restart(self) -> None:
        """The next frame is whole."""
        self.last = 0

    def look(self, camera: Sequence[float]) -> None:
        """Where the client's camera is and looks: position and target [m], six numbers; anything else: everywhere."""
        if len(camera) != 6 or not all(math.isfinite(v) for v in camera):
            self._eye = None
            self._strides.clear()
            return
        eye, target = tuple(camera[:3]), tuple(camera[3:])
        reach = math.dist(eye, target) or 1.0
        ahead = tuple((t - e) / reach for e, t in zip(eye, target, strict=True))
        turn = sum(a * b for a, b in zip(ahead, self._ahead, strict=True))
        if self._eye is not None and math.dist(eye, self._eye) < LOOKED_M and turn > LOOKED_COS:
            return
        self._eye, self._ahead = eye, ahead
        self._strides.clear()

    def _stride(self, cell: int) -> int:
        """Of how many frames one holds the cell."""
        stride = self._strides.get(cell)
        if stride is None:
            stride = self._strides[cell] = 1 if self._eye is None else self._wanted(cell, self._eye)
        return stride

    def _wanted(self, cell: int, eye: tuple[float, ...]) -> int:
        offset = [(c + 0.5) * CELL_M - e for c, e in zip(cell_of(cell), eye, strict=True)]
        if sum(o * a for o, a in zip(offset, self._ahead, strict=True)) < -CELL_RADIUS_M:
            return FAR
        distance = math.hypot(*offset) - CELL_RADIUS_M
        return 1 if distance < NEAR_M else 2 if distance < MIDDLE_M else FAR

    def frame(self, encoder: FrameEncoder) -> bytes | None:
        """The client's next frame, which it is taken to receive; None before there is one."""
        if not encoder.ready:
            return None
        number = encoder.number
        if not encoder.whole <= self.last <= number or len(self._since) > 2 * MANY_CELLS:
            self._all_sent(number)
            return encoder.encode(0)
        if self._eye is None and self._even:
            data = encoder.encode(self.last)  # the same bytes for all who are in step
            self._all_sent(number)
            return data
        pieces = [encoder.gone(self.last)]
        for cell, changed in encoder.cells.items():
            since = self._since.get(cell) or max(self._entered, encoder.born[cell])
            if changed > since:
                stride = self._stride(cell)
                # cells take turns, so that frames are of like size; who is late is served at once
                if (number + cell + (cell >> 16) + (cell >> 32)) % stride and number - since < stride:
                    continue
                part = encoder.parts(since).get(cell)
                if part is not None:
                    pieces.append(part)
            self._since[cell] = number
        base, self.last = self.last, number
        self._even = self._eye is None
        if self._even:
            self._all_sent(number)
        return encoder.assemble(base, pieces)

    def _all_sent(self, number: int) -> None:
        self.last = self._entered = number
        self._even = True
        self._since.clear()
