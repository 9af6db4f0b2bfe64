"""``twin doctor``: versions, devices, kernel cache, free ports, disk."""

from __future__ import annotations

import importlib.metadata
import json as json_module
import platform
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)

_PACKAGES = (
    "usd-core",
    "warp-lang",
    "numpy",
    "fastapi",
    "uvicorn",
    "websockets",
    "trimesh",
    "asyncua",
    "aiomqtt",
    "pyarrow",
    "duckdb",
)


def _cache_state(folder: Path) -> dict[str, Any]:
    modules = [p for p in folder.glob("wp_*") if p.is_dir()] if folder.is_dir() else []
    return {"path": str(folder), "modules": len(modules), "warm": any("twin." in p.name for p in modules)}


def _port_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def report() -> dict[str, Any]:
    """All that ``twin doctor --json`` prints; the version of a package that is not installed is None."""
    from twin import __version__

    begin = time.perf_counter()
    from twin.core.cores import usable_cores
    from twin.process.device import describe

    warp = describe()
    static = Path(__file__).parent.parent / "server" / "static" / "index.html"
    return {
        "twin": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": usable_cores(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "devices": warp["devices"],
        "warp_start_s": round(time.perf_counter() - begin, 3),
        "kernel_cache": _cache_state(Path(warp["kernel_cache"])),
        "web_client_built": static.is_file(),
        "ports": {str(port): "free" if _port_free(port) else "in use" for port in (8000, 1883, 4840)},
        "disk_free_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
    }


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Report versions, devices, kernel cache, ports and disk."""
    result = report()
    if json:
        print(json_module.dumps(result, indent=2))
        return
    print(f"twin {result['twin']}, Python {result['python']}, {result['platform']}, {result['cores']} cores")
    print("devices:       " + ", ".join(f"{d['name']} ({d['description']})" for d in result["devices"]))
    cache = result["kernel_cache"]
    print(f"kernel cache:  {'warm' if cache['warm'] else 'cold, the first run compiles'} ({cache['path']})")
    print(f"web client:    {'built' if result['web_client_built'] else 'not built: run make build'}")
    print("ports:         " + ", ".join(f"{port} {state}" for port, state in result["ports"].items()))
    print(f"disk:          {result['disk_free_gb']} GB free")
    print("versions:      " + ", ".join(f"{n} {v or 'not installed'}" for n, v in result["versions"].items()))
    if not result["web_client_built"]:
        print("the page cannot be served until the web client is built", file=sys.stderr)
