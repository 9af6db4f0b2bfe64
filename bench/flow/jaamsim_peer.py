"""The same line in JaamSim, as its manual would write it: a server a station, a queue a buffer, a downtime entity its failures.

JaamSim is a Java program that is not on PyPI: the environment variable ``JAAMSIM`` names its jar, made from its sources or
downloaded; the two JOGL jars of its sources lie beside it. It runs without a display (``-h``). Parts go round, which saves it
from making and discarding them: as many as the line can hold and one more, so that the first server never waits.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
from pathlib import Path

from bench.flow.lines import BUFFER, CYCLE_S, REPAIR_S, STATIONS, UPTIME_S

JAR = "JAAMSIM"
"""Environment variable with the path of the jar."""


def jar() -> Path | None:
    """Where JaamSim is; None where nobody says so."""
    return Path(os.environ[JAR]) if os.environ.get(JAR) else None


def line_model(*, horizon_s: float, seed: int) -> str:
    """The line as a JaamSim input file, that writes how often each server finished a part."""
    stations = range(STATIONS)
    kinds = {
        "ExponentialDistribution": [f"{name}{i}" for name in ("Cycle", "Uptime", "Repair") for i in stations],
        "ExpressionThreshold": [f"Room{i}" for i in range(1, STATIONS)],
        "DowntimeEntity": [f"Failure{i}" for i in stations],
        "EntityGenerator": ["Source"],
        "Queue": [f"Q{i}" for i in stations],
        "Server": [f"M{i}" for i in stations],
        "SimEntity": ["Part"],
    }
    out = [f"Define {kind} {{ {'  '.join(names)} }}" for kind, names in kinds.items()]
    for number, (name, mean) in enumerate((name, mean) for name, mean in _MEANS.items() for _ in stations):
        distribution = f"{name}{number % STATIONS}"
        out += [
            f"{distribution} UnitType {{ TimeUnit }}",
            f"{distribution} RandomSeed {{ {number + 1} }}",
            f"{distribution} Mean {{ {mean:g}  s }}",
        ]
    for i in stations:
        following = (i + 1) % STATIONS
        out += [
            f"Failure{i} IntervalWorkingEntity {{ M{i} }}",
            f"Failure{i} Interval {{ Uptime{i} }}",
            f"Failure{i} Duration {{ Repair{i} }}",
            f"M{i} WaitQueue {{ Q{i} }}",
            f"M{i} ServiceTime {{ Cycle{i} }}",
            f"M{i} ImmediateBreakdownList {{ Failure{i} }}",
            f"M{i} NextComponent {{ Q{following} }}",
        ]
        if following:
            out += [
                f"Room{following} OpenCondition {{ '[Q{following}].QueueLength < {BUFFER}' }}",
                f"M{i} ReleaseThresholdList {{ Room{following} }}",
            ]
    inside = STATIONS + (STATIONS - 1) * BUFFER + 1
    out += [
        "Source PrototypeEntity { Part }",
        "Source NextComponent { Q0 }",
        "Source InterArrivalTime { 1  s }",
        "Source MaxNumber { 1 }",
        f"Source EntitiesPerArrival {{ {inside} }}",
        f"Simulation RunDuration {{ {horizon_s:g}  s }}",
        f"Simulation GlobalSubstreamSeed {{ {seed} }}",
        f"Simulation RunOutputList {{ {'  '.join(f'{{ [M{i}].NumberProcessed }}' for i in stations)} }}",
        "Simulation RealTime { FALSE }",
    ]
    return "\n".join(out) + "\n"


_MEANS = {"Cycle": CYCLE_S, "Uptime": UPTIME_S, "Repair": REPAIR_S}


def line_in_jaamsim(seed: int, *, horizon_s: float, program: Path) -> tuple[int, int, float]:
    """One replication from empty: cycles completed by all stations, by the last one, and processor time [s], the start of the
    Java machine included.

    Raises:
        RuntimeError: JaamSim did not do it; its last words are in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "line.cfg"
        model.write_text(line_model(horizon_s=horizon_s, seed=seed), encoding="ascii")
        before = _children_s()
        path = f"{program}{os.pathsep}{program.parent}/*"
        done = subprocess.run(
            ["java", "-XX:+UseSerialGC", "-cp", path, "com.jaamsim.ui.GUIFrame", str(model), "-h"],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        seconds = _children_s() - before
        results = list(Path(folder).glob("*.dat"))
        if not results:
            raise RuntimeError(f"JaamSim gave no results: {(done.stdout + done.stderr)[-500:]}")
        counts = [int(float(v)) for v in re.findall(r"^[\d.E+-]+$", results[0].read_text().replace("\t", "\n"), re.MULTILINE)]
    return sum(counts[-STATIONS:]), counts[-1], seconds


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
