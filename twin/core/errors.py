"""The exceptions of Twin.

TwinError
├── InputError          bad input or wrong usage: exit code 2
│   ├── SceneError      a stage, layer or prim that cannot be used
│   ├── StudyError      a study file that cannot be planned
│   └── MappingError    a connector mapping file that cannot be used
├── WorkError           the input was fine, the work failed: exit code 1
└── Rejected            an edit or command that was refused, with a reason code for the client
"""

from __future__ import annotations

from collections.abc import Iterable


class TwinError(Exception):
    """Base of all errors that a user may meet.

    Args:
        message: What is wrong, one sentence.
        file: The file it is in.
        prim: The USD prim path it is on.
        attribute: The attribute, key or flag it is about.
        allowed: What would have been accepted.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        file: object | None = None,
        prim: object | None = None,
        attribute: str | None = None,
        allowed: Iterable[object] | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.prim = None if prim is None else str(prim)
        self.attribute = attribute
        self.allowed = None if allowed is None else [str(a) for a in allowed]
        super().__init__(message)

    def __str__(self) -> str:
        where = [part for part in (self.file, self.prim, self.attribute) if part]
        text = f"{': '.join(where)}: {self.message}" if where else self.message
        if self.allowed:
            text += f" (allowed: {', '.join(self.allowed)})"
        return text


class InputError(TwinError):
    """Bad input or wrong usage."""

    exit_code = 2


class SceneError(InputError):
    """A stage, layer or prim that cannot be used."""


class StudyError(InputError):
    """A study file that cannot be planned."""


class MappingError(InputError):
    """A connector mapping file that cannot be used."""


class WorkError(TwinError):
    """The input was fine, the work failed."""


class Rejected(TwinError):
    """An edit or command that was refused.

    Args:
        code: Machine-readable reason, e.g. ``gone``, ``role``, ``type``, ``path``, ``limit``.
        message: The reason for a person.
    """

    def __init__(self, code: str, message: str, *, prim: object | None = None, attribute: str | None = None) -> None:
        self.code = code
        super().__init__(message, prim=prim, attribute=attribute)
