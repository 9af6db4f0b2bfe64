"""Shadow mode: live values drive the twin instead of the simulation.

What drives what: ``speed`` of a conveyor its belt; role ``state`` of a node its state (NodeState, as a number or by name); role
``count`` what has passed a node; the signal of a photo-eye the goods on its belt; role ``pose`` of a body its pose (``x``, ``y``,
``z`` [m] and ``theta`` about the up axis), of a joint its angle or travel.

Values are put into order of source time: the shadow runs ``window_s`` behind the present and applies each value at its moment,
however late within the window it came. Later ones are counted in ``late`` and change nothing. Between two values of its speed
a belt runs evenly, so where the goods are follows from the values alone, not from how the twin is stepped.

An item appears where a photo-eye saw it, is moved by the belt, corrected by the next eye, and vanishes where an eye that should
have seen it did not.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise

import numpy as np

from twin.core.clock import now_ns
from twin.core.findings import Finding
from twin.core.samples import Sample, SignalKey, is_bad
from twin.live.places import Belt, Eye, belts_of, eyes_of
from twin.live.poses import BodyPoses
from twin.model.factory import FactoryModel, NodeKind, NodeState
from twin.model.frame import Counts, StateFrame
from twin.sim.sensors import simulated_signals
from twin.sim.simulation import item_capacity, lead_edges_s

WINDOW_S = 1.0
MOST_WAITING = 200_000


class ShadowFeed:
    """Where the connections hand over every sample; any thread. ``overflow`` counts what found no room."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Sample] = []
        self.overflow = 0

    def append(self, samples: list[Sample]) -> None:
        with self._lock:
            room = max(MOST_WAITING - len(self._waiting), 0)
            self._waiting.extend(samples[:room])
            self.overflow += max(len(samples) - room, 0)

    def take(self) -> list[Sample]:
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken


@dataclass
class _Item:
    """Goods on a belt: ``at`` is the centre along it [m]; ``seen``: eyes that have seen it there; ``held``: waits at its end."""

    slot: int
    id: int
    prototype: int
    node: int
    at: float
    born_s: float
    seen: set[int] = field(default_factory=set)
    held: bool = False


