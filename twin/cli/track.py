"""``twin track``: a span of what a twin showed, as USD time samples, as MCAP or as arrays; or a moment simulated again."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from twin.core.errors import InputError, WorkError

app = typer.Typer(add_completion=False)
SUFFIXES = (".usdc", ".usda", ".usd", ".mcap", ".npz")


@app.command()
def track(
    stage: Annotated[Path, typer.Argument(help="The stage.")],
    out: Annotated[Path, typer.Option("--out", help="x.usdc: time samples; x.mcap: poses and signals; x.npz: arrays.")],
    project: Annotated[Path | None, typer.Option(help="Project folder; default: the one that serve uses for the stage.")] = None,
    begin: Annotated[str | None, typer.Option(help="First moment, ISO 8601, UTC where it names no zone.")] = None,
    end: Annotated[str | None, typer.Option(help="Last moment.")] = None,
    again: Annotated[
        str | None, typer.Option(help="Simulate this moment again from the keyframe before it, exactly; x.npz only.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write what was seen between two moments, SI whatever the stage's units. Times in USD are seconds since the first moment."""
    from twin.cli.connectors import _moment
    from twin.history.track import Track
    from twin.scene import find_asset_root

    if out.suffix not in SUFFIXES:
        raise InputError(f"cannot write {out.suffix or 'a file without a suffix'}", file=out, attribute="--out", allowed=SUFFIXES)
    if not stage.is_file():
        raise InputError("no such file", file=stage)
    root = find_asset_root(stage).resolve()
    place = project or root / ".twin" / stage.resolve().relative_to(root)
    if again is not None:
        result = _again(stage, root, place, _moment("--again", again, 0), out)
    else:
        seen = Track(place / "track")
        span = seen.span()
        if span is None:
            raise InputError("nothing is recorded", file=place / "track")
        result = _export(stage, place, seen, _moment("--begin", begin, span[0]), _moment("--end", end, span[1]), out)
    if json:
        print(json_module.dumps(result))
    else:
        print(f"{out}: " + ", ".join(f"{k} {v}" for k, v in result.items() if k != "file"))


def _export(stage: Path, place: Path, seen: Any, t0: int, t1: int, out: Path) -> dict[str, Any]:
    from twin.core.samples import SignalKey
    from twin.history import Recording

    if out.suffix == ".mcap":
        from twin.history.mcap import write_mcap

        recording = Recording(place / "history.db")
        try:
            units = recording.units()
            keys = [SignalKey(s.prim, s.name) for s in recording.summaries()]
            series = ((k, units.get(k, ""), recording.samples(k, t0, t1)) for k in keys)
            poses, samples = write_mcap(out, seen.moments(t0, t1), series)
        finally:
            recording.close()
        return {"file": str(out), "moments": poses, "samples": samples}
    moments = list(seen.moments(t0, t1))
    if not moments:
        raise WorkError("nothing was recorded between these moments", file=place / "track")
    paths = moments[-1].paths
    moments = [m for m in moments if m.paths == paths]  # before that the bodies were others
    time = np.array([(m.time_ns - moments[0].time_ns) / 1e9 for m in moments])
    position, rotation = np.stack([m.position for m in moments]), np.stack([m.rotation for m in moments])
    if out.suffix == ".npz":
        names = np.array(paths)
        np.savez(out, time=time, time_ns=[m.time_ns for m in moments], path=names, position=position, rotation=rotation)
    else:
        from twin.scene.samples import write_samples

        write_samples(stage, out, time, paths, position, rotation, _goods(moments))
    items = len({item for m in moments for item in m.goods})
    return {
        "file": str(out),
        "moments": len(moments),
        "bodies": len(paths),
        "goods": items,
        "seconds": round(float(time[-1]), 3),
    }


def _goods(moments: list[Any]) -> Any:
    """What ``write_samples`` takes, of the goods that were seen; items are numbered as they appear."""
    from twin.scene.samples import GoodsSamples

    numbers: dict[tuple[int, int], int] = {}
    prototypes: dict[str, int] = {}
    shape = len(moments), max(len(m.goods) for m in moments)
    item, prototype = np.full(shape, -1), np.zeros(shape, int)
    position, rotation = np.zeros((*shape, 3)), np.zeros((*shape, 4))
    for t, moment in enumerate(moments):
        for s, (key, (path, at, turn)) in enumerate(moment.goods.items()):
            item[t, s] = numbers.setdefault(key, len(numbers))
            prototype[t, s] = prototypes.setdefault(path, len(prototypes))
            position[t, s], rotation[t, s] = at, turn
    return GoodsSamples(list(prototypes), item, prototype, position, rotation)


def _again(stage: Path, root: Path, place: Path, t_ns: int, out: Path) -> dict[str, Any]:
    from twin.collab.stored import edits_of, open_with_edits
    from twin.history.track import Track
    from twin.live.keyframes import Keyframes, resimulate
    from twin.scene import compile_factory

    if out.suffix != ".npz":
        raise InputError("a moment that is simulated again is written as .npz", file=out, attribute="--out")
    about, snapshot = Keyframes(place / "keyframes").at(t_ns)
    edits = edits_of(stage, place, asset_root=root)
    if (edits.epoch, edits.seq) != (about.epoch, about.seq):
        raise InputError("the stage was edited after that moment: what it was then cannot be simulated again", file=place)
    # the track knows how far the twin had come by then: it may have been paused, or slower than the wall clock
    *_, shown = [None, *Track(place / "track").moments(about.time_ns, t_ns)]
    if shown is None:
        raise InputError("nothing was recorded between the keyframe and that moment", file=place / "track")
    opened, _ = open_with_edits(stage, place, asset_root=root)
    model = compile_factory(opened)
    ticks = round(shown.sim_time * about.hz) - about.tick
    simulation = resimulate(model, about, snapshot, ticks)
    frame = simulation.frame()
    np.savez(
        out,
        sim_time=frame.sim_time,
        tick=frame.tick,
        path=np.array([b.path for b in model.rigid.bodies]),
        position=frame.body_position,
        rotation=frame.body_rotation,
        item_alive=frame.item_alive,
        item_id=frame.item_id,
        item_position=frame.item_position,
        item_rotation=frame.item_rotation,
    )
    return {"file": str(out), "keyframe_ns": about.time_ns, "steps": ticks, "sim_time": frame.sim_time, "run": about.run}
