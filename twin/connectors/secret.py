"""Secrets in mapping files: ``${env:NAME}`` and ``${file:path}``, put in only at the moment of connecting."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from twin.core.errors import MappingError

_REFERENCE = re.compile(r"\$\{(?:(env|file):)?([^{}]+)\}")
_HIDDEN = "***"


class Redactor:
    """Knows the secrets that were put in, and takes them out of what is shown."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def hide(self, secret: str) -> None:
        self._secrets.update(s for s in (secret, quote(secret, safe=""), repr(secret)[1:-1]) if s)

    def hide_login(self, address: str) -> None:
        """Hide a password that stands in an address."""
        try:
            password = urlsplit(address).password
        except ValueError:
            return
        if password:
            self._secrets.add(password)
            self.hide(unquote(password))

    def clean(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text


def resolve(value: Any, *, folder: Path, redactor: Redactor, file: str, attribute: str) -> Any:
    """``value`` with its references replaced by what they name; looks into lists and maps.

    Raises:
        MappingError: The variable is not set or the file cannot be read.
    """
    if isinstance(value, dict):
        return {
            k: resolve(v, folder=folder, redactor=redactor, file=file, attribute=f"{attribute}.{k}") for k, v in value.items()
        }
    if isinstance(value, list):
        return [resolve(v, folder=folder, redactor=redactor, file=file, attribute=attribute) for v in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        kind, name = match[1], match[2]
        if kind == "env":
            if name not in os.environ:
                raise MappingError(f"environment variable {name} is not set", file=file, attribute=attribute)
            secret = os.environ[name]
        elif kind == "file":
            path = folder / name
            try:
                secret = path.read_text(encoding="utf-8").rstrip("\n")
            except (OSError, UnicodeDecodeError) as error:
                raise MappingError(f"secret file {path} cannot be read: {error}", file=file, attribute=attribute) from error
        else:
            return match[0]
        redactor.hide(secret)
        return secret

    return _REFERENCE.sub(replace, value)


def fill_variables(value: Any, variables: dict[str, str], *, file: str) -> Any:
    """``value`` with ``${name}`` replaced from ``variables``; references to secrets stay.

    Raises:
        MappingError: A variable that nobody gave.
    """
    if isinstance(value, dict):
        return {k: fill_variables(v, variables, file=file) for k, v in value.items()}
    if isinstance(value, list):
        return [fill_variables(v, variables, file=file) for v in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return match[0]
        if match[2] not in variables:
            raise MappingError(
                f"variable ${{{match[2]}}} is not known here", file=file, allowed=["${env:NAME}", "${file:path}", *variables]
            )
        return variables[match[2]]

    return _REFERENCE.sub(replace, value)
