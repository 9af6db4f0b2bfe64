"""The cases. Each one is a function of a rig that returns what it found, or raises AssertionError with a reason."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

from twin.connectors.conformance.counterparts import Counterpart
from twin.connectors.conformance.proxy import FaultProxy
from twin.connectors.mapping import parse
from twin.connectors.plant import Plant
from twin.connectors.supervisor import Timing
from twin.core.samples import BAD_NO_COMMUNICATION, Sample, SignalKey, is_good
from twin.history import Historian

TIMING = Timing(connect=2.0, close=2.0, reconcile=1.0, tick=0.05, backoff=(0.05, 0.2))
KEY = SignalKey("/World/Cell", "value")
PULSE_S = 0.1
BURST = 1000
NOTHING_LEFT_MB = 4.0
"""What memory may grow by although nothing is left behind, beside 0.02 for each connection [MB]."""


class Rig:
    """A counterpart behind a proxy, a twin in front of it, and a pulse that changes the value ten times a second."""

    def __init__(self, make: type[Counterpart], folder: Path, *, reconnects: int = 10) -> None:
        self.counterpart = make(folder)
        self.reconnects = reconnects
        self.proxy = FaultProxy(self.counterpart.port)
        self.history = Historian(folder / f"{make.driver}-{self.counterpart.port}.db")
        self._folder = folder
        self._number = 0
        self._pulsing = threading.Event()
        self._over = threading.Event()
        self._pulse = threading.Thread(target=self._beat, daemon=True)
        self._pulse.start()
        self.plant: Plant | None = None
        self.state: dict[SignalKey, Sample] = {}

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pulse.join()
        if self.plant is not None:
            self.plant.stop()
        self.counterpart.stop()
        self.counterpart.discard()
        self.proxy.close()
        self.history.close()

    # ---- what cases do

    def connect(self, *, port: int | None = None) -> Plant:
        """Start the twin."""
        c = self.counterpart
        address = f"{c.scheme}://{c.login}127.0.0.1:{port or self.proxy.port}{c.path}"
        text = (
            "schema: twin.mapping/1\n"
            f"connections: [{{name: cell, driver: {c.driver}, address: '{address}', "
            f"options: {c.options}}}]\n"
            f"signals: [{{connection: cell, source: {c.source}, target: {{prim: {KEY.prim}, signal: {KEY.name}}}, "
            f"unit: '1', interval: 300 ms}}]\n"
        )
        self.plant = Plant(parse(text, file=c.driver, folder=self._folder), self.history, timing=TIMING)
        self.plant.start()
        return self.plant

    def serve(self) -> None:
        """Start the counterpart, and the pulse."""
        self.counterpart.start()
        self._pulsing.set()

    def hush(self) -> None:
        """Stop the pulse."""
        self._pulsing.clear()
        time.sleep(1.5 * PULSE_S)

    def emit(self) -> int:
        self._number += 1
        self.counterpart.emit(self._number)
        return self._number

    def live(self) -> bool:
        """Whether the twin says so, and shows a good value."""
        self.look()
        assert self.plant is not None
        return self.plant.statuses()[0].state == "live" and KEY in self.state and is_good(self.state[KEY].quality)

    def lost(self) -> bool:
        """Whether the twin says that it is not connected, and why, and shows no good value."""
        self.look()
        assert self.plant is not None
        status = self.plant.statuses()[0]
        return status.state == "backoff" and bool(status.error) and status.good == 0

    def look(self) -> None:
        assert self.plant is not None
        self.state |= self.plant.drain_state()

    def until(self, condition: Callable[[], object], what: str, limit_s: float = 15.0) -> float:
        """Wait; returns how long it took [s]."""
        return until(condition, what, limit_s)

    def _beat(self) -> None:
        while not self._over.wait(PULSE_S):
            if self._pulsing.is_set():
                self.emit()


def until(condition: Callable[[], object], what: str, limit_s: float = 15.0) -> float:
    """Wait; returns how long it took [s].

    Raises:
        AssertionError: It did not come.
    """
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < limit_s, f"{what}: not within {limit_s:g} s"
        time.sleep(0.02)
    return time.monotonic() - begin


def absent(rig: Rig) -> str:
    """Nobody listens; later somebody does."""
    plant = rig.connect(port=rig.counterpart.port)
    rig.until(rig.lost, "back-off")
    assert plant.drain_state().get(KEY, rig.state.get(KEY)).quality == BAD_NO_COMMUNICATION  # type: ignore[union-attr]
    rig.serve()
    return f"found after {rig.until(rig.live, 'live'):.1f} s"


def refuse(rig: Rig) -> str:
    """Connections are accepted and closed at once."""
    rig.proxy.mode = "refuse"
    rig.serve()
    rig.connect()
    rig.until(rig.lost, "back-off")
    rig.until(lambda: rig.proxy.accepted >= 3, "three attempts")
    rig.proxy.mode = "pass"
    return f"live after {rig.until(rig.live, 'live'):.1f} s"


def black_hole(rig: Rig) -> str:
    """Connections are accepted, and nothing is ever said."""
    rig.proxy.mode = "hole"
    rig.serve()
    plant = rig.connect()
    begin = time.monotonic()
    while time.monotonic() - begin < TIMING.connect + 1.0:
        assert plant.statuses()[0].state != "live", "claims to be live"
        time.sleep(0.02)
    assert plant.statuses()[0].good == 0, "shows a good value"
    rig.proxy.mode = "pass"
    return f"live after {rig.until(rig.live, 'live'):.1f} s"


def nonsense(rig: Rig) -> str:
    """Somebody else answers: a web server."""
    rig.proxy.mode = "nonsense"
    rig.serve()
    plant = rig.connect()
    rig.until(lambda: rig.proxy.accepted, "attempt")
    begin = time.monotonic()
    while time.monotonic() - begin < 1.0:
        assert plant.statuses()[0].good == 0, "shows a good value"
        time.sleep(0.02)
    rig.proxy.mode = "pass"
    return f"live after {rig.until(rig.live, 'live'):.1f} s"


def half_open(rig: Rig) -> str:
    """In the middle of everything nothing passes any more, and no connection is closed."""
    rig.serve()
    plant = rig.connect()
    rig.until(rig.live, "live")
    rig.proxy.mode = "freeze"
    noticed = rig.until(lambda: plant.statuses()[0].good == 0, "silence noticed", 5.0)
    rig.until(lambda: rig.proxy.accepted >= 2, "a new connection", 20.0)
    rig.proxy.mode = "pass"
    rig.until(rig.live, "live again")
    return f"noticed in {noticed:.1f} s"


def slow(rig: Rig) -> str:
    """A line of 13 kB/s with 20 ms delay a packet."""
    rig.proxy.mode = "slow"
    rig.serve()
    rig.connect()
    took = rig.until(rig.live, "live", 30.0)
    time.sleep(1.0)
    assert rig.live(), "does not stay live"
    return f"live after {took:.1f} s"


def restart(rig: Rig) -> str:
    """The server ends and comes back; it has forgotten every session."""
    rig.serve()
    rig.connect()
    rig.until(rig.live, "live")
    rig.hush()
    rig.counterpart.stop()
    rig.until(rig.lost, "loss")
    rig.serve()
    took = rig.until(rig.live, "live again")
    rig.history.flush()
    qualities = [s.quality for s in rig.history.samples(KEY, 0, 2**62)]
    assert BAD_NO_COMMUNICATION in qualities, "history shows no gap"
    return f"back after {took:.1f} s"


def burst(rig: Rig) -> str:
    """A thousand values as fast as they can be sent."""
    rig.serve()
    plant = rig.connect()
    rig.until(rig.live, "live")
    rig.hush()
    before = plant.losses()  # what a node said before it was asked for its birth is one, and not the burst's
    first = rig.emit()
    for _ in range(BURST - 1):
        last = rig.emit()
    if rig.counterpart.polled:
        rig.until(lambda: rig.live() and rig.state[KEY].value == last, "the last value")
        return "the last value (polled)"

    def missing() -> int:
        rig.history.flush()
        there = {s.value for s in rig.history.samples(KEY, 0, 2**62)}
        return sum(n not in there for n in range(first, last + 1))

    rig.until(lambda: missing() == 0, "all values", 20.0)
    assert plant.losses() == before, str(plant.losses())
    return f"{BURST} of {BURST}"


def reconnects(rig: Rig) -> str:
    """The connection is reset again and again; nothing may be left behind."""
    rig.serve()
    plant = rig.connect()
    rig.until(rig.live, "live")

    def again() -> None:
        accepted = rig.proxy.accepted
        rig.proxy.cut()
        rig.until(lambda: rig.proxy.accepted > accepted, "a new connection")
        rig.until(rig.live, "live again")

    warm_up = max(rig.reconnects // 5, 2)
    for _ in range(warm_up):
        again()
    threads, before = threading.active_count(), memory()
    for _ in range(rig.reconnects):
        again()
    grown = (memory() - before) / 1e6
    assert threading.active_count() <= threads + 2, f"{threading.active_count() - threads} threads more"
    assert grown < NOTHING_LEFT_MB + 0.02 * rig.reconnects, f"{grown:.1f} MB more"
    # the loss of the last connection may be noticed only now, where a driver has several
    rig.until(lambda: plant.statuses()[0].state == "live", "live at the end")
    return f"{rig.reconnects}, {grown:+.1f} MB"


def stop(rig: Rig) -> str:
    """Stopping does not wait for a silent server."""
    rig.proxy.mode = "hole"
    rig.serve()
    plant = rig.connect()
    rig.until(lambda: rig.proxy.accepted, "attempt")
    begin = time.monotonic()
    plant.stop(timeout_s=8.0)
    return f"{time.monotonic() - begin:.1f} s"


def memory() -> int:
    """Resident memory [bytes]."""
    gc.collect()
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * 4096


CASES: dict[str, Callable[[Rig], str]] = {
    c.__name__.replace("_", "-"): c
    for c in (absent, refuse, black_hole, nonsense, half_open, slow, restart, burst, reconnects, stop)
}
