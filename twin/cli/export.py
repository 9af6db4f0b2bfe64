"""``twin export``: a stage with its edits as clean USD."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from twin.core.errors import InputError

app = typer.Typer(add_completion=False)


@app.command()
def export(
    stage: Annotated[Path, typer.Argument(help="The stage.")],
    out: Annotated[Path, typer.Option(help="File to write: .usda, .usdc or .usd.")],
    project: Annotated[
        str, typer.Option(help="Project folder, or FOLDER@VERSION; default: the one that serve uses for the stage.")
    ] = "",
    asset_root: Annotated[Path | None, typer.Option(help="Folder that every asset must lie in.")] = None,
    flatten: Annotated[bool, typer.Option(help="One file that refers to no other USD file.")] = False,
    own_layer: Annotated[
        bool, typer.Option(help="The edits as a layer of their own beside FILE, which has them and the stage as sublayers.")
    ] = False,
    beside_stage: Annotated[bool, typer.Option(help="Paths in the file as if it lay in the stage's folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write STAGE with the edits of a project. A server may be running meanwhile."""
    from twin.collab.stored import open_with_edits
    from twin.scene import find_asset_root
    from twin.scene.edits.export import export_layered, export_stage

    if not stage.is_file():
        raise InputError("no such file", file=stage)
    if out.resolve() == stage.resolve():
        raise InputError("would overwrite the stage itself", file=out, attribute="--out")
    root = (asset_root or find_asset_root(stage)).resolve()
    folder, _, number = project.partition("@")
    if number and not number.isdecimal():
        raise InputError(f"{number!r} is not the number of a version", attribute="--project")
    place = Path(folder) if folder else root / ".twin" / stage.resolve().relative_to(root)
    opened, findings = open_with_edits(stage, place, version=int(number or 0), asset_root=root)
    if own_layer and (flatten or beside_stage):
        raise InputError("does not go together with --flatten or --beside-stage", attribute="--own-layer")
    if own_layer:
        export_layered(opened, out)
    else:
        export_stage(opened, out, flatten=flatten, folder=stage.resolve().parent if beside_stage else None)
    if as_json:
        print(json.dumps({"out": str(out), "findings": [f.as_dict() for f in findings]}))
        return
    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"wrote {out}")
