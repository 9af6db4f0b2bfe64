"""The cases for recordings (``replay``): what fails is a file, not a line."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from twin.connectors.conformance.cases import BURST, KEY, NOTHING_LEFT_MB, TIMING, memory, until
from twin.connectors.mapping import parse
from twin.connectors.plant import Plant
from twin.core.clock import now_ns
from twin.core.samples import BAD_NO_COMMUNICATION, Sample, SignalKey, is_good
from twin.history import Historian

T0 = 1_700_000_000
CANNOT = {
    "refuse": "cannot arise: there is no connection that somebody could close",
    "slow": "cannot arise: a recording is read as a whole before it plays",
}


class Player:
    """A recording, and a twin that plays it."""

    def __init__(self, folder: Path, *, reconnects: int = 10) -> None:
        self.reconnects = reconnects
        self.path = folder / "recording.csv"
        self.history = Historian(folder / "history.db")
        self._folder = folder
        self.plant: Plant | None = None
        self.state: dict[SignalKey, Sample] = {}

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        if self.plant is not None:
            self.plant.stop()
        self.history.close()

    def record(self, count: int, every_s: float = 0.1) -> None:
        """Put a recording of the values 1 to ``count`` in the place of what is there."""
        rows = [f"{T0 + n * every_s:.3f},{n}" for n in range(1, count + 1)]
        new = self.path.with_suffix(".new")
        new.write_text("\n".join(["time,v", *rows]) + "\n")
        new.replace(self.path)

    def play(self, options: str = "{}") -> Plant:
        """Start the twin."""
        text = (
            "schema: twin.mapping/1\n"
            f"connections: [{{name: tape, driver: replay, address: 'replay://{self.path.name}', options: {options}}}]\n"
            f"signals: [{{connection: tape, source: {{column: v}}, target: {{prim: {KEY.prim}, signal: {KEY.name}}}, "
            "unit: '1', interval: 300 ms}]\n"
        )
        self.plant = Plant(parse(text, file="replay", folder=self._folder), self.history, timing=TIMING)
        self.plant.start()
        return self.plant

    def again(self) -> None:
        """What a person does in the page: restart."""
        assert self.plant is not None
        self.plant.restart("tape")

    def live(self) -> bool:
        assert self.plant is not None
        self.state |= self.plant.drain_state()
        return self.plant.statuses()[0].state == "live" and KEY in self.state and is_good(self.state[KEY].quality)

    def refused(self) -> bool:
        """Whether the twin says why it plays nothing, and names the file."""
        assert self.plant is not None
        status = self.plant.statuses()[0]
        return status.state == "fatal" and self.path.name in status.error and status.good == 0

    def recorded(self) -> list[float]:
        """Values in history with the times that the recording gives them, in order of time."""
        self.history.flush()
        known = [s for s in self.history.samples(KEY, 0, 2**62) if s.source_time is not None and is_good(s.quality)]
        return [float(s.value) for s in known if s.value is not None]

    def gap(self, since_ns: int) -> bool:
        """Whether history shows a loss of the connection since a moment [ns UTC]."""
        self.history.flush()
        return any(s.quality == BAD_NO_COMMUNICATION for s in self.history.samples(KEY, since_ns, 2**62))


def absent(player: Player) -> str:
    player.play()
    until(player.refused, "the file named", 60.0)
    player.record(100)
    player.again()
    return f"named; plays {until(player.live, 'live'):.1f} s after a restart"


def black_hole(player: Player) -> str:
    os.mkfifo(player.path)
    player.play()
    until(player.refused, "the file named", 60.0)
    player.record(100)
    player.again()
    return f"named; plays {until(player.live, 'live'):.1f} s after a restart"


def nonsense(player: Player) -> str:
    for text in (
        b"\x00\x01\x02" * 400,
        b"<html><body>404</body></html>",
        b"SQLite format 3\x00" + b"\xff" * 4000,
        b"PAR1" * 50,
        b"",
    ):
        player.path.write_bytes(text)
        if player.plant is None:
            player.play()
        else:
            player.again()
        until(player.refused, f"{text[:12]!r} refused")
    player.record(100)
    player.again()
    return f"named; plays {until(player.live, 'live'):.1f} s after a restart"


def half_open(player: Player) -> str:
    player.record(10)
    plant = player.play()
    until(player.live, "live")
    until(lambda: len(player.recorded()) == 10, "all values")
    noticed = until(lambda: (plant.statuses()[0].good, plant.statuses()[0].state) == (0, "stale"), "the end noticed", 5.0)
    return f"end noticed in {noticed:.1f} s"


def restart(player: Player) -> str:
    player.record(20)
    player.play("{speed: 10}")
    until(lambda: len(player.recorded()) >= 10, "half of it")
    player.record(40)
    player.again()
    took = until(lambda: 40.0 in player.recorded(), "all values")
    assert player.recorded() == list(range(1, 41)), "what is played twice is not kept once"
    return f"40 of 40 after {took:.1f} s"


def burst(player: Player) -> str:
    player.record(BURST)
    plant = player.play("{speed: max}")
    until(lambda: len(player.recorded()) == BURST, "all values")
    assert plant.losses() == {}, str(plant.losses())
    return f"{BURST} of {BURST}"


def reconnects(player: Player) -> str:
    player.record(1000)
    player.play()
    until(player.live, "live")

    def once() -> None:
        since = now_ns()
        player.again()
        until(lambda: player.gap(since), "anew")
        until(player.live, "live again")

    for _ in range(max(player.reconnects // 5, 2)):
        once()
    before, threads = memory(), threading.active_count()
    for _ in range(player.reconnects):
        once()
    grown = (memory() - before) / 1e6
    assert threading.active_count() <= threads + 2, f"{threading.active_count() - threads} threads more"
    assert grown < NOTHING_LEFT_MB + 0.02 * player.reconnects, f"{grown:.1f} MB more"
    return f"{player.reconnects}, {grown:+.1f} MB"


def stop(player: Player) -> str:
    player.record(1000)
    plant = player.play()
    until(player.live, "live")
    begin = time.monotonic()
    plant.stop(timeout_s=8.0)
    return f"{time.monotonic() - begin:.1f} s"


CASES: dict[str, Callable[[Player], str]] = {
    c.__name__.replace("_", "-"): c for c in (absent, black_hole, nonsense, half_open, restart, burst, reconnects, stop)
}
