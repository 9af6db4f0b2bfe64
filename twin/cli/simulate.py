"""``twin simulate``: a stage's rigid bodies (and its line) headless, as fast as possible."""

from __future__ import annotations

import json as json_module
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.core.errors import InputError

if TYPE_CHECKING:
    from twin.sim import Simulation

app = typer.Typer(add_completion=False)

SUFFIXES = (".npz", ".usdc", ".usda", ".usd")


@app.command()
def simulate(
    stage: Annotated[Path, typer.Argument(help="Any UsdPhysics stage.")],
    seconds: Annotated[float, typer.Option(help="Simulated time [s].")],
    out: Annotated[
        Path | None,
        typer.Option(help="x.npz for arrays, x.usdc for the stage with time samples."),
    ] = None,
    hz: Annotated[float | None, typer.Option(help="Steps per second; default the stage's own, else 60.")] = None,
    substeps: Annotated[int, typer.Option(min=1, help="Solver substeps of a step.")] = 4,
    device: Annotated[str, typer.Option(help="cpu or cuda:0.")] = "cpu",
    sample_hz: Annotated[
        float | None,
        typer.Option(help="Samples per second in OUT, a whole part of --hz; default every step."),
    ] = None,
    worlds: Annotated[int, typer.Option(min=1, help="Independent worlds, replications of the line.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the line's random draws.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run STAGE for SECONDS. All results are SI, whatever the stage's units; axes as authored."""
    if out is not None and out.suffix not in SUFFIXES:
        raise InputError(f"cannot write {out.suffix or 'a file without a suffix'}", file=out, attribute="--out", allowed=SUFFIXES)
    if out is not None and not out.parent.exists():
        raise InputError("the folder does not exist", file=out.parent, attribute="--out")
    if out is not None and out.suffix != ".npz" and worlds > 1:
        raise InputError("a stage holds one world; use .npz for more", file=out, attribute="--worlds")
    if out is not None and out.exists() and stage.exists() and out.samefile(stage):
        raise InputError("would replace the stage itself", file=out, attribute="--out")
    for name, value in (("--seconds", seconds), ("--hz", hz), ("--sample-hz", sample_hz)):
        if value is not None and not 0.0 < value < 1e9:
            raise InputError(f"must be a positive number, is {value}", attribute=name)

    from twin.physics import energy
    from twin.scene import compile_factory, open_stage
    from twin.sim import Simulation

    begin = time.perf_counter()
    model = compile_factory(open_stage(stage))
    rate = hz or model.rigid.steps_per_second or 60.0
    simulation = Simulation(model, hz=rate, substeps=substeps, device=device, seed=seed, worlds=worlds)
    start = simulation.snapshot()
    simulation.step(1)
    simulation.restore(start)
    compiled = time.perf_counter() - begin

    steps = max(round(seconds * rate), 1)
    every = 1 if sample_hz is None else max(round(rate / sample_hz), 1)
    sampled = rate / every
    if out is not None and sample_hz is not None and abs(sampled - sample_hz) > 1e-6 * sample_hz:
        print(
            f"warning: --sample-hz {sample_hz:g} is no whole part of {rate:g} steps per second: {sampled:g} samples per second",
            file=sys.stderr,
        )
    recorder = _Recorder(simulation) if out is not None else None
    deepest = 0.0
    tenth = max(round(rate / 10.0), 1)
    energies = [sum(energy(simulation.world, w) for w in range(worlds))]
    begin = time.perf_counter()
    shown = begin
    for step in range(steps + 1):
        if recorder is not None and (step % every == 0 or step == steps):
            recorder.take()
        if step < steps:
            simulation.step(1)
            deepest = max(deepest, *(simulation.world.stats(w).penetration for w in range(worlds)))
            if (step + 1) % tenth == 0 or step + 1 == steps:
                energies.append(sum(energy(simulation.world, w) for w in range(worlds)))
        if time.perf_counter() - shown > 1.0:
            shown = time.perf_counter()
            print(f"\r{step / rate:8.1f} of {seconds:g} s", end="", file=sys.stderr, flush=True)
    wall = time.perf_counter() - begin
    if recorder is not None and out is not None:
        recorder.write(out, stage)
    _report(simulation, wall, compiled, steps, deepest, energies, out, json, sampled)


def _report(
    sim: Simulation,
    wall: float,
    compiled: float,
    steps: int,
    deepest: float,
    energies: list[float],
    out: Path | None,
    json: bool,
    sampled: float,
) -> None:
    stats = [sim.world.stats(w) for w in range(sim.worlds)]
    counts = [sim.counts(w) for w in range(sim.worlds)]
    document: dict[str, Any] = {
        "wall_s": wall,
        "compile_s": compiled,
        "steps": steps,
        "simulated_s": sim.time,
        "max_penetration_m": deepest,
        "final_penetration_m": max(s.penetration for s in stats),
        "energy_j": {
            "start": energies[0],
            "end": energies[-1],
            "drift": energies[-1] - energies[0],
            "most_gained": max(energies) - energies[0],
        },
        "asleep": sum(s.asleep for s in stats),
        "bodies": len(sim.model.rigid.bodies),
        "worlds": sim.worlds,
        **{name: sum(getattr(c, name) for c in counts) for name in ("spawned", "inside", "sunk", "scrapped", "lost")},
        "overflow": sum(s.overflow for s in stats) + sum(sim.refused(w) for w in range(sim.worlds)),
        "invalid": sum(s.invalid for s in stats),
        "findings": [f.as_dict() for f in sim.findings],
        "out": None if out is None else str(out),
        "sample_hz": None if out is None else sampled,
    }
    if json:
        print(json_module.dumps(document, indent=2))
        return
    print(
        f"{document['simulated_s']:g} s in {wall:.2f} s ({document['simulated_s'] / max(wall, 1e-9):.1f} times real time), "
        f"start-up {compiled:.1f} s"
    )
    print(
        f"{document['bodies']} bodies; deepest overlap {deepest * 1000:.2f} mm, "
        f"at the end {document['final_penetration_m'] * 1000:.2f} mm"
    )
    if document["spawned"]:
        print("pieces: " + ", ".join(f"{document[n]} {n}" for n in ("spawned", "inside", "sunk", "scrapped", "lost")))
    for name in ("overflow", "invalid"):
        if document[name]:
            print(f"warning: {name} {document[name]}")
    for finding in sim.findings:
        print(finding)
    if out is not None:
        print(f"written: {out}")


class _Recorder:
    """Samples of all worlds, kept until the end."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._first = len(sim.model.rigid.bodies)
        self._samples: list[dict[str, Any]] = []

    def take(self) -> None:
        import numpy as np

        sim = self._sim
        poses = [sim.world.poses(w) for w in range(sim.worlds)]
        frames = [sim.frame(w) for w in range(sim.worlds)]
        self._samples.append(
            {
                "time": sim.time,
                "position": np.stack([p[0] for p in poses]),
                "rotation": np.stack([p[1] for p in poses]),
                "linear": np.stack([sim.world.frame_velocity(w) for w in range(sim.worlds)]),
                "angular": sim.world.angular_velocity.numpy()[:, : sim.world.slots].copy(),
                "alive": np.stack([f.item_alive for f in frames]),
                "id": np.stack([f.item_id for f in frames]),
                "type": np.stack([f.item_prototype for f in frames]),
            }
        )

    def write(self, out: Path, stage: Path) -> None:
        import numpy as np

        times = np.array([s["time"] for s in self._samples])
        first = self._first

        def column(name: str, items: bool) -> np.ndarray:
            values = np.stack([s[name] for s in self._samples], axis=1)  # [W,T,M,...]
            return values[:, :, first:] if items else values[:, :, :first]

        paths = [b.path for b in self._sim.model.rigid.bodies]
        if out.suffix != ".npz":
            from twin.scene.samples import GoodsSamples, write_samples

            alive = np.stack([s["alive"][0] for s in self._samples])
            goods = GoodsSamples(
                prototypes=[p.path for p in self._sim.model.rigid.prototypes],
                item=np.where(alive, np.stack([s["id"][0] for s in self._samples]), -1),
                prototype=np.stack([s["type"][0] for s in self._samples]),
                position=column("position", True)[0],
                rotation=column("rotation", True)[0],
            )
            write_samples(stage, out, times, paths, column("position", False)[0], column("rotation", False)[0], goods)
            return
        alive = np.stack([s["alive"] for s in self._samples], axis=1)
        arrays: dict[str, Any] = {}
        names = {"position": "position", "rotation": "rotation", "linear_velocity": "linear", "angular_velocity": "angular"}
        for name, source in names.items():
            arrays[name] = column(source, False)
            arrays[f"item_{name}"] = np.where(alive[..., None], column(source, True), np.nan).astype(np.float32)
        types = np.array([p.type for p in self._sim.model.rigid.prototypes] or [""])
        kinds = np.stack([s["type"] for s in self._samples], axis=1)
        arrays["item_alive"] = alive
        arrays["item_id"] = np.where(alive, np.stack([s["id"] for s in self._samples], axis=1), -1)
        arrays["item_type"] = np.where(alive, types[np.clip(kinds, 0, len(types) - 1)], "")
        if self._sim.worlds == 1:
            arrays = {name: values[0] for name, values in arrays.items()}
        np.savez_compressed(out, time=times, path=np.array(paths, dtype=str), **arrays)
