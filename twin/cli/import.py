"""``twin import``: a mesh or a USD file of another program as a USD part."""

from __future__ import annotations

import dataclasses
import json as json_module
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def import_(
    file: Annotated[Path, typer.Argument(help="A mesh (.glb, .obj, .stl, .ply) or a USD file.")],
    out: Annotated[Path, typer.Option(help="The part to write: x.usda, x.usdc or x.usd.")],
    unit: Annotated[str, typer.Option(metavar="m|cm|mm|in|ft", help="Length unit of a mesh; default m.")] = "",
    up: Annotated[str, typer.Option(metavar="Y|Z", help="Up axis of a mesh; default Y for .glb, else Z.")] = "",
    collision: Annotated[
        str, typer.Option(metavar="none|hull|box|mesh", help="What goods meet: nothing, hull, box, or the mesh (of what stands).")
    ] = "none",
    mass: Annotated[float | None, typer.Option(help="Make it a rigid body of so much [kg].")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write FILE as a USD part, in metres and Z up, ready to be referenced by a stage or dropped into ``scenes/_assets``."""
    from twin.scene.importers import import_file

    made = import_file(file, out, unit=unit, up=up, collision=collision, mass=mass)
    if json:
        print(json_module.dumps({"out": str(out), **dataclasses.asdict(made)}, indent=2))
        return
    size = " x ".join(f"{x:.4g}" for x in made.size_m)
    print(f"written: {out}: {made.prims} prims, {made.triangles:,} triangles, {size} m")
