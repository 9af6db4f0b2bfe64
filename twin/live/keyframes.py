"""Keyframes on disk: snapshots of the simulation, from which any later moment can be simulated again, bit for bit.

A keyframe is one ``.npz``: the snapshot, and who can use it: run, seed, rate, journal position of the edits, wall and simulated
time. Exact means the same machine type and engine version on the same stage and edits; nothing else is promised.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twin.core import log
from twin.core.errors import InputError, WorkError
from twin.model.factory import FactoryModel
from twin.sim import Simulation

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 256 << 20
ABOUT = "__about__"


@dataclass(frozen=True)
class Keyframe:
    """What a keyframe says of itself: ``time_ns`` wall time [ns UTC], ``epoch`` and ``seq`` of the edits."""

    time_ns: int
    run: str
    tick: int
    hz: float
    seed: int
    epoch: str
    seq: int
    layout: str


def layout_of(model: FactoryModel) -> str:
    """A digest of what must be the same for a snapshot to fit: nodes, bodies, shapes, prototypes."""
    rigid = model.rigid
    parts = [
        [(n.path, int(n.kind), n.next) for n in model.nodes],
        [b.path for b in rigid.bodies],
        [s.path for s in rigid.shapes],
        [p.path for p in rigid.prototypes],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


class Keyframes:
    """A folder of keyframes within a bound; ``save`` is for one thread, reading for any."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._log = log.get("keyframes")
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("*.tmp"):
            stale.unlink()

    def save(self, about: Keyframe, snapshot: Mapping[str, np.ndarray]) -> None:
        """Write one; a disk that is full is told in the log, and the twin goes on."""
        path = self._folder / f"{about.time_ns}.npz"
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                np.savez_compressed(file, **{ABOUT: np.array(json.dumps(asdict(about))), **snapshot})  # type: ignore[arg-type]
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            self._log.error("a keyframe is not written", reason=str(error))
            return
        self._trim()

    def _trim(self) -> None:
        with self._lock:
            kept = sorted(self._folder.glob("*.npz"), key=lambda p: int(p.stem))
            total = sum(p.stat().st_size for p in kept)
            while total > self._max_bytes and len(kept) > 1:
                gone = kept.pop(0)
                total -= gone.stat().st_size
                gone.unlink()

    def times(self) -> list[int]:
        """Wall times [ns UTC] of what is kept, oldest first."""
        return sorted(int(p.stem) for p in self._folder.glob("*.npz"))

    def at(self, t_ns: int) -> tuple[Keyframe, dict[str, np.ndarray]]:
        """The last keyframe at or before ``t_ns``.

        Raises:
            InputError: None is kept from before. WorkError: It cannot be read.
        """
        before = [t for t in self.times() if t <= t_ns]
        if not before:
            raise InputError("no keyframe is kept from before that moment", file=self._folder)
        path = self._folder / f"{before[-1]}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                about = Keyframe(**json.loads(str(stored[ABOUT])))
                return about, {name: stored[name] for name in stored.files if name != ABOUT}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkError(f"cannot be read: {error}", file=path) from error


def resimulate(
    model: FactoryModel, about: Keyframe, snapshot: dict[str, np.ndarray], ticks: int, *, device: str = "cpu"
) -> Simulation:
    """The simulation as it was ``ticks`` steps after a keyframe.

    Raises:
        InputError: The model is not the one that the keyframe is of, or the moment lies before it.
    """
    if layout_of(model) != about.layout:
        raise InputError("the stage is not the one of the keyframe: it was edited since", attribute="stage")
    if ticks < 0:
        raise InputError("the moment lies before the keyframe", attribute="ticks")
    simulation = Simulation(model, hz=about.hz, seed=about.seed, device=device)
    simulation.restore(snapshot)
    simulation.step(ticks)
    return simulation
