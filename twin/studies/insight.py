"""What a report shows beyond the study's own points: what each station's speed is worth, and one replication in full.

Both are computed once, after the points, and kept beside them: ``sensitivity/*.parquet`` and ``traces.json``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from twin import flow
from twin.core.errors import TwinError, WorkError
from twin.flow import Trace
from twin.model.distributions import DistributionRow, DistributionTable
from twin.model.factory import FactoryModel, NodeKind
from twin.model.kpis import planned_cycle_s
from twin.studies.compare import rank_bottlenecks
from twin.studies.plan import Plan, Point, content_hash
from twin.studies.results import PointResult
from twin.studies.statistics import Difference, paired_difference
from twin.studies.store import write_atomically

MOST_STATIONS = 12
"""Stations of which the sensitivity is found, those that hold the line back most first."""
CYCLES_SHOWN = 40
"""A trace shows about so many cycles of the slowest station."""
KEPT = 12
"""Traces that a results folder keeps; the oldest go."""
TRACED_S = (60.0, 4 * 3600.0)
"""Shortest and longest window of a trace [s]."""


@dataclass(frozen=True)
class Lever:
    """What a station's speed is worth.

    Attributes:
        path: The station. step: how much faster it was made, as a share of its rate.
        difference: Of throughput, faster minus as it is [1/h], on the same random numbers.
        elasticity, half_width: % of throughput gained for each % of speed, and its 95 % t half-width; None where undefined.
    """

    path: str
    step: float
    difference: Difference
    elasticity: float | None
    half_width: float | None


@dataclass
class Insight:
    """``levers``: of the baseline. ``traces``: by the index of the point."""

    levers: list[Lever] = field(default_factory=list)
    traces: dict[int, Trace] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def stations_to_try(result: PointResult) -> list[int]:
    """Node indices of the stations whose speed is varied."""
    return [result.point.runnable.node_index(b.path) for b in rank_bottlenecks(result)[:MOST_STATIONS]]


def faster_point(base: Point, node: int, step: float, fidelity: str) -> Point:
    """The point with one station's rate raised by ``step``: all its cycle times divided by 1 + step."""
    model = base.runnable
    rows = list(model.distributions.rows)
    cycle = []
    for row in model.nodes[node].cycle:
        rows.append(_scaled(model.distributions.rows[row], 1.0 / (1.0 + step)))
        cycle.append(len(rows) - 1)
    nodes = list(model.nodes)
    nodes[node] = replace(nodes[node], cycle=cycle)
    faster: FactoryModel = replace(model, nodes=nodes, distributions=DistributionTable(rows))
    return Point(
        index=-1,
        scenario=base.scenario,
        parameters={**base.parameters, f"{nodes[node].path} rate": f"+{step * 100:g} %"},
        seed=base.seed,
        model=faster,
        content=content_hash(faster, fidelity),
        start=base.start,
    )


def _scaled(row: DistributionRow, factor: float) -> DistributionRow:
    return replace(
        row,
        mean=row.mean * factor,
        low=row.low * factor,
        high=row.high * factor,
        mode=row.mode * factor,
        values=tuple(v * factor for v in row.values),
    )


def lever_of(base: PointResult, faster: PointResult, path: str, step: float) -> Lever:
    """Compare throughput with and without the faster station, on the replications that both have."""
    _, mine, theirs = np.intersect1d(faster.replication, base.replication, return_indices=True)
    before = base.kpis["throughput"][theirs]
    difference = paired_difference(faster.kpis["throughput"][mine], before)
    mean = float(before.mean()) if len(before) else 0.0
    if mean <= 0.0 or difference.mean is None:
        return Lever(path, step, difference, None, None)
    scale = 1.0 / mean / step
    spread = None if difference.half_width is None else difference.half_width * scale
    return Lever(path, step, difference, difference.mean * scale, spread)


def trace_point(plan: Plan, point: Point, warmup_s: float) -> Trace:
    """The first replication of a point, from the end of the warm-up on."""
    model = point.runnable
    cycles = [planned_cycle_s(model, n) / max(n.servers, 1) for n in model.nodes if n.kind == NodeKind.STATION]
    span = min(max(CYCLES_SHOWN * max(cycles, default=60.0), TRACED_S[0]), TRACED_S[1], plan.study.run.horizon_s)
    return flow.trace(
        model,
        from_s=warmup_s,
        span_s=span,
        warmup_s=warmup_s,
        begin_s=plan.study.run.begin_s,
        seed=point.seed,
        start=point.start,
    )


def load_traces(folder: Path, keys: dict[int, str]) -> dict[int, Trace]:
    """Stored traces of points, by the points' indices; ``keys`` are their identities."""
    path = folder / "traces.json"
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {index: _trace(stored[key]) for index, key in keys.items() if key in stored}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkError(f"damaged: remove it, and the next run makes it again ({error})", file=path) from error


def add_traces(insight: Insight, plan: Plan, wanted: list[Point], warmup_s: float, folder: Path) -> None:
    """Find, make and keep the traces of some points; what cannot be traced is a problem to be told, not a failure."""
    keys = {p.index: plan.key(p, warmup_s) for p in wanted}
    insight.traces = load_traces(folder, keys)
    for point in wanted:
        if point.index not in insight.traces:
            try:
                insight.traces[point.index] = trace_point(plan, point, warmup_s)
            except TwinError as error:
                insight.problems.append(f"no Gantt chart of {point.label}: {error}")
    path = folder / "traces.json"
    made = {keys[index]: _plain(trace) for index, trace in insight.traces.items()}
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not made.keys() <= kept.keys():
        others = {key: trace for key, trace in kept.items() if key not in made}
        room = max(KEPT - len(made), 0)
        write_atomically(path, json.dumps({**dict(list(others.items())[-room:] if room else []), **made}))


def _plain(trace: Trace) -> dict[str, Any]:
    return {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in asdict(trace).items()}


def _trace(stored: dict[str, Any]) -> Trace:
    arrays = {name: np.array(v) for name, v in stored.items() if isinstance(v, list)}
    arrays["stretch_s"] = arrays["stretch_s"].reshape(-1, 2)
    return Trace(**{**stored, **arrays})
