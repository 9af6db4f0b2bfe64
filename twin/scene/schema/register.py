"""Registration of the schema with USD; it must come before the process first asks USD about schemas."""

from __future__ import annotations

import json
from pathlib import Path

from pxr import Plug, Usd

from twin.core.errors import SceneError

_FOLDER = Path(__file__).parent


def register_schemas() -> None:
    """Make USD know the Twin schemas; calling it again does nothing.

    Raises:
        SceneError: USD has already built its table of schemas without ours, and would drop them in silence.
    """
    Plug.Registry().RegisterPlugins(str(_FOLDER))
    plugins = json.loads((_FOLDER / "plugInfo.json").read_text())["Plugins"]
    registry = Usd.SchemaRegistry()
    for name in plugins[0]["Info"]["Types"]:
        if registry.FindAppliedAPIPrimDefinition(name) is None:
            raise SceneError(
                f"the Twin schemas were registered too late ({name} is unknown to USD): "
                "import twin.scene before the first stage of the process is opened"
            )
