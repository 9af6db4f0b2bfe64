"""What a server was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from twin.server.quotas import Quota


@dataclass
class Settings:
    """What ``twin serve`` was asked for."""

    stage: Path
    project: Path
    asset_root: Path | None = None
    mappings: Sequence[Path] = ()
    emulate: bool = False
    allow_writes: bool = False
    shadow: bool = False
    serve_opcua: int | None = None
    publish_mqtt: str | None = None
    publish_sparkplug: str | None = None
    sparkplug_host: str | None = None
    rate: float = 1.0
    paused: bool = False
    device: str = "cpu"
    seed: int = 1
    stage_name: str = ""
    quota: Quota = field(default_factory=Quota)
