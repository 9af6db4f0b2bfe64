"""Who does not collide with whom: collision groups and filtered pairs."""

from __future__ import annotations

from typing import Any

from pxr import Sdf

from twin.model.rigid import RigidModel


class CollisionFilters:
    """Gathers filters while shapes are read.

    A shape has one group number in the model; a collider that is in several groups gets a number for that combination.

    Args:
        groups: Paths and descriptions of the stage's collision groups, or None.
    """

    def __init__(self, groups: Any) -> None:
        self._alias: dict[Sdf.Path, str] = {}
        self._filtered: dict[str, set[str]] = {}
        self._only: dict[str, set[str]] = {}
        self._numbers: dict[tuple[str, ...], int] = {(): 0}
        self._pairs: list[tuple[Sdf.Path, Sdf.Path]] = []
        described = list(zip(*groups, strict=True)) if groups else []
        for path, desc in described:
            # Groups that share a merge name are one group.
            self._alias[path] = f"merged {desc.mergeGroupName}" if desc.mergeGroupName else str(path)
        for path, desc in described:
            names = {self._alias[p] for p in desc.filteredGroups if p in self._alias}
            table = self._only if desc.invertFilteredGroups else self._filtered
            table.setdefault(self._alias[path], set()).update(names)

    def exclude(self, path: Sdf.Path, others: Any) -> None:
        """``path`` and each of ``others`` (bodies or colliders) ignore each other."""
        self._pairs += [(path, other) for other in others]

    def group(self, groups: Any) -> int:
        """Group number of a collider that is in ``groups`` (paths)."""
        key = tuple(sorted({self._alias[g] for g in groups if g in self._alias}))
        return self._numbers.setdefault(key, len(self._numbers))

    def _ignores(self, a: str, others: tuple[str, ...]) -> bool:
        if any(b in self._filtered.get(a, ()) for b in others):
            return True
        return a in self._only and not any(b in self._only[a] for b in others)

    def group_pairs(self) -> list[tuple[int, int]]:
        """Pairs of group numbers, lower first, that ignore each other."""
        keys = list(self._numbers.items())
        return [
            (i, j)
            for at, (first, i) in enumerate(keys)
            for second, j in keys[at:]
            if any(self._ignores(a, second) for a in first) or any(self._ignores(b, first) for b in second)
        ]

    def shape_pairs(self, model: RigidModel) -> list[tuple[int, int]]:
        """Filtered pairs as shape indices, lower first."""
        if not self._pairs:
            return []
        by_owner: dict[str, list[int]] = {}
        for i, shape in enumerate(model.shapes):
            by_owner.setdefault(shape.path, []).append(i)
            body = model.bodies[shape.body].path if shape.body >= 0 else ""
            if body and body != shape.path:
                by_owner.setdefault(body, []).append(i)
        pairs = {
            (min(i, j), max(i, j))
            for a, b in self._pairs
            for i in by_owner.get(str(a), ())
            for j in by_owner.get(str(b), ())
            if i != j
        }
        return sorted(pairs)
