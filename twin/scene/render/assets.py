"""Meshes and textures by content: what has the same hash never changes and may be cached for ever."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass
class AssetStore:
    """Bytes by SHA-256 (hex), in memory."""

    _blobs: dict[str, bytes] = field(default_factory=dict)

    def put(self, data: bytes) -> str:
        """Keep ``data`` and return its hash."""
        key = hashlib.sha256(data).hexdigest()
        self._blobs.setdefault(key, data)
        return key

    def get(self, key: str) -> bytes | None:
        """The bytes of a hash, or None."""
        return self._blobs.get(key)

    def __len__(self) -> int:
        return len(self._blobs)
