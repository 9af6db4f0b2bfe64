"""Builds the web client into the wheel. Node is needed here and nowhere else: who installs the wheel needs none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebClientHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs ``npm ci`` and ``npm run build`` where the client has not been built. ``TWIN_SKIP_WEB=1`` leaves it out."""

    PLUGIN_NAME = "web-client"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Take the sample scenes along, and build the client if it is missing.

        Raises:
            RuntimeError: Node 20 with npm is missing, or the build failed.
        """
        self._add_scenes(build_data)
        client = Path(self.root) / "web_viewer"
        page = Path(self.root) / "twin" / "server" / "static" / "index.html"
        if os.environ.get("TWIN_SKIP_WEB") or page.exists() or not client.exists():
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(
                "Building the web client needs Node 20 or newer with npm, which is not on the PATH. "
                "Install it, or set TWIN_SKIP_WEB=1 to install without the page."
            )
        for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            done = subprocess.run([npm, *command], cwd=client, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"npm {' '.join(command)} failed in web_viewer with exit code {done.returncode}")

    def _add_scenes(self, build_data: dict[str, Any]) -> None:
        """Samples go into the package; what running them left behind (projects, results) does not."""
        scenes = Path(self.root) / "scenes"
        for file in sorted(scenes.rglob("*")):
            inside = file.relative_to(scenes)
            leftover = any(part.startswith(".") or part.endswith(".results") for part in inside.parts)
            if file.is_file() and not leftover:
                build_data["force_include"][str(file)] = f"twin/_scenes/{inside.as_posix()}"
