"""``python -m bench.physics.agreement [--out docs/engine-agreement.md]``: the same lines in rigid bodies and as events.

Both engines draw the same random numbers for each replication, so that figures are compared pair by pair: what is left is what
the engines mean differently, not chance.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.model.factory import FactoryModel
from twin.model.kpis import line_kpis
from twin.scene import compile_factory, open_stage
from twin.studies.outcome import run_flow
from twin.studies.physics import run_physics
from twin.studies.results import observation

SCENES = {"Serial line": "scenes/serial_line/scene.usda", "Packaging line": "scenes/packaging_line/scene.usda"}
HORIZON_S, WARMUP_S, REPLICATIONS, SEED = 1200.0, 180.0, 4, 1
RELATIVE = {"throughput": 0.015, "wip": 0.04, "lead_time": 0.04, "lead_time_p95": 0.05, "energy_per_item": 0.03}
"""Tolerance of the mean of each figure of the line, relative."""
SHARES = {"utilisation": 0.01, "down": 0.01, "setup": 0.01, "blocked": 0.05, "starved": 0.05}
"""The same for shares of time, absolute [1]."""
LEVEL = 1.0
"""The same for mean levels of belts and buffers [items]."""


@dataclass(frozen=True)
class Row:
    """One figure: means of both engines, mean and standard deviation of the differences of pairs, tolerance of the mean."""

    name: str
    flow: float
    physics: float
    difference: float
    deviation: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        return abs(self.difference) <= self.tolerance


def _tolerance(name: str, flow: float) -> float | None:
    if name in RELATIVE:
        return RELATIVE[name] * abs(flow)
    figure = name.rpartition(":")[2]
    return LEVEL if figure == "mean_level" else SHARES.get(figure)


def compare(
    model: FactoryModel, *, horizon_s: float = HORIZON_S, warmup_s: float = WARMUP_S, replications: int = REPLICATIONS
) -> list[Row]:
    """Every figure that has a tolerance, of both engines on one line.

    Raises:
        ValueError: Physics lost pieces.
    """
    span = {"horizon_s": horizon_s, "warmup_s": warmup_s}
    a = run_flow(model, **span, seed=SEED, first=0, count=replications)
    b = run_physics(model, **span, seed=SEED, first=0, count=replications)
    if b.lost.any():
        raise ValueError(f"physics lost {b.lost.sum()} pieces")
    flow, physics = line_kpis(model, observation(a)), line_kpis(model, observation(b))
    rows = []
    for name in flow:
        x, y = flow[name], physics[name]
        both = ~(np.isnan(x) | np.isnan(y))
        tolerance = _tolerance(name, float(x[both].mean())) if both.any() else None
        if tolerance is None or not (x[both].any() or y[both].any()):
            continue
        d = (y - x)[both]
        rows.append(Row(name, float(x[both].mean()), float(y[both].mean()), float(d.mean()), float(d.std()), tolerance))
    return rows


_HEAD = f"""# The two engines on the same lines

Made by `python -m bench.physics.agreement`. Each line ran {REPLICATIONS} times for {HORIZON_S / 60:g} minutes after a warm-up
of {WARMUP_S / 60:g} minutes, from empty, in rigid bodies (60 steps a second) and in the line engine, with the same random
numbers in both. `difference` is the mean over replications of physics minus flow, `deviation` the standard deviation of these
differences.

On a line without geometry both engines give the same figures to the microsecond, conveyors included:
`tests/sim/test_against_flow.py` asserts it on random lines with everything that the schema knows.
What is left here comes from bodies on belts:

- *Where a belt ends.* A belt's length is what its items travel: from the place where the node ahead leaves them to the place
  where the next takes them, the belts within machines included. Both scenes author it as `twin:conveyor:length`.
- *The place of the next in line.* An item at the end of a belt stands where the machine takes it; while the machine has one,
  a body stands one length behind it. It is let in when the machine is free and moves up while it is being worked, as a cycle
  contains the time to move up. So throughput agrees, and a full belt ahead of a machine holds one item less.
- *Coming up to speed.* A carton set down on a belt, or let go by a machine, slips before it runs with the belt. At 0.5 m/s and a
  friction of 0.5 that is 2.5 cm and 0.05 s.
- *Merges and corners.* In flow an item enters a belt when the last one is an item's length along. A body needs its own width
  where it comes from the side, and is carried over in the time that the way takes.
- *Steps.* What bodies do is seen at the end of a step: up to 1/60 s late at each belt's end.

Tolerances follow from these and from what was measured: throughput 1.5 % (of {HORIZON_S / 60:g} minutes, an item or two more or
less have left when they end), pieces inside and lead time 4 %, its 95th percentile 5 %, energy 3 %; time worked, down and set up
0.01 of the horizon; time blocked and starved 0.05 and levels {LEVEL:g} item, because a full belt holds one less.
"""


def document(results: dict[str, list[Row]]) -> str:
    """The page in Markdown."""
    parts = [_HEAD]
    for title, rows in results.items():
        off = sum(not row.agrees for row in rows)
        parts.append(f"\n## {title}\n\n{len(rows)} figures, {off} beyond their tolerance.\n\n")
        parts.append("| figure | flow | physics | difference | deviation | tolerance | |\n|---|---:|---:|---:|---:|---:|---|\n")
        for row in rows:
            values = (row.flow, row.physics, row.difference, row.deviation, row.tolerance)
            cells = " | ".join(f"{v:.4g}" if i < 2 else f"{v:.3g}" for i, v in enumerate(values))
            parts.append(f"| `{row.name}` | {cells} | {'' if row.agrees else '**no**'} |\n")
    return "".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.physics.agreement")
    parser.add_argument("--out", type=Path, default=Path("docs/engine-agreement.md"))
    options = parser.parse_args()
    results = {title: compare(compile_factory(open_stage(Path(stage)))) for title, stage in SCENES.items()}
    options.out.write_text(document(results))
    rows = [row for rows in results.values() for row in rows]
    print(f"{options.out}: {sum(row.agrees for row in rows)} of {len(rows)} figures agree")
    return int(not all(row.agrees for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
