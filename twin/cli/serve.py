"""``twin serve``: run a twin and share it in the browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from twin.core.errors import InputError

app = typer.Typer(add_completion=False)

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@app.command()
def serve(
    stage: Annotated[Path | None, typer.Argument(help="The stage; without it the packaging line that comes with Twin.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    mapping: Annotated[list[Path] | None, typer.Option(help="Connector mapping file; may be given again.")] = None,
    asset_root: Annotated[Path | None, typer.Option(help="Folder that every asset must lie in.")] = None,
    project: Annotated[Path | None, typer.Option(help="Folder of everything that must survive.")] = None,
    public_url: Annotated[str, typer.Option(help="Address that people see, behind a proxy.")] = "",
    rate: Annotated[float, typer.Option(help="Simulated seconds per second.")] = 1.0,
    paused: Annotated[bool, typer.Option(help="Start paused.")] = False,
    emulate: Annotated[
        bool, typer.Option(help="Feed the twin from an emulated plant (called emulated wherever it shows).")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda:0.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the line's random draws.")] = 1,
) -> None:
    """Run STAGE in real time and share it. The one line on stdout says where; the rest goes to stderr."""
    from twin.core import log
    from twin.scene import find_asset_root
    from twin.server.host import Settings
    from twin.server.serve import serve as run

    log.configure("warning")
    if stage is None:
        stage = _sample()
    if not stage.is_file():
        raise InputError("no such file", file=stage)
    if not 0.05 <= rate <= 100.0:
        raise InputError(f"is {rate:g}", attribute="--rate", allowed=["0.05 to 100"])
    if host not in LOOPBACK and not os.environ.get("TWIN_TOKEN"):
        raise InputError(
            "an address that others can reach needs a token of your own: set TWIN_TOKEN", attribute="--host", allowed=LOOPBACK
        )
    root = (asset_root or find_asset_root(stage)).resolve()
    real = stage.resolve()
    if not real.is_relative_to(root):
        raise InputError(f"the stage lies outside the asset root {root}", file=stage, attribute="--asset-root")
    inside = real.relative_to(root)
    settings = Settings(
        stage=stage,
        project=project or root / ".twin" / inside,
        asset_root=root,
        mappings=mapping or [],
        emulate=emulate,
        rate=rate,
        paused=paused,
        device=device,
        seed=seed,
        stage_name=str(inside),
    )
    run(settings, address=host, port=port, public_url=public_url)


def _sample() -> Path:
    """The hero scene: in a clone beside the package, in a wheel inside it."""
    import twin

    package = Path(twin.__file__).parent
    for scenes in (package / "_scenes", package.parent / "scenes"):
        stage = scenes / "packaging_line" / "scene.usda"
        if stage.is_file():
            return stage
    raise InputError("no sample scene is installed; name a stage")