class ShadowLine:
    """Stands where the simulation stands in a running twin, and is moved by what the plant says.

    Args:
        model: The compiled factory. feed: Gives the plant's samples. hz: Steps per second.
        window_s: How far behind the present it runs [s]. tolerance: Distance within which an eye means an item that is known
            [m]; None: an item's length. clock: Wall clock [ns UTC].

    Attributes:
        late: Values that came after the window. appeared, corrected, vanished: What the eyes did to the goods.
    """

    def __init__(
        self,
        model: FactoryModel,
        feed: ShadowFeed,
        *,
        hz: float = 60.0,
        window_s: float = WINDOW_S,
        tolerance: float | None = None,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self.hz, self.window_s, self._feed, self._tolerance = hz, window_s, feed, tolerance
        self.capacity = max(item_capacity(model), 64)
        self._begin_ns = clock() - round(window_s * 1e9)
        self.tick = 0
        self._now_ns = self._begin_ns
        self._events: list[tuple[int, int, Sample]] = []
        self._order = count()
        self._items: list[_Item] = []
        self._ids = count(1)
        self.late = self.appeared = self.corrected = self.vanished = self.refused = 0
        self.spawned = self.sunk = 0
        self._values: dict[SignalKey, float | int | bool | str] = {}
        self._lead_us = self._pieces_us = 0
        self._build(model)

    def _build(self, model: FactoryModel) -> None:
        self.model = model
        n = len(model.nodes)
        self._belts: dict[int, Belt] = belts_of(model)
        self._eyes: dict[SignalKey, Eye] = eyes_of(model, self._belts)
        self._poses = BodyPoses(model)
        self._node_of = {node.path: i for i, node in enumerate(model.nodes)}
        self._roles = {SignalKey(s.prim, s.name): s for s in model.signals}
        self._speed = {i: node.speed for i, node in enumerate(model.nodes) if node.kind == NodeKind.CONVEYOR}
        self._told_state: dict[int, int] = {}
        self._taken: dict[int, int] = {}
        self._in = np.zeros(n, np.int64)
        self._out = np.zeros(n, np.int64)
        self._level_us = np.zeros(n, np.int64)
        self._state_us = np.zeros((n, len(NodeState)), np.int64)
        self._length = [p.length for p in model.rigid.prototypes] or [0.3]
        sources = [node.items for node in model.nodes if node.kind == NodeKind.SOURCE and node.items]
        self._usual = sources[0][0] if sources else 0

    # ---- what a runtime asks of a simulation

    @property
    def time(self) -> float:
        """Seconds since the shadow began."""
        return self.tick / self.hz

    @property
    def shown_ns(self) -> int:
        """The moment of the plant that is shown [ns UTC]."""
        return self._now_ns

    @property
    def findings(self) -> list[Finding]:
        out = list(self.model.findings)
        for node in self.model.nodes:
            if node.kind == NodeKind.CONVEYOR and self._node_of[node.path] not in self._belts:
                out.append(Finding("warning", node.path, "not-shadowed", "a belt without a place shows no goods"))
        return out

    def step(self, steps: int = 1) -> None:
        """Go on by ``steps`` steps, value by value."""
        for sample in self._feed.take():
            if sample.time < self._now_ns:
                self.late += 1
                continue
            heapq.heappush(self._events, (sample.time, next(self._order), sample))
        self.tick += steps
        target = self._begin_ns + round(self.tick * 1e9 / self.hz)
        while self._events and self._events[0][0] <= target:
            time_ns, _, sample = heapq.heappop(self._events)
            self._advance(time_ns)
            self._apply(sample)
        self._advance(target)

    def update(self, model: FactoryModel, now: Callable[[str], str] = str) -> bool:
        """Take over an edited model, in which prims are called what ``now`` says; goods stay on belts that stay."""
        kept = [(now(self.model.nodes[i.node].path), i) for i in self._items]
        states = {now(self.model.nodes[n].path): s for n, s in self._told_state.items()}
        values = {key.moved(now): value for key, value in self._values.items()}
        self._build(model)
        self._items = []
        for path, item in kept:
            node = self._node_of.get(path)
            if node in self._belts and item.prototype < max(len(model.rigid.prototypes), 1):
                item.node = node  # type: ignore[assignment]
                self._items.append(item)
        self._told_state = {self._node_of[p]: s for p, s in states.items() if p in self._node_of}
        for key, value in values.items():
            self._drive(key, value)
        return True

    def frame(self) -> StateFrame:
        """What is to be seen now."""
        model, n = self.model, len(self.model.nodes)
        position, rotation = self._poses.world()
        shape, upright = (self.capacity,), np.array([0, 0, 0, 1], np.float32)
        frame = StateFrame(
            sim_time=self.time, tick=self.tick, body_position=position, body_rotation=rotation,
            item_alive=np.zeros(shape, bool), item_id=np.zeros(shape, np.int64), item_prototype=np.full(shape, -1, np.int32),
            item_position=np.zeros((*shape, 3), np.float32), item_rotation=np.tile(upright, (*shape, 1)),
            item_pieces=np.zeros(shape, np.int32), node_state=self._states(), node_level=self._levels(),
            node_in=self._in.copy(), node_out=self._out.copy(), counts=self.counts(),
        )  # fmt: skip
        for item in self._items:
            belt = self._belts[item.node]
            k = item.slot
            frame.item_alive[k], frame.item_id[k], frame.item_prototype[k], frame.item_pieces[k] = (
                True,
                item.id,
                item.prototype,
                1,
            )
            prototype = model.rigid.prototypes[item.prototype] if model.rigid.prototypes else None
            frame.item_position[k] = belt.place(item.at, prototype)
            frame.item_rotation[k] = belt.rotation
        if n:
            frame.signals = simulated_signals(model, frame)
        return frame

    def counts(self) -> Counts:
        """Pieces since the shadow began; those whose eye did not see them are lost."""
        inside = len(self._items) + sum(self._taken.values())
        return Counts(spawned=self.spawned, inside=inside, sunk=self.sunk, lost=self.vanished)

    def statistics(self) -> dict[str, np.ndarray]:
        """Integrals since the shadow began, as the simulation has them."""
        whole = {
            "time_us": round(self.time * 1e6), "pieces_us": self._pieces_us, "lead_us": self._lead_us,
            "sunk": self.sunk, "spawned": self.spawned, "scrapped": 0,
        }  # fmt: skip
        arrays = {"state_us": self._state_us, "level_us": self._level_us, "entered": self._in, "left": self._out}
        out = {name: np.array(value, np.int64) for name, value in whole.items()}
        return out | {name: a.copy() for name, a in arrays.items()} | {"lead_hist": np.zeros(len(lead_edges_s()) - 1, np.int64)}

    def snapshot(self) -> dict[str, np.ndarray]:
        """A shadow follows the plant: there is nothing to go back to."""
        return {"line.phase": np.zeros((1, self.capacity)), "tick": np.array(self.tick)}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Nothing to go back to."""

    # ---- values

    def _apply(self, sample: Sample) -> None:
        value = sample.value
        if value is None or is_bad(sample.quality):
            return  # the last one holds; that it is doubtful is shown where the value is
        before = self._values.get(sample.key)
        self._values[sample.key] = value
        eye = self._eyes.get(sample.key)
        if eye is not None:
            if bool(value) and not bool(before):
                self._seen(eye)
            return
        self._drive(sample.key, value)

    def _drive(self, key: SignalKey, value: float | int | bool | str) -> None:
        signal = self._roles.get(key)
        if signal is None:
            return
        node = self._node_of.get(key.prim)
        if signal.role == "pose":
            self._poses.drive(signal, value)
        elif node is None:
            return
        elif signal.role == "state":
            state = _state_of(value)
            if state is not None:
                self._told_state[node] = state
        elif signal.role == "count" and isinstance(value, (int, float)):
            passed = int(value)
            counted = self._in if self.model.nodes[node].kind == NodeKind.SINK else self._out
            if passed > counted[node]:
                self._release(node)
            counted[node] = passed
        elif key.name == "speed" and node in self._speed and isinstance(value, (int, float)):
            self._speed[node] = float(value)

    # ---- goods

    def _advance(self, to_ns: int) -> None:
        dt_ns = to_ns - self._now_ns
        if dt_ns <= 0:
            return
        dt, dt_us = dt_ns / 1e9, dt_ns // 1000
        self._now_ns = to_ns
        levels, states = self._levels(), self._states()
        self._level_us += levels.astype(np.int64) * dt_us
        if len(states):
            self._state_us[np.arange(len(states)), states] += dt_us
        self._pieces_us += len(self._items) * dt_us
        for item in sorted(self._items, key=lambda i: -i.at):  # the foremost first, so that none overtakes
            if not item.held:
                self._carry(item, dt)
        self._queue_up()

    def _carry(self, item: _Item, dt: float) -> None:
        """Along its belt, over to the next one; an item that an eye should have seen and did not is gone."""
        while dt > 0.0:
            belt, speed = self._belts[item.node], self._speed[item.node]
            if speed <= 0.0:
                return
            room = belt.length - item.at
            if speed * dt < room:
                item.at += speed * dt
                self._missed(item)
                return
            dt -= max(room, 0.0) / speed
            item.at = belt.length
            if self._missed(item) or not self._hand_over(item):
                return

    def _queue_up(self) -> None:
        """Behind what is held at the end of a belt the others stand in a row, as far as the belt is long."""
        for node in {i.node for i in self._items if i.held}:
            row = sorted((i for i in self._items if i.node == node), key=lambda i: (not i.held, -i.at))
            for ahead, item in pairwise(row):
                gap = (self._length[ahead.prototype] + self._length[item.prototype]) / 2.0
                item.at = min(item.at, max(ahead.at - gap, 0.0))

    def _hand_over(self, item: _Item) -> bool:
        """To the next belt, out at a sink, or held by what stands at the end; returns whether it goes on moving."""
        node, step = item.node, 0
        while self.model.nodes[node].next and step < len(self.model.nodes):
            following = self.model.nodes[node].next[0]
            kind = self.model.nodes[following].kind
            if kind == NodeKind.CONVEYOR and following in self._belts:
                self._count_pass(item.node)
                item.node, item.at, item.seen = following, 0.0, set()
                return True
            if kind == NodeKind.SINK:
                self._count_pass(item.node)
                self._remove(item)
                self.sunk += 1
                self._lead_us += round((self._now_ns - self._begin_ns) / 1e3 - item.born_s * 1e6)
                if not self._is_told(following):
                    self._in[following] += 1
                return False
            if self._is_told(following):  # it says itself when it lets go
                if self.model.nodes[following].batch_size > 1:  # and takes in what it makes one of
                    self._count_pass(item.node)
                    self._remove(item)
                    self._taken[following] = self._taken.get(following, 0) + 1
                else:
                    item.held = True
                return False
            node, step = following, step + 1
        return False

    def _release(self, node: int) -> None:
        """What a node's count says has left it: the foremost item that waits before it goes on behind it."""
        following = next((k for k in self.model.nodes[node].next if k in self._belts), None)
        if (size := self.model.nodes[node].batch_size) > 1:
            self._taken[node] = max(self._taken.get(node, 0) - size, 0)
            if following is not None:
                self._appear(following, 0.0, max(self.model.nodes[node].output, 0), set())
            return
        waiting = [i for i in self._items if i.held and node in self.model.nodes[i.node].next]
        if not waiting:
            return
        item = max(waiting, key=lambda i: i.at)
        for one in waiting:  # the others move up
            one.held = False
        if following is None:
            self._remove(item)
            self.sunk += 1
            return
        item.node, item.at, item.seen = following, 0.0, set()

    def _is_told(self, node: int) -> bool:
        """Whether the plant counts what passes a node."""
        path = self.model.nodes[node].path
        return any(k.prim == path and self._roles[k].role == "count" for k in self._values if k in self._roles)

    def _count_pass(self, node: int) -> None:
        if not self._is_told(node):
            self._out[node] += 1

    def _seen(self, eye: Eye) -> None:
        """The beam of an eye was just broken: the front of an item is there."""
        near = [i for i in self._items if i.node == eye.node and eye.number not in i.seen]
        half = self._length[self._usual] / 2.0
        best = min(near, key=lambda i: abs(i.at + self._length[i.prototype] / 2.0 - eye.at), default=None)
        if best is not None:
            half = self._length[best.prototype] / 2.0
            if abs(best.at + half - eye.at) <= self._reach(best.prototype):
                best.at, best.held = max(eye.at - half, 0.0), False
                best.seen.add(eye.number)
                self.corrected += 1
                return
        # eyes behind the place cannot have seen it
        behind = {e.number for e in self._eyes.values() if e.node == eye.node and e.at <= eye.at}
        if self._appear(eye.node, max(eye.at - half, 0.0), self._usual, behind):
            self.appeared += 1
            self.spawned += 1
            if not self._is_told(eye.node):
                self._in[eye.node] += 1

    def _appear(self, node: int, at: float, prototype: int, seen: set[int]) -> bool:
        """Put goods on a belt; False where there is no room for more."""
        slots = {i.slot for i in self._items}
        slot = next((k for k in range(self.capacity) if k not in slots), None)
        if slot is None:
            self.refused += 1
            return False
        born = (self._now_ns - self._begin_ns) / 1e9
        self._items.append(_Item(slot, next(self._ids), prototype, node, at, born, seen))
        return True

    def _missed(self, item: _Item) -> bool:
        """Whether an eye that lives should have seen the item by now and has not; then it is gone."""
        front = item.at + self._length[item.prototype] / 2.0
        for key, eye in self._eyes.items():
            if eye.node != item.node or eye.number in item.seen or key not in self._values:
                continue
            if front > eye.at + self._reach(item.prototype):
                self._remove(item)
                self.vanished += 1
                return True
        return False

    def _reach(self, prototype: int) -> float:
        return self._length[prototype] if self._tolerance is None else self._tolerance

    def _remove(self, item: _Item) -> None:
        self._items.remove(item)

    def _levels(self) -> np.ndarray:
        levels = np.zeros(len(self.model.nodes), np.int32)
        for item in self._items:
            levels[item.node] += 1
        for node, pieces in self._taken.items():
            levels[node] += pieces
        return levels

    def _states(self) -> np.ndarray:
        """What the plant says; else a node with goods works, and a belt that stands with goods on it is blocked."""
        levels = self._levels()
        states = np.where(levels > 0, NodeState.WORKING, NodeState.STARVED).astype(np.int8)
        for node, speed in self._speed.items():
            if speed <= 0.0:
                states[node] = NodeState.BLOCKED if levels[node] else NodeState.OFF
        for node, state in self._told_state.items():
            states[node] = state
        return states


def _state_of(value: float | int | bool | str) -> int | None:
    if isinstance(value, str):
        name = value.strip().upper().replace(" ", "_")
        return int(NodeState[name]) if name in NodeState.__members__ else None
    number = int(value)
    return number if number in NodeState._value2member_map_ else None
