"""Findings: what a check, a compile or a loader has to say about its input, collected instead of raised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One remark about one place. ``path`` is a prim or property path, ``code`` is stable and kebab-case."""

    severity: Severity
    path: str
    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.severity}: {self.path}: {self.message} [{self.code}]"


@dataclass
class Findings:
    """A collector handed down through readers and compilers."""

    items: list[Finding] = field(default_factory=list)

    def error(self, path: object, code: str, message: str) -> None:
        self.items.append(Finding("error", str(path), code, message))

    def warning(self, path: object, code: str, message: str) -> None:
        self.items.append(Finding("warning", str(path), code, message))

    def info(self, path: object, code: str, message: str) -> None:
        self.items.append(Finding("info", str(path), code, message))

    @property
    def has_errors(self) -> bool:
        return any(f.severity == "error" for f in self.items)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)
