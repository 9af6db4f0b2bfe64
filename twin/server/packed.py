"""Compression of what is large: over a bad line the page and the scene come in a third of the time."""

from __future__ import annotations

from typing import Any

from starlette.middleware.gzip import GZipMiddleware

_LARGE = ("/assets/", "/api/assets/", "/api/part", "/api/scene")
"""Paths whose answers are packed. Never what may hold secrets beside what somebody else has chosen (BREACH)."""
SMALLEST = 1000
"""What is smaller goes as it is [bytes]."""
LEVEL = 5


class Packed:
    """ASGI middleware: answers of some paths are sent with gzip to whoever takes that."""

    def __init__(self, app: Any) -> None:
        self._plain, self._packing = app, GZipMiddleware(app, minimum_size=SMALLEST, compresslevel=LEVEL)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        large = scope["type"] == "http" and scope["path"].startswith(_LARGE)
        in_parts = large and any(name == b"range" for name, _ in scope["headers"])
        await (self._packing if large and not in_parts else self._plain)(scope, receive, send)
