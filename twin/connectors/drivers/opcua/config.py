"""What a mapping says about an OPC UA connection and about a signal on it."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, model_validator

from twin.connectors.mapping import Seconds, Strict

BASE_NAMESPACE = "http://opcfoundation.org/UA/"


class OpcuaOptions(Strict):
    """Options of a connection. ``security``: ``Policy,Mode,certificate,key[,server certificate]``, paths of PEM or DER files.

    ``publishing`` and ``sampling`` are asked of the server, ``queue``: values of one node it keeps between two publications.
    """

    username: str | None = None
    password: str | None = None
    security: str | None = None
    publishing: Seconds = 0.1
    sampling: Seconds = 0.05
    queue: int = Field(1000, ge=1)
    timeout: Seconds = 4.0


class OpcuaSource(Strict):
    """A signal's source: ``namespace`` URI and ``node`` (``s=Sealer.Temperature``), or both as ``nsu=URI;s=NAME``."""

    namespace: str = BASE_NAMESPACE
    node: str = Field(pattern=r"^[isgb]=.+")

    @model_validator(mode="before")
    @classmethod
    def _split(cls, data: Any) -> Any:
        node = data.get("node") if isinstance(data, dict) else None
        if not isinstance(node, str):
            return data
        if re.match(r"ns=\d+;", node):
            raise ValueError(
                "a namespace index changes when a server restarts: give the namespace URI (namespace: ..., node: s=...)"
            )
        found = re.match(r"nsu=([^;]+);(.+)", node)
        return {**data, "namespace": found[1], "node": found[2]} if found else data

    def __str__(self) -> str:
        return f"nsu={self.namespace};{self.node}"
