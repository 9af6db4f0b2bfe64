"""The owner thread: everything that touches the stage or the simulation of a running twin happens on it."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

from twin.core import log
from twin.core.clock import now_ns
from twin.core.errors import InputError, Rejected, WorkError
from twin.core.samples import Sample, SignalKey
from twin.flow import LineState
from twin.live.figures import SlidingFigures
from twin.live.shadow import ShadowFeed, ShadowLine
from twin.live.signals import SignalBoard
from twin.model.factory import FactoryModel
from twin.model.frame import StateFrame
from twin.protocol.messages import (
    BodyTable,
    Clock,
    Connectors,
    ConnectorStatus,
    KpiBatch,
    LineFound,
    LineItem,
    NodeStates,
    Notice,
    SignalBatch,
)
from twin.sim import Simulation
from twin.sim.found import found_line
from twin.sim.standstill import StandstillWatch

T = TypeVar("T")

FRAME_HZ = 30.0
SLOW_HZ = 5.0
KPI_PERIOD_S = 1.0
KEYFRAME_PERIOD_S = 10.0
FOUND_PERIOD_S = 2.0
"""How often it is recorded where every piece of the line is, for studies that begin there [s]."""
SLICE_S = 0.05
"""Longest time the loop steps before it looks at calls again [s]."""
COMPILE_SHARE = 1.0
"""After a compilation, the next waits this many times as long as it took, so that a dragged slider leaves time for the rest."""
MAX_RATE = 100.0
MAX_FAILURES = 3
CALLS = 1024


@dataclass(frozen=True)
class Failure:
    """The owner thread met an exception. ``fatal``: it has stopped for good."""

    message: str
    fatal: bool


Event = StateFrame | Clock | NodeStates | LineFound | KpiBatch | SignalBatch | Connectors | BodyTable | Notice | Failure


class LiveSource(Protocol):
    """What the runtime needs of the connectors."""

    def drain_state(self) -> dict[SignalKey, Sample]: ...

    def statuses(self) -> list[ConnectorStatus]: ...


class Recorder(Protocol):
    """What the runtime needs of the historian."""

    def append(self, samples: list[Sample]) -> Any: ...


class Runtime:
    """A factory model that runs in real time on a thread of its own.

    Args:
        compile_model: Compiles the stage as it stands; called on the owner thread.
        compile_beside: Begins to compile the stage as it stands elsewhere, so that the twin goes on meanwhile; where the future
            holds a WorkError, the owner thread compiles after all. None: it always does.
        moved: Asked before that: what prims of the model so far are called in the one that comes.
        took_over: Called on the owner thread when a model that was edited has been taken over; what everybody is to be told of
            it beside what the runtime tells.
        rate: Simulated seconds per wall second. paused: Start paused.
        live: Connected plant, if any. recorder: Where simulated samples go.
        keep: Told of each keyframe while the twin runs, with the simulation that it is of; must return at once.
        shadow: The plant's values drive the twin, instead of the simulation; they come from here.

    Events are given to subscribers on the owner thread and must be taken at once.
    """

    def __init__(
        self,
        compile_model: Callable[[], FactoryModel],
        *,
        compile_beside: Callable[[], Future[FactoryModel]] | None = None,
        moved: Callable[[], Callable[[str], str]] = lambda: str,
        took_over: Callable[[FactoryModel], list[Any]] = lambda model: [],
        rate: float = 1.0,
        paused: bool = False,
        seed: int = 1,
        device: str = "cpu",
        live: LiveSource | None = None,
        recorder: Recorder | None = None,
        keep: Callable[[Simulation, dict[str, Any]], None] | None = None,
        shadow: ShadowFeed | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._compile, self._compile_beside, self._moved, self._took_over = compile_model, compile_beside, moved, took_over
        self._options = {"seed": seed, "device": device}
        self._live, self._recorder, self._shadow, self._keep = live, recorder, shadow, keep
        self._standstill: StandstillWatch | None = None
        self._progress = progress or (lambda text: None)
        self._calls: queue.Queue[tuple[Callable[[], Any], Future[Any]]] = queue.Queue(CALLS)
        self._subscribers: list[Callable[[Event], None]] = []
        self._thread = threading.Thread(target=self._main, name="twin-owner", daemon=True)
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._start_error: BaseException | None = None
        self._log = log.get("runtime")
        self.state = "paused" if paused else "running"
        self.rate = rate
        self.achieved = 0.0
        self.run = f"run-{now_ns()}"
        self.signals = SignalBoard()
        self._figures = SlidingFigures()
        self._dirty = False
        self._compiling: Future[FactoryModel] | None = None
        self._held: tuple[Future[Any], Callable[[], None], threading.Event] | None = None
        self._compile_begun = self._compile_not_before = 0.0
        self._table_version = 0
        self._failures = 0
        self.simulation: Simulation
        self.model: FactoryModel

    # ---- any thread

    def start(self, timeout: float = 600.0) -> None:
        """Start and wait until the first step is possible.

        Raises:
            Exception: Whatever compiling the stage or the kernels raised.
        """
        self._thread.start()
        if not self._ready.wait(timeout):
            raise TimeoutError(f"the simulation did not start within {timeout:g} s")
        if self._start_error is not None:
            raise self._start_error

    def stop(self, timeout: float = 10.0) -> None:
        """Stop the thread; calls not yet done are refused."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._refuse_calls()

    def _refuse_calls(self) -> None:
        while True:
            try:
                _, future = self._calls.get_nowait()
            except queue.Empty:
                return
            if future.set_running_or_notify_cancel():
                future.set_exception(Rejected("stopping", "the twin has stopped"))

    def call(self, fn: Callable[[], T]) -> Future[T]:
        """Run ``fn`` on the owner thread between two steps.

        Raises:
            Rejected: The twin has stopped or failed, or more calls are waiting than it can take.
        """
        if self._stop.is_set() or self.state == "failed":
            raise Rejected("stopping", "the simulation has stopped")
        future: Future[T] = Future()
        try:
            self._calls.put_nowait((fn, future))
        except queue.Full:
            raise Rejected("busy", "the simulation is too busy to take another edit") from None
        if self._stop.is_set():
            self._refuse_calls()
        return future

    def subscribe(self, fn: Callable[[Event], None]) -> None:
        self._subscribers.append(fn)

    def control(self, action: str, value: float = 0.0) -> Future[None]:
        """``play``, ``pause``, ``reset``, ``step`` (value: steps) or ``speed`` (value: 0.05 to 100).

        Raises:
            InputError: Unknown action, or a speed out of range.
        """
        actions = {"play", "pause", "reset", "step", "speed"}
        if action not in actions:
            raise InputError(f"no clock action {action!r}", attribute="action", allowed=sorted(actions))
        if action == "step" and not math.isfinite(value):
            raise InputError(f"{value:g} is no number of steps", attribute="step", allowed=["1 to 600"])
        if action == "speed" and not 0.05 <= value <= MAX_RATE:
            raise InputError(f"speed {value:g} is out of range", attribute="speed", allowed=[f"0.05 to {MAX_RATE:g}"])
        return self.call(lambda: self._control(action, value))

    def clock(self) -> Clock:
        return Clock(self.state, self.simulation.time, self.rate, round(self.achieved, 2), self.run, now_ns())

    # ---- owner thread

    def edited(self) -> None:
        """After edits that matter to the simulation: compile, and take the model over as soon as there is one."""
        self._dirty = True

    def hold(self, until: Future[Any], then: Callable[[], None]) -> None:
        """Until ``until`` is done, run no call and take no model over; then do ``then`` first. The simulation goes on."""
        done = threading.Event()
        until.add_done_callback(lambda future: done.set())
        self._held = until, then, done

    def _let_go(self) -> bool:
        """Whether nothing is held, or no longer."""
        if self._held is not None:
            until, then, _ = self._held
            if not until.done():
                return False
            self._held = None
            then()
        return True

    @property
    def behind(self) -> bool:
        """The stage has been edited, and the simulation has still to take that over."""
        return self._dirty or self._compiling is not None

    def body_table(self) -> BodyTable:
        rigid = self.model.rigid
        return BodyTable(
            self._table_version, [b.path for b in rigid.bodies], [p.path for p in rigid.prototypes], self.simulation.capacity
        )

    def current(self) -> list[Event]:
        """What a newcomer needs at once: table, whole frame, clock, states, signals, figures, connections."""
        events: list[Event] = [self.body_table(), self.simulation.frame(), self.clock(), self._node_states()]
        events.append(KpiBatch(self.simulation.time, self._figures.kpis(self.model)))
        batch = self.signals.batch(everything=True)
        if batch is not None:
            events.append(batch)
        if self._live is not None:
            events.append(Connectors(self._live.statuses()))
        return events

    def tell(self, event: Any) -> None:
        """Tell everybody of what the owner of the stage has to say."""
        self._emit(event)

    def _emit(self, event: Event) -> None:
        for subscriber in self._subscribers:
            subscriber(event)

    def _control(self, action: str, value: float) -> None:
        if action == "play":
            self.state = "running"
        elif action == "pause":
            self.state = "paused"
        elif action == "speed":
            self.rate = value
        elif action == "step":
            self.simulation.step(max(1, min(int(value), 600)))
            self._publish_all()
        elif action == "reset":
            self._new_run()
        self._emit(self.clock())

    def _new_run(self) -> None:
        self.simulation = self._make()
        self.run = f"run-{now_ns()}"
        self._table_version += 1
        self._figures.clear()
        self._keyframe = self.simulation.snapshot()
        self._emit(self.body_table())
        self._publish_all()

    def _make(self) -> Simulation:
        if self._shadow is not None:
            return ShadowLine(self.model, self._shadow, hz=self._hz())  # type: ignore[return-value]  # has what is asked of it
        return Simulation(self.model, hz=self._hz(), **self._options)  # type: ignore[arg-type]

    def _hz(self) -> float:
        return self.model.rigid.steps_per_second or 60.0

    def _main(self) -> None:
        try:
            self._progress("compiling the stage")
            self.model = self._compile()
            self._progress("loading physics kernels (the first run on a machine compiles them, about 15 s)")
            self.simulation = self._make()
            self.simulation.step(1)
            self._table_version = 1
            self._keyframe = self.simulation.snapshot()
        except BaseException as error:  # noqa: BLE001  (handed to the thread that waits in start)
            self._start_error = error
            self._ready.set()
            return
        self._ready.set()
        while not self._stop.is_set():
            try:
                self._loop()
            except Exception as error:  # noqa: BLE001  (the one place where the loop's failure is handled)
                self._recover(error)
                if self.state == "failed":
                    break
        if self._held is not None:
            wait([self._held[0]])
            self._let_go()
            self._refuse_calls()

    def _recover(self, error: Exception) -> None:
        """Back to the last keyframe; the third failure ends the run."""
        self._failures += 1
        self._log.exception("simulation failed", failures=self._failures)
        if self._failures < MAX_FAILURES:
            self._emit(Failure(f"{type(error).__name__}: {error}", False))
            try:
                self._new_run_from_keyframe()
            except Exception as again:  # noqa: BLE001  (nothing is left to go back to)
                self._log.exception("going back to the keyframe failed")
                error = again
            else:
                return
        self.state = "failed"
        self._emit(Failure(f"{type(error).__name__}: {error}", True))
        self._refuse_calls()

    def _new_run_from_keyframe(self) -> None:
        simulation = self._make()
        fresh = simulation.snapshot()
        # used contact points are as many as there are; all else has the same shape in a simulation of the same layout
        if all(self._keyframe[name].shape == fresh[name].shape for name in fresh if not name.startswith("world.contact.")):
            simulation.restore(self._keyframe)
        self.simulation = simulation
        self._emit(Notice("error", "The simulation failed and went back to its last keyframe."))

    def _loop(self) -> None:
        wall = time.perf_counter()
        target = self.simulation.time
        next_frame = next_slow = next_kpi = wall
        next_keyframe = wall + KEYFRAME_PERIOD_S
        next_found = wall
        rate_wall, rate_sim = wall, self.simulation.time
        while not self._stop.is_set():
            now = time.perf_counter()
            simulation = self.simulation
            if self._run_calls():
                simulation = self.simulation
                target = min(max(target, simulation.time), simulation.time + 1.0 / simulation.hz)
            if self._held is None:
                self._take_over_edits(now)
            simulation = self.simulation
            if self.state == "running":
                target += (now - wall) * self.rate
                limit = now + SLICE_S
                while simulation.time + 1.0 / simulation.hz <= target and time.perf_counter() < limit:
                    simulation.step(1)
                # a machine that is too slow falls behind openly instead of trying to catch up for ever
                target = min(target, simulation.time + 2.0 * SLICE_S * self.rate)
            else:
                target = simulation.time
            wall = now
            now = time.perf_counter()
            if now >= next_frame:
                next_frame = max(next_frame + 1.0 / FRAME_HZ, now)
                if self.state == "running":
                    self._publish_frame(record=now >= next_slow)
            if now >= next_slow:
                next_slow = max(next_slow + 1.0 / SLOW_HZ, now)
                self._publish_slow()
            if now >= next_kpi:
                self.achieved = (simulation.time - rate_sim) / max(now - rate_wall, 1e-6) if self.state == "running" else 0.0
                rate_wall, rate_sim = now, simulation.time
                next_kpi = max(next_kpi + KPI_PERIOD_S, now)
                self._publish_figures()
            if now >= next_found and self.state == "running":
                next_found = max(next_found + FOUND_PERIOD_S, now)
                self._publish_line()
            if now >= next_keyframe:
                next_keyframe = now + KEYFRAME_PERIOD_S
                self._keyframe = simulation.snapshot()
                if self._keep is not None and self.state == "running":
                    self._keep(simulation, self._keyframe)
            self._wait(target, next_frame)

    def _wait(self, target: float, next_frame: float) -> None:
        """Sleep until the next step, frame or call is due."""
        now = time.perf_counter()
        due = next_frame
        if self.state == "running":
            ahead = (self.simulation.time + 1.0 / self.simulation.hz - target) / max(self.rate, 1e-3)
            due = min(due, now + ahead)
        if due > now:
            if self._held is not None:
                self._held[2].wait(min(due - now, 0.1))
                return
            try:
                item = self._calls.get(timeout=min(due - now, 0.1))
            except queue.Empty:
                return
            self._run_call(*item)

    def _run_calls(self) -> bool:
        """Calls that wait, for a slice of time: however many come, the twin goes on."""
        ran = False
        limit = time.perf_counter() + SLICE_S
        while self._let_go():
            if time.perf_counter() > limit:
                return ran
            try:
                item = self._calls.get_nowait()
            except queue.Empty:
                return ran
            self._run_call(*item)
            ran = True
        return ran

    @staticmethod
    def _run_call(fn: Callable[[], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(fn())
        except Exception as error:  # noqa: BLE001  (belongs to the caller, who holds the future)
            future.set_exception(error)

    def _take_over_edits(self, now: float) -> None:
        """Begin to compile what was edited, or take over what has been compiled."""
        if self._compiling is not None:
            if self._compiling.done():
                compiled, self._compiling = self._compiling, None
                self._take_over(compiled.result)
        elif self._dirty and now >= self._compile_not_before:
            self._dirty = False
            self._compile_begun = now
            if self._compile_beside is None:
                self._take_over(self._compile)
            else:
                self._compiling = self._compile_beside()

    def _take_over(self, compiled: Callable[[], FactoryModel]) -> None:
        try:
            try:
                model = compiled()
            except WorkError:
                model = self._compile()
        except InputError as error:
            self._emit(Notice("error", f"The edit cannot be simulated: {error}", error.prim or ""))
            return
        finally:
            end = time.perf_counter()
            self._compile_not_before = end + COMPILE_SHARE * (end - self._compile_begun)
        self.model = model
        now = self._moved()
        self._figures.relaid(model, now)
        if self.simulation.update(model, now):
            self._table_version += 1
            self._keyframe = self.simulation.snapshot()
            self._emit(self.body_table())
        for event in self._took_over(model):
            self._emit(event)
        self._publish_frame(record=False)
        for finding in model.findings:
            if finding.severity == "error":
                self._emit(Notice("warning", finding.message, finding.path))

    def _publish_all(self) -> None:
        self._publish_frame(record=False)
        self._publish_slow()

    def _publish_frame(self, *, record: bool) -> None:
        frame = self.simulation.frame()
        if record:
            samples = self.signals.from_simulation(self.model, frame.signals)
            if self._recorder is not None and samples:
                self._recorder.append(samples)
        self._emit(frame)

    def _node_states(self) -> NodeStates:
        s = self.simulation.frame()
        return NodeStates(s.sim_time, s.node_state.tolist(), s.node_level.tolist(), s.node_in.tolist(), s.node_out.tolist())

    def _publish_slow(self) -> None:
        if self._live is not None:
            self.signals.from_plant(self._live.drain_state())
        batch = self.signals.batch()
        if batch is not None:
            self._emit(batch)
        self._emit(self._node_states())

    def line(self) -> LineState | None:
        """Owner: what stands on the line now; None for a shadow, which knows how many items a node holds and no more."""
        return None if self._shadow is not None else found_line(self.simulation)

    def standstill(self) -> list[str]:
        """Owner: paths of the nodes whose goods have come to a standstill; none for a shadow, whose plant would know."""
        if self._shadow is not None:
            return []
        if self._standstill is None or self._standstill.simulation is not self.simulation:
            self._standstill = StandstillWatch(self.simulation)
        return self._standstill.look()

    def _publish_line(self) -> None:
        found = self.line()
        if found is None:
            return
        items = [LineItem(**asdict(item)) for item in found.items]
        self._emit(LineFound(self.simulation.time, items, found.down, found.uptime))

    def _publish_figures(self) -> None:
        self._emit(self.clock())
        self._figures.add(self.simulation.statistics(), self.model)
        self._emit(KpiBatch(self.simulation.time, self._figures.kpis(self.model)))
        if self._live is not None:
            self._emit(Connectors(self._live.statuses()))
