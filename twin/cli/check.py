"""``twin check``: what is wrong with a stage."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def check(
    stage: Annotated[Path, typer.Argument(help="The stage: .usda, .usdc, .usd or .usdz. Any UsdPhysics stage will do.")],
    asset_root: Annotated[Path | None, typer.Option(help="Folder that every asset must lie in.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say what is wrong with STAGE, and what in it is not simulated. Exit code 1 if anything is an error."""
    from twin.core.errors import InputError, SceneError
    from twin.core.findings import Finding
    from twin.scene.check import check_stage

    if not stage.is_file():
        raise InputError("is a folder, not a stage" if stage.is_dir() else "no such file", file=stage)
    try:
        findings = check_stage(stage, asset_root)
    except SceneError as error:  # what this verb is for: elsewhere a stage that cannot be used is bad input
        findings = [Finding("error", str(error.prim or error.file or stage), "unusable-stage", str(error))]
    if json:
        print(json_module.dumps([f.as_dict() for f in findings], indent=2))
    else:
        for finding in findings:
            print(finding)
        errors = sum(f.severity == "error" for f in findings)
        print(f"{stage}: {len(findings)} findings, {errors} errors" if findings else f"{stage}: nothing to say against it")
    if any(f.severity == "error" for f in findings):
        raise typer.Exit(1)
