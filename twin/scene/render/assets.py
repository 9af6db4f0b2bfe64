"""Meshes and textures by content: what has the same hash never changes and may be cached for ever."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field

ROOM = 128 << 20
"""So much may lie about that nothing is drawn with [bytes]."""


@dataclass
class AssetStore:
    """Bytes by SHA-256 (hex), in memory; for any thread."""

    _blobs: dict[str, bytes] = field(default_factory=dict)
    _size: int = 0
    _tidy_at: int = field(default_factory=lambda: ROOM)
    _idle: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, data: bytes) -> str:
        """Keep ``data`` and return its hash."""
        key = hashlib.sha256(data).hexdigest()
        with self._lock:
            if key not in self._blobs:
                self._blobs[key] = data
                self._size += len(data)
            self._idle.discard(key)
        return key

    def get(self, key: str) -> bytes | None:
        """The bytes of a hash, or None."""
        return self._blobs.get(key)

    @property
    def crowded(self) -> bool:
        """It is time to ``tidy``."""
        return self._size >= self._tidy_at

    def tidy(self, used: set[str]) -> None:
        """Let go of what was not in use the last time either: somebody may still be on the way to fetch the rest."""
        with self._lock:
            idle = self._blobs.keys() - used
            for key in idle & self._idle:
                self._size -= len(self._blobs.pop(key))
            self._idle = idle & self._blobs.keys()
            self._tidy_at = self._size + ROOM

    def __len__(self) -> int:
        return len(self._blobs)
