"""``python -m bench.physics.table [SCENE|worlds ...] [SIZE ...]``: the comparison as a Markdown table."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np

from bench.physics import SIZES, WORLDS, many_worlds, measure
from bench.physics.engines import ENGINES
from bench.physics.scenes import SCENES

TOO_SLOW = {"pybullet": 1_000, "mujoco": 1_000, "newton": 1_000}
"""More cartons would take minutes a frame in the heap."""


def main() -> int:
    """Measure and print as it goes."""
    sizes = tuple(int(a) for a in sys.argv[1:] if a.isdigit()) or SIZES
    chosen = [a for a in sys.argv[1:] if not a.isdigit()] or [*SCENES, "worlds"]
    unknown = [a for a in chosen if a not in SCENES and a != "worlds"]
    if unknown:
        print(f"no scene {unknown[0]!r} (there are {', '.join(SCENES)} and worlds)", file=sys.stderr)
        return 2
    print("| scene | cartons | engine | ms/frame | processor ms | overlap mm | speed error % | lost |")
    print("|---|---|---|---|---|---|---|---|")
    for scene in (s for s in SCENES if s in chosen):
        for cartons in sizes:
            for engine, (package, _) in ENGINES.items():
                if importlib.util.find_spec(package) is None or cartons > TOO_SLOW.get(engine, cartons):
                    continue
                m = measure(engine, scene, cartons)
                error = f"{m['speed_error_percent']:.2g}" if np.isfinite(m["speed_error_percent"]) else ""
                cells = [scene, f"{cartons:,}", f"{engine} {m['version']}", f"{m['ms_per_frame']:.3g}"]
                cells += [f"{m['cpu_ms_per_frame']:.3g}", f"{m['overlap_mm']:.2g}", error, str(m["lost"])]
                print(f"| {' | '.join(cells)} |", flush=True)
    if "worlds" not in chosen:
        return 0
    print("\n| worlds of 20 cartons on a belt | world frames/s |\n|---|---|")
    for worlds in WORLDS:
        print(f"| {worlds:,} | {many_worlds(worlds)['world_frames_per_s']:,.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
