"""Key figures of a line from what was observed of it: one table for simulated and for live machine states.

Names are those of the contract. Those of ISO 22400-2 keep its times (per node, averaged over servers):
planned busy time PBT = on shift, actual production time APT = working, actual set-up time ASUT = set-up, actual processing time
AUPT = APT + ASUT, actual delay time ADET = blocked + starved + waiting for people + down, so that PBT = AUPT + ADET; quantities
produced PQ = items that left, good GQ, scrapped SQ = PQ - GQ; and its formulas:

    availability = APT / PBT, effectiveness = PRU * PQ / APT (PRU: planned run time per item), quality ratio = GQ / PQ,
    OEE = the product of the three, NEE = AUPT / PBT * effectiveness * quality ratio, set-up rate = ASUT / AUPT,
    technical efficiency = APT / (APT + ADET), scrap ratio = SQ / PQ.

Waiting for people is not told apart by ISO 22400: it is part of ADET. ``waiting_crew`` is the share of time in which a cycle or a
set-up could go on but for its people, ``waiting_repair`` that in which a broken station is not being repaired for want of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.model.distributions import Distribution, DistributionRow
from twin.model.factory import FactoryModel, Node, NodeKind, NodeState
from twin.model.histogram import histogram_quantile
from twin.model.reach import types_at

LINE_KPIS = {
    "throughput": "1/h",
    "wip": "1",
    "lead_time": "s",
    "lead_time_p95": "s",
    "energy_per_item": "J",
    "lead_time_p50": "s",
    "lead_time_p99": "s",
    "power": "W",
}
"""Figures of the whole line and their UCUM units; ``power`` is the mean electric power of all machines."""
STATE_SHARES = {
    "utilisation": NodeState.WORKING,
    "blocked": NodeState.BLOCKED,
    "starved": NodeState.STARVED,
    "down": NodeState.DOWN,
    "setup": NodeState.SETUP,
    "waiting_crew": NodeState.WAITING_CREW,
    "off": NodeState.OFF,
}
"""Figures of a station that are the share of time in one state; together they are 1."""
STATION_KPIS = (
    *STATE_SHARES,
    "waiting_repair",
    "availability",
    "effectiveness",
    "quality",
    "oee",
    "oee_standalone",
    "nee",
    "setup_rate",
    "technical_efficiency",
    "scrap_ratio",
)
"""Figures of a station, all in [1]. ``quality`` is ISO's quality ratio. ``oee_standalone`` is not ISO's: blocked and starved time
is taken out of PBT, so that a machine does not answer for its neighbours."""
FLEET_KPIS = {name: STATE_SHARES[name] for name in ("utilisation", "blocked", "starved", "setup", "off")}
"""Figures of a fleet [1]: vehicles under way, waiting for what they fetch or for room for what they bring, without a job,
charging, off shift."""
PLACE_KPIS = ("mean_level",)
"""Figures of a buffer or conveyor [1]."""
CREW_KPIS = ("utilisation",)
"""Figures of a crew [1]: the share of its people's time on shift for which they are at work."""


@dataclass(frozen=True)
class Observation:
    """What was seen of a line with N nodes, in R windows or replications of one length.

    Attributes:
        span_s: Length of each [s].
        sunk: [R] pieces that reached a sink which does not reject. wip: [R] mean pieces inside.
        lead_mean_s, lead_p95_s: [R] NaN where nothing was sunk. lead_hist: [R,L] pieces by lead time, edges ``lead_edges_s``
            [L+1]. lead_least_s, lead_most_s: [R] NaN, or None for all, where nobody keeps them.
        energy_j: [R] NaN where nobody knows it.
        state_time_s: [R,N,7] time in each ``NodeState``, averaged over servers.
        node_out: [R,N] items that left. level_mean: [R,N] mean items inside.
        node_defective: [R,N] of the items finished, those that were defective; NaN, or None for all, where nobody counts them.
        unattended_s: [R,N] of the time down, that in which the repair waited for people; None where nobody knows it.
        crew_busy_s, crew_on_s: [R,C] person-seconds of each crew, at work and on shift; None where nobody knows them.
    """

    span_s: float
    sunk: np.ndarray
    wip: np.ndarray
    lead_mean_s: np.ndarray
    lead_p95_s: np.ndarray
    lead_hist: np.ndarray
    lead_edges_s: np.ndarray
    energy_j: np.ndarray
    state_time_s: np.ndarray
    node_out: np.ndarray
    level_mean: np.ndarray
    node_defective: np.ndarray | None = None
    unattended_s: np.ndarray | None = None
    crew_busy_s: np.ndarray | None = None
    crew_on_s: np.ndarray | None = None
    lead_least_s: np.ndarray | None = None
    lead_most_s: np.ndarray | None = None


