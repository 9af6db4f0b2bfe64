"""Studies in rigid bodies: replications are worlds of one simulation."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import numpy as np

from twin.core.errors import WorkError
from twin.model.factory import FactoryModel
from twin.model.histogram import histogram_quantile
from twin.model.kpis import power_by_state
from twin.sim.simulation import Simulation, lead_edges_s
from twin.sim.standstill import StandstillWatch
from twin.studies.outcome import Outcome


def run_physics(
    model: FactoryModel,
    *,
    horizon_s: float,
    warmup_s: float,
    begin_s: float = 0.0,
    seed: int,
    first: int,
    count: int,
    device: str = "cpu",
    jobs: int | None = None,
    intervals: int = 60,
    progress: Callable[[float], None] | None = None,
    cancel: Event | None = None,
) -> Outcome:
    """Replications ``first`` to ``first + count`` as worlds of the rigid-body engine, at the stage's own step rate.
    ``begin_s``: time 0, counted from a Monday's midnight [s]."""
    del jobs  # the worlds of one simulation advance together
    hz = model.rigid.steps_per_second
    simulation = Simulation(model, hz=hz, device=device, seed=seed, worlds=count, first_replication=first, begin_s=begin_s)
    warm_steps, steps = round(warmup_s * hz), max(round(horizon_s * hz), 1)
    total = warm_steps + steps
    intervals = min(intervals, total)
    marks = [round(total * (i + 1) / intervals) for i in range(intervals)]
    begin = begin_of_interval = _read(simulation, count)
    sunk, wip = np.zeros((count, intervals), np.int32), np.zeros((count, intervals), np.float32)
    watches = [StandstillWatch(simulation, w) for w in range(count)]
    standing: list[list[str]] = [[] for _ in watches]
    for step in sorted({warm_steps, *marks}):
        if cancel is not None and cancel.is_set():
            raise WorkError("cancelled")
        simulation.step(step - simulation.tick)
        now = _read(simulation, count)
        standing = [watch.look() for watch in watches]
        if step == warm_steps:
            begin = now
        if step in marks:
            first_mark = marks.index(step)
            span = np.maximum(now["time_us"] - begin_of_interval["time_us"], 1)
            sunk[:, first_mark] = now["sunk"] - begin_of_interval["sunk"]
            wip[:, first_mark] = (now["pieces_us"] - begin_of_interval["pieces_us"]) / span
            begin_of_interval = now
        if progress is not None:
            progress(step / total)
    end = begin_of_interval
    change = {name: end[name] - begin[name] for name in end}
    span_us = change["time_us"].astype(float)
    state_time = change["state_us"] * 1e-6
    measured = change["sunk"]
    edges = lead_edges_s()
    counts = [simulation.counts(w) for w in range(count)]
    return Outcome(
        nodes=[node.path for node in model.nodes],
        notes=[str(f) for f in simulation.findings],
        horizon_s=steps / hz,
        warmup_s=warm_steps / hz,
        interval_s=total / hz / intervals,
        lead_edges_s=edges,
        replication=np.arange(first, first + count, dtype=np.int64),
        **{
            name: np.array([getattr(c, name) for c in counts], np.int64)
            for name in ("spawned", "sunk", "scrapped", "lost", "inside")
        },
        sunk_measured=measured,
        lead_mean_s=np.where(measured > 0, change["lead_us"] / np.maximum(measured, 1) * 1e-6, np.nan),
        lead_p95_s=histogram_quantile(change["lead_hist"], edges, 0.95),
        wip_mean=change["pieces_us"] / span_us,
        energy_j=np.einsum("rns,ns->r", state_time, power_by_state(model)),
        deadlocked=np.array([bool(paths) for paths in standing]),
        node_stuck=np.array([[node.path in paths for node in model.nodes] for paths in standing]).reshape(count, -1),
        state_time_s=state_time,
        unattended_s=change["unattended_us"] * 1e-6,
        crew_busy_s=change["crew_busy_us"] * 1e-6,
        crew_on_s=change["crew_on_us"] * 1e-6,
        node_in=change["entered"],
        node_out=change["left"],
        node_defective=change["defects"].astype(np.float64),
        level_mean=change["level_us"] / span_us[:, None],
        lead_hist=change["lead_hist"].astype(np.int32),
        sunk_per_interval=sunk,
        wip_per_interval=wip,
    )


def _read(simulation: Simulation, worlds: int) -> dict[str, np.ndarray]:
    """Statistics of all worlds, stacked along a first axis."""
    each = [simulation.statistics(w) for w in range(worlds)]
    return {name: np.stack([np.asarray(s[name]) for s in each]) for name in each[0]}
