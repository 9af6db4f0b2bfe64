"""``twin serve``: run a twin and share it in the browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from twin.core.errors import InputError

app = typer.Typer(add_completion=False)

PROJECTS = "twin-projects"
"""Where projects begun on the page to choose are kept, in the working directory."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@app.command()
def serve(
    stage: Annotated[Path | None, typer.Argument(help="The stage; without it a page to choose one.")] = None,
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
    serve_opcua: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Also serve the signals by OPC UA on this loopback port, read-only.")
    ] = None,
    publish_mqtt: Annotated[str | None, typer.Option(help="Also publish the signals to this broker: mqtt://HOST.")] = None,
    publish_sparkplug: Annotated[
        str | None, typer.Option(help="Also be a Sparkplug edge node on this broker: mqtt://HOST.")
    ] = None,
    sparkplug_host: Annotated[
        str | None, typer.Option(help="The edge node's primary host: while it is away, values are stored, and sent later.")
    ] = None,
    shadow: Annotated[
        bool, typer.Option(help="The plant's values drive belts, goods, states and poses; nothing is simulated.")
    ] = False,
    allow_writes: Annotated[
        bool, typer.Option(help="Permit writing to the plant, signal by signal, once an admin has armed it.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda:0.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the line's random draws.")] = 1,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM): serve https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    gateways: Annotated[
        int,
        typer.Option(min=0, max=64, help="Processes beside the server that hold viewers' connections, on cores of their own."),
    ] = 0,
    oidc: Annotated[Path | None, typer.Option(help="OpenID Connect provider to sign in with (a TOML file).")] = None,
    quota_connections: Annotated[int, typer.Option(min=1, help="Connections that one person may have open.")] = 40,
    quota_edits: Annotated[float, typer.Option(min=1, help="Changes a second that one person may make.")] = 150.0,
    quota_uploads: Annotated[int, typer.Option(min=0, help="What the uploads of one person may take together [MiB].")] = 2048,
) -> None:
    """Run STAGE in real time and share it. The one line on stdout says where; the rest goes to stderr."""
    from twin.collab.users import has_users
    from twin.core import log
    from twin.scene import find_asset_root, project_folder
    from twin.server.oidc import load_provider
    from twin.server.quotas import Quota
    from twin.server.serve import Front, check_tls
    from twin.server.serve import serve as run
    from twin.server.settings import Settings

    log.configure("warning")
    if not 0.05 <= rate <= 100.0:
        raise InputError(f"is {rate:g}", attribute="--rate", allowed=["0.05 to 100"])
    if public_url:
        parts = urlsplit(public_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InputError(f"{public_url!r} is no address", attribute="--public-url", allowed=["https://twin.example.com"])
        if parts.path.strip("/"):
            raise InputError(
                f"{public_url!r} has a path: the page is served at the root of a host name of its own",
                attribute="--public-url",
                allowed=[f"{parts.scheme}://{parts.netloc}"],
            )
    if (tls_cert is None) != (tls_key is None):
        raise InputError("a certificate and its key go together", attribute="--tls-cert, --tls-key")
    if tls_cert is not None and gateways:
        raise InputError("gateways speak http: let a proxy before them do TLS", attribute="--gateways, --tls-cert")
    if tls_cert is not None and tls_key is not None:
        check_tls(tls_cert, tls_key)
    if sparkplug_host is not None and publish_sparkplug is None:
        raise InputError(
            "the edge node needs a broker", attribute="--sparkplug-host", allowed=["with --publish-sparkplug mqtt://HOST"]
        )
    provider = load_provider(oidc) if oidc is not None else None
    front = Front(host, port, public_url, tls_cert, tls_key, provider, gateways)
    sock = None
    if stage is None:
        from twin.server.welcome import choose

        if host not in LOOPBACK and not os.environ.get("TWIN_TOKEN"):
            raise InputError("an address that others can reach needs a token of your own in TWIN_TOKEN", attribute="--host")
        chosen = choose(front, _samples(), Path(PROJECTS))
        if chosen is None:
            return
        stage, sock = chosen
    default = project_folder(stage, asset_root)
    project = project or default
    if project.exists() and not project.is_dir():
        raise InputError("is not a folder", file=project, attribute="--project")
    if host not in LOOPBACK and not os.environ.get("TWIN_TOKEN") and not has_users(project):
        raise InputError(
            "an address that others can reach needs a user (twin user add STAGE NAME) or a token of your own in TWIN_TOKEN",
            attribute="--host",
            allowed=LOOPBACK,
        )
    root = (asset_root or find_asset_root(stage)).resolve()
    inside = stage.resolve().relative_to(root)
    settings = Settings(
        quota=Quota(quota_connections, quota_edits, quota_uploads << 20),
        stage=stage,
        project=project,
        asset_root=root,
        mappings=mapping or [],
        emulate=emulate,
        allow_writes=allow_writes,
        shadow=shadow,
        serve_opcua=serve_opcua,
        publish_mqtt=publish_mqtt,
        publish_sparkplug=publish_sparkplug,
        sparkplug_host=sparkplug_host,
        rate=rate,
        paused=paused,
        device=device,
        seed=seed,
        stage_name=str(inside),
    )
    run(settings, front, sock)


def _samples() -> Path:
    """The folder of the samples: in a clone beside the package, in a wheel inside it."""
    import twin

    package = Path(twin.__file__).parent
    for scenes in (package / "_scenes", package.parent / "scenes"):
        if scenes.is_dir():
            return scenes
    raise InputError("no samples are installed; name a stage")
