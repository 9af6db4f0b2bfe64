"""``python -m bench.flow.validation --tables FILE [--out docs/flow-validation.md]``: the line engine against exact results.

The tables hold throughputs, levels and shares from Markov chains, queueing formulas and Buzen's algorithm. Every figure is the
mean over independent replications at a fixed seed; z is its distance from the exact value in standard errors.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twin.flow import simulate
from twin.model.build import LineBuilder, serial_line
from twin.model.factory import NodeState

REPLICATIONS = 10_000
LIMIT = 4.0
"""A figure further from the exact one than this many standard errors is wrong."""


@dataclass(frozen=True)
class Check:
    """One figure of one case: its exact value, and its estimate from the replications, float64 [R]."""

    group: str
    case: str
    figure: str
    exact: float
    values: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return float(self.values.std(ddof=1) / np.sqrt(len(self.values)))

    @property
    def z(self) -> float:
        return (self.mean - self.exact) / self.error


def balanced(rows: Sequence[dict[str, Any]]) -> Iterator[Check]:
    """Equal stations with Erlang cycles and finite buffers, blocking after service."""
    for seed, row in enumerate(rows, start=100):
        model = serial_line(row["stations"], row["buffer"], k=row["erlang_k"])
        warmup = 40.0 + 12.0 * row["buffer"]
        result = simulate(model, horizon_s=30.0, warmup_s=warmup, replications=REPLICATIONS, seed=seed)
        case = f"{row['stations']} stations, {row['buffer']} slots between, Erlang-{row['erlang_k']}"
        yield Check("Balanced lines", case, "throughput", row["throughput"], result.sunk_measured / 30.0)


def unequal(rows: Sequence[dict[str, Any]]) -> Iterator[Check]:
    """Exponential stations of different rates, some with failures while working."""
    for seed, row in enumerate(rows, start=200):
        line = LineBuilder()
        line.source("S", saturated=True)
        names = ["S"]
        for i, rate in enumerate(row["mu"]):
            failures = {}
            if "fail" in row:
                failures["time_to_failure"] = line.exponential(1.0 / row["fail"][i])
                failures["time_to_repair"] = line.exponential(1.0 / row["repair"][i])
            line.station(f"M{i}", cycle=line.exponential(1.0 / rate), **failures)
            names.append(f"M{i}")
            if i < len(row["buffers"]) and row["buffers"][i]:
                line.buffer(f"B{i}", row["buffers"][i])
                names.append(f"B{i}")
        line.sink("K")
        line.chain(*names, "K")
        result = simulate(line.model, horizon_s=60.0, warmup_s=150.0, replications=REPLICATIONS, seed=seed)
        group = "Unreliable lines" if "fail" in row else "Unbalanced lines"
        case = f"rates {row['mu']}, slots {row['buffers']}" + (f", failure rates {row['fail']}" if "fail" in row else "")
        yield Check(group, case, "throughput", row["throughput"], result.sunk_measured / 60.0)
        yield Check(group, case, "pieces inside", row["wip"], result.wip_mean)
        if "fail" not in row:
            for i, blocked in enumerate(row["blocked"][:-1]):
                share = result.state_time_s[:, line.index(f"M{i}"), NodeState.BLOCKED] / 60.0
                yield Check(group, case, f"station {i + 1} blocked", blocked, share)


def queues(rows: Sequence[dict[str, Any]]) -> Iterator[Check]:
    """M/M/1 and M/M/c, begun empty: only loads whose start-up dies out within the warm-up."""
    for seed, row in enumerate(rows, start=300):
        if row["rho"] >= 0.85:
            continue
        line = LineBuilder()
        line.source("S", interarrival=line.exponential(1.0 / row["lam"]))
        line.buffer("Q", -1)
        line.station("M", cycle=line.exponential(1.0 / row["mu"]), servers=row.get("c", 1))
        line.sink("K")
        line.chain("S", "Q", "M", "K")
        result = simulate(line.model, horizon_s=60.0, warmup_s=240.0, replications=REPLICATIONS, seed=seed)
        case = f"{row['model']}{', c = ' + str(row['c']) if 'c' in row else ''}, load {row['rho']:g}"
        yield Check("Queues", case, "pieces inside", row["L"], result.wip_mean)
        yield Check("Queues", case, "queue length", row["Lq"], result.level_mean[:, line.index("Q")])


def closed(rows: Sequence[dict[str, Any]]) -> Iterator[Check]:
    """A fixed number of pallets going round exponential stations without limits between them."""
    for seed, row in enumerate(rows, start=400):
        line = LineBuilder()
        line.source("S", saturated=True, limit=row["N"])
        names = []
        for i, demand in enumerate(row["demands"]):
            line.buffer(f"Q{i}", row["N"])
            line.station(f"M{i}", cycle=line.exponential(demand))
            names += [f"Q{i}", f"M{i}"]
        line.chain("S", *names, "Q0")
        result = simulate(line.model, horizon_s=60.0, warmup_s=120.0, replications=REPLICATIONS, seed=seed)
        case = f"{row['N']} pallets, work {row['demands']}"
        yield Check("Closed loops", case, "rounds per second", row["throughput"], result.node_out[:, line.index("M0")] / 60.0)
        for i, queue in enumerate(row["mean_queue"]):
            inside = result.level_mean[:, line.index(f"Q{i}")] + result.level_mean[:, line.index(f"M{i}")]
            yield Check("Closed loops", case, f"pallets at station {i + 1}", queue, inside)


def checks(tables: dict[str, Any]) -> Iterator[Check]:
    """All of them; every case has a seed of its own, so that their deviations are independent of one another."""
    yield from balanced(tables["balanced_lines"])
    yield from unequal([*tables["unbalanced_exponential"], *tables["unreliable_exponential_ODF"]])
    yield from queues(tables["queues"])
    yield from closed(tables["closed_network_buzen"])


def page(found: Sequence[Check]) -> str:
    """The page as Markdown."""
    worst = max(abs(c.z) for c in found)
    over = sum(abs(c.z) > 2.0 for c in found)
    lines = [
        "# The line engine against exact results",
        "",
        "Made by `python -m bench.flow.validation`. Exact values come from Markov chains, queueing formulas and Buzen's",
        f"algorithm. Simulated ones are means over {REPLICATIONS:,} independent replications at fixed seeds, each begun empty",
        "and measured after a warm-up. SE is the standard error of the mean, z the distance from the exact value in standard",
        f"errors. A figure is wrong where |z| exceeds {LIMIT:g}.",
        "",
        f"{len(found)} figures; |z| > 2 for {over} of them ({over / len(found):.1%}; 4.6 % are to be expected); the largest |z|",
        f"is {worst:.2f}. Figures of one case come from the same replications and deviate together.",
        "",
        "What has no formula is compared elsewhere: departures equal those of the max-plus recursion to the microsecond",
        "(`tests/flow/test_exact_lines.py`), and SimPy agrees on shared crews (`tests/flow/test_against_simpy.py`) and on a",
        "machining cell with vehicles, batteries, set-ups and a shared operator (`tests/flow/test_cell_against_simpy.py`).",
        "Every clause of `docs/semantics.md` names the small line that proves it.",
    ]
    for group in dict.fromkeys(c.group for c in found):
        lines += ["", f"## {group}", "", "| case | figure | exact | simulated | SE | z |", "|---|---|---:|---:|---:|---:|"]
        lines += [
            f"| {c.case} | {c.figure} | {c.exact:.5f} | {c.mean:.5f} | {c.error:.5f} | {c.z:+.2f} |"
            for c in found
            if c.group == group
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page; exit status 1 when a figure is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.flow.validation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, help="JSON file of exact results")
    parser.add_argument("--out", type=Path, default=Path("docs/flow-validation.md"))
    options = parser.parse_args()
    found = list(checks(json.loads(options.tables.read_text(encoding="utf-8"))))
    options.out.write_text(page(found), encoding="utf-8")
    wrong = [c for c in found if abs(c.z) > LIMIT]
    for c in wrong:
        print(f"{c.case}, {c.figure}: {c.mean:.5f} +- {c.error:.5f}, exact {c.exact:.5f}")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