def kpi_unit(name: str) -> str:
    """UCUM unit of a figure."""
    return LINE_KPIS.get(name, "1")


def kpi_names(model: FactoryModel) -> list[str]:
    """All figures of a line, in the order in which they are reported."""
    of_nodes = [f"{node.path}:{figure}" for node in model.nodes for figure in _figures(node)]
    return [*LINE_KPIS, *of_nodes, *(f"{crew.path}:{figure}" for crew in model.crews for figure in CREW_KPIS)]


def line_kpis(model: FactoryModel, seen: Observation, cycles_s: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Every figure of ``kpi_names``, float64 [R]; NaN where it is undefined (nothing sunk, never on shift, ...).

    Args:
        cycles_s: ``planned_cycles_s(model)``, for callers that ask again and again.
    """
    powered = any(any(node.power) for node in model.nodes)
    cycles = planned_cycles_s(model) if cycles_s is None else cycles_s
    unknown = np.full(len(seen.sunk), np.nan)

    def percentile(q: float) -> np.ndarray:
        return histogram_quantile(seen.lead_hist, seen.lead_edges_s, q, seen.lead_least_s, seen.lead_most_s)

    out = {
        "throughput": seen.sunk / seen.span_s * 3600.0,
        "wip": np.asarray(seen.wip, float),
        "lead_time": np.asarray(seen.lead_mean_s, float),
        "lead_time_p95": np.asarray(seen.lead_p95_s, float),
        "energy_per_item": _ratio(seen.energy_j, seen.sunk) if powered else unknown,
        "lead_time_p50": percentile(0.5),
        "lead_time_p99": percentile(0.99),
        "power": np.asarray(seen.energy_j, float) / seen.span_s if powered else unknown,
    }
    for i, node in enumerate(model.nodes):
        if node.kind == NodeKind.STATION:
            defective, unattended = (None if v is None else v[:, i] for v in (seen.node_defective, seen.unattended_s))
            figures = station_kpis(node, float(cycles[i]), seen.state_time_s[:, i], seen.node_out[:, i], defective, unattended)
            out |= {f"{node.path}:{name}": values for name, values in figures.items()}
        elif node.kind == NodeKind.FLEET:
            t = np.asarray(seen.state_time_s[:, i], float)
            out |= {f"{node.path}:{name}": _ratio(t[:, state], t.sum(axis=1)) for name, state in FLEET_KPIS.items()}
        elif _figures(node):
            out[f"{node.path}:mean_level"] = np.asarray(seen.level_mean[:, i], float)
    busy, on = seen.crew_busy_s, seen.crew_on_s
    for c, crew in enumerate(model.crews):
        out[f"{crew.path}:utilisation"] = unknown if busy is None or on is None else _ratio(busy[:, c], on[:, c])
    return out


def station_kpis(
    node: Node,
    cycle_s: float,
    state_time_s: np.ndarray,
    items_out: np.ndarray,
    defective: np.ndarray | None = None,
    unattended_s: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The figures ``STATION_KPIS`` of one station.

    Args:
        cycle_s: Planned time of one cycle [s].
        state_time_s: [R,7] time in each state, averaged over servers [s].
        items_out: [R] items that left.
        defective: [R] defective items among those finished; where it is not counted (None, NaN) the authored scrap rate stands
            for the quality, being its expected value.
        unattended_s: [R] of the time down, that in which the repair waited for people [s]; None where nobody knows it.

    Returns:
        Name to float64 [R].
    """
    t = np.asarray(state_time_s, float)
    total = t.sum(axis=1)
    out = {name: _ratio(t[:, state], total) for name, state in STATE_SHARES.items()}
    out["waiting_repair"] = np.full(len(t), np.nan) if unattended_s is None else _ratio(unattended_s, total)
    apt = t[:, NodeState.WORKING]
    pbt = total - t[:, NodeState.OFF]
    # a cycle works a whole batch; a batch that leaves as one item leaves once a cycle
    cycles = np.asarray(items_out, float) / (1 if node.output >= 0 else max(node.batch_size, 1))
    out["availability"] = _ratio(apt, pbt)
    out["effectiveness"] = _ratio(cycle_s * cycles, apt * max(node.servers, 1))
    out["quality"] = np.where(cycles > 0, 1.0 - node.scrap_rate, np.nan)
    if defective is not None:
        # an item that was finished before the horizon and leaves within it can make this exceed the items out by one
        good = np.maximum(1.0 - _ratio(defective, items_out), 0.0)
        out["quality"] = np.where(np.isnan(good), out["quality"], good)
    out["oee"] = out["availability"] * out["effectiveness"] * out["quality"]
    standalone = _ratio(apt, pbt - t[:, NodeState.BLOCKED] - t[:, NodeState.STARVED])
    out["oee_standalone"] = standalone * out["effectiveness"] * out["quality"]
    asut = t[:, NodeState.SETUP]
    delays = [NodeState.BLOCKED, NodeState.STARVED, NodeState.WAITING_CREW, NodeState.DOWN]
    out["nee"] = _ratio(apt + asut, pbt) * out["effectiveness"] * out["quality"]
    out["setup_rate"] = _ratio(asut, apt + asut)
    out["technical_efficiency"] = _ratio(apt, apt + t[:, delays].sum(axis=1))
    out["scrap_ratio"] = 1.0 - out["quality"]
    return out


def planned_cycles_s(model: FactoryModel) -> np.ndarray:
    """``planned_cycle_s`` of every node, float64 [N]; 0 for what is no station."""
    return np.array([planned_cycle_s(model, node) if node.kind == NodeKind.STATION else 0.0 for node in model.nodes])


def planned_cycle_s(model: FactoryModel, node: Node) -> float:
    """Planned run time of one cycle [s]: the mean of its distribution, over the item types that can come."""
    if not node.cycle:
        return 0.0
    means = np.array([mean_of(model.distributions.rows[row]) for row in node.cycle])
    if means.min() == means.max():
        return float(means[0])
    index = model.node_index(node.path)
    weight = (_types_reaching(model, index) * types_at(model)[index])[: len(means)]
    return float(means @ weight / weight.sum()) if weight.sum() > 0 else float(means.mean())


def mean_of(row: DistributionRow) -> float:
    """Expected value of a row as the engines draw it: truncated where it says so, never below 0."""
    low = max(row.low, 0.0)
    kind = row.kind
    if kind == Distribution.EMPIRICAL:
        values, weights = row.kept_values()
        return float(np.average(values, weights=weights))
    if kind == Distribution.CONSTANT:
        return max(row.mean, 0.0)
    if kind == Distribution.UNIFORM and row.low >= 0.0:
        return (row.low + row.high) / 2.0
    if kind == Distribution.TRIANGULAR and row.low >= 0.0:
        return (row.low + row.mode + row.high) / 3.0
    positive = kind not in (Distribution.UNIFORM, Distribution.TRIANGULAR, Distribution.NORMAL)
    if (positive and low <= 0.0 and not np.isfinite(row.high)) or row.mean <= 0.0:
        return max(row.mean, 0.0)
    return _numeric_mean(row)


def _numeric_mean(row: DistributionRow) -> float:
    """Mean of the quantile function at 4,000 midpoints of the part that is kept."""
    from scipy import special, stats  # loads for most of a second; only truncated kinds need it

    d: object
    if row.kind == Distribution.UNIFORM:
        d = stats.uniform(row.low, row.high - row.low)
    elif row.kind == Distribution.TRIANGULAR:
        d = stats.triang((row.mode - row.low) / (row.high - row.low), row.low, row.high - row.low)
    elif row.kind == Distribution.NORMAL:
        if row.cv <= 0.0:
            return max(row.mean, 0.0)
        d = stats.norm(row.mean, row.mean * row.cv)
    elif row.kind == Distribution.EXPONENTIAL:
        d = stats.expon(scale=row.mean)
    elif row.kind == Distribution.ERLANG:
        d = stats.gamma(row.k, scale=row.mean / row.k)
    elif row.kind == Distribution.WEIBULL:
        d = stats.weibull_min(row.shape, scale=row.mean / special.gamma(1.0 + 1.0 / row.shape))
    elif row.cv <= 0.0:
        return float(np.clip(row.mean, max(row.low, 0.0), row.high))
    elif row.kind == Distribution.LOGNORMAL:
        sigma2 = np.log1p(row.cv**2)
        d = stats.lognorm(np.sqrt(sigma2), scale=row.mean * np.exp(-sigma2 / 2.0))
    else:
        d = stats.gamma(1.0 / row.cv**2, scale=row.mean * row.cv**2)
    if row.kind in (Distribution.UNIFORM, Distribution.TRIANGULAR):
        begin, end = float(d.cdf(0.0)), 1.0  # type: ignore[attr-defined]  # their ends are parameters, not a truncation
    else:
        begin, end = float(d.cdf(max(row.low, 0.0))), float(d.cdf(row.high))  # type: ignore[attr-defined]
    u = begin + (np.arange(4000) + 0.5) / 4000.0 * (end - begin)
    return float(np.maximum(d.ppf(u), 0.0).mean())  # type: ignore[attr-defined]


def _types_reaching(model: FactoryModel, index: int) -> np.ndarray:
    """Shares in which the sources upstream of a node send item types, [T]; every source counts alike."""
    upstream, frontier = {index}, [index]
    while frontier:
        at = frontier.pop()
        for i, node in enumerate(model.nodes):
            if at in node.next and i not in upstream:
                upstream.add(i)
                frontier.append(i)
    out = np.zeros(max(len(model.item_types), 1))
    for i in upstream:
        node = model.nodes[i]
        if node.kind == NodeKind.SOURCE and node.items:
            weights = np.asarray(node.weights if sum(node.weights) > 0 else [1.0] * len(node.items), float)
            for prototype, share in zip(node.items, weights / weights.sum(), strict=True):
                out[model.prototype_type[prototype]] += share
    return out


def _figures(node: Node) -> tuple[str, ...]:
    if node.kind == NodeKind.STATION:
        return STATION_KPIS
    if node.kind == NodeKind.FLEET:
        return tuple(FLEET_KPIS)
    return PLACE_KPIS if node.kind in (NodeKind.BUFFER, NodeKind.CONVEYOR) else ()


def power_by_state(model: FactoryModel) -> np.ndarray:
    """Electric power by node and NodeState [W], [N,7]: a machine that waits idles, one that is off draws nothing."""
    out = np.zeros((len(model.nodes), len(NodeState)))
    for row, node in zip(out, model.nodes, strict=True):
        idle, busy, blocked, setup, down = node.power
        row[NodeState.WORKING], row[NodeState.SETUP], row[NodeState.BLOCKED] = busy, setup, blocked
        row[NodeState.STARVED], row[NodeState.WAITING_CREW], row[NodeState.DOWN] = idle, idle, down
    return out


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    a, b = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0.0)
