"""Mapping files ``twin.mapping/1``: which source of a plant is which signal of the stage."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from twin.connectors.secret import Redactor, fill_variables, resolve
from twin.connectors.units import Conversion, compile_unit
from twin.core.clock import parse_duration
from twin.core.errors import InputError, MappingError
from twin.core.samples import SignalKey

SCHEMA = "twin.mapping/1"
STALE_INTERVALS = 3.0
"""A signal is stale after so many of its expected intervals."""


def _seconds(value: object) -> float:
    try:
        return parse_duration(value)
    except InputError as error:
        raise ValueError(str(error)) from error


Seconds = Annotated[float, BeforeValidator(_seconds)]


class Strict(BaseModel):
    """Base of everything that is read from a mapping: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConnectionEntry(Strict):
    """One connection, as written. ``options`` belong to the driver."""

    name: str = Field(min_length=1)
    driver: str
    address: str
    origin: Literal["plant", "emulated", "replay"] = "plant"
    options: dict[str, Any] = {}


class Target(Strict):
    """The signal that is written. ``prim`` may hold ``{1}``, ``{2}``, ...: what the wildcards of the source matched."""

    prim: str = Field(pattern=r"^/")
    signal: str = Field(min_length=1)


class Transform(Strict):
    """``raw * scale + offset`` is in ``raw_unit``."""

    scale: float = 1.0
    offset: float = 0.0


class WritePermission(Strict):
    """The twin may write this source: numbers between ``min`` and ``max`` in the signal's unit, text that ``text`` matches."""

    min: float | None = None
    max: float | None = None
    text: str | None = None

    @field_validator("text")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return value


class SignalEntry(Strict):
    """One signal, as written."""

    connection: str
    source: dict[str, Any]
    target: Target
    raw_unit: str | None = None
    unit: str | None = None
    transform: Transform = Transform()
    deadband: float = Field(0.0, ge=0.0)
    interval: Seconds | None = None
    stale: Seconds | None = None
    write: WritePermission | None = None


class MappingDocument(Strict):
    """The whole file."""

    schema_: Literal["twin.mapping/1"] = Field(alias="schema")
    connections: list[ConnectionEntry] = Field(min_length=1)
    signals: list[SignalEntry]


@dataclass(frozen=True, eq=False)
class Point:
    """One signal entry, checked and compiled.

    Attributes:
        index: Position in the file's ``signals``.
        source: The driver's own model of the source; its text names it in messages.
        target: Key of the signal, possibly with placeholders.
        numeric: Values must be numbers, because a unit or a transform is given.
        convert: Raw number to a number in ``unit``.
        deadband: Smaller changes are not delivered [unit]. interval_s: expected between values, None: on change.
        stale_s: Silence after which the last value is doubtful, None: never. write: None forbids writing.
    """

    index: int
    connection: str
    source: Any
    target: SignalKey
    raw_unit: str
    unit: str
    numeric: bool
    convert: Conversion
    deadband: float
    interval_s: float | None
    stale_s: float | None
    write: WritePermission | None

    def key(self, captures: tuple[str, ...] = ()) -> SignalKey:
        """The signal, its placeholders filled with what the wildcards matched."""
        prim = self.target.prim
        for number, capture in enumerate(captures, 1):
            prim = prim.replace(f"{{{number}}}", capture)
        return SignalKey(prim, self.target.name)

    @property
    def is_template(self) -> bool:
        return "{" in self.target.prim

    def __str__(self) -> str:
        return f"signals[{self.index}] {self.connection}:{self.source}"


@dataclass(frozen=True)
class ResolvedConnection:
    """A connection with its secrets in place, for one attempt. Its text shows none of them.

    ``folder`` is the mapping's, from which relative files are named.
    """

    name: str
    folder: Path
    address: str = field(repr=False)
    options: Any = field(repr=False)


@dataclass(frozen=True)
class Mapping:
    """A mapping that was read and checked."""

    file: str
    folder: Path
    connections: tuple[ConnectionEntry, ...]
    points: tuple[Point, ...]

    def targets(self) -> set[SignalKey]:
        """Signals that are written, as far as the file alone says (not those with placeholders)."""
        return {p.target for p in self.points if not p.is_template}

    def resolve(self, connection: ConnectionEntry, redactor: Redactor) -> ResolvedConnection:
        """Put the secrets in, now.

        Raises:
            MappingError: A secret is missing, or what it gave does not fit.
        """
        from twin.connectors.drivers import kind

        where = f"connections[{self.connections.index(connection)}]"
        context: dict[str, Any] = {"folder": self.folder, "redactor": redactor, "file": self.file}
        address = resolve(connection.address, attribute=f"{where}.address", **context)
        redactor.hide_login(address)
        options = resolve(connection.options, attribute=f"{where}.options", **context)
        try:
            parsed = kind(connection.driver, file=self.file, attribute=f"{where}.driver").options(**options)
        except ValidationError as error:
            raise _located(error, self.file, f"{where}.options", redactor) from None
        return ResolvedConnection(connection.name, self.folder, address, parsed)


def load(path: Path | str, *, variables: dict[str, str] | None = None) -> Mapping:
    """Read and check a mapping file; ``variables`` fill ``${name}`` in addresses and options.

    Raises:
        MappingError: Names file and key of the first thing that is wrong.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"cannot be read: {error}", file=path) from error
    return parse(text, file=str(path), folder=path.parent, variables=variables)


def parse(text: str, *, file: str, folder: Path, variables: dict[str, str] | None = None) -> Mapping:
    """As load(), from text. ``folder`` is where relative secret files are looked for."""
    from twin.connectors.drivers import kind

    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise MappingError(f"is not YAML: {' '.join(str(error).split())}", file=file) from error
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        found = raw.get("schema") if isinstance(raw, dict) else None
        raise MappingError(
            f"is not a mapping this program reads (schema {found!r})", file=file, attribute="schema", allowed=[SCHEMA]
        )
    if isinstance(raw.get("connections"), list):
        raw["connections"] = fill_variables(raw["connections"], variables or {}, file=file)
    try:
        document = MappingDocument.model_validate(raw)
    except ValidationError as error:
        raise _located(error, file) from None
    drivers: dict[str, str] = {}
    for number, connection in enumerate(document.connections):
        if connection.name in drivers:
            raise MappingError(
                f"two connections are named {connection.name!r}", file=file, attribute=f"connections[{number}].name"
            )
        spoken = kind(connection.driver, file=file, attribute=f"connections[{number}].driver")
        if spoken.replays != (connection.origin == "replay"):
            if "origin" in connection.model_fields_set:
                raise MappingError(
                    f"values of the driver {spoken.name!r} cannot be called {connection.origin!r}",
                    file=file,
                    attribute=f"connections[{number}].origin",
                    allowed=["replay"] if spoken.replays else ["plant", "emulated"],
                )
            document.connections[number] = connection.model_copy(update={"origin": "replay"})
        drivers[connection.name] = connection.driver
    points = tuple(_compile(i, entry, drivers, file) for i, entry in enumerate(document.signals))
    return Mapping(file, folder, tuple(document.connections), points)


def _compile(index: int, entry: SignalEntry, drivers: dict[str, str], file: str) -> Point:
    from twin.connectors.drivers import kind

    where = f"signals[{index}]"
    if entry.connection not in drivers:
        raise MappingError(
            f"no connection {entry.connection!r}", file=file, attribute=f"{where}.connection", allowed=sorted(drivers)
        )
    spoken = kind(drivers[entry.connection])
    if entry.write is not None and not spoken.writes:
        raise MappingError(f"nothing can be written through the driver {spoken.name!r}", file=file, attribute=f"{where}.write")
    try:
        source = spoken.source(**entry.source)
    except ValidationError as error:
        raise _located(error, file, f"{where}.source") from None
    unit = entry.unit if entry.unit is not None else entry.raw_unit
    raw_unit = entry.raw_unit if entry.raw_unit is not None else unit
    convert = Conversion(entry.transform.scale, entry.transform.offset)
    if entry.transform.scale == 0.0:
        raise MappingError("a scale of 0 loses the value", file=file, attribute=f"{where}.transform.scale")
    if unit is not None and raw_unit is not None:
        try:
            convert = convert.then(compile_unit(raw_unit, unit))
        except MappingError as error:
            raise MappingError(error.message, file=file, attribute=f"{where}.raw_unit", allowed=error.allowed) from error
    stale = entry.stale
    if stale is None and entry.interval is not None:
        stale = STALE_INTERVALS * entry.interval
    return Point(
        index=index,
        connection=entry.connection,
        source=source,
        target=SignalKey(entry.target.prim, entry.target.signal),
        raw_unit=raw_unit or "",
        unit=unit or "",
        numeric=unit is not None or entry.transform != Transform() or entry.deadband > 0.0,
        convert=convert,
        deadband=entry.deadband,
        interval_s=entry.interval,
        stale_s=stale,
        write=entry.write,
    )


def _located(error: ValidationError, file: str, prefix: str = "", redactor: Redactor | None = None) -> MappingError:
    """The first complaint, with its key as a person would write it."""
    first = error.errors(include_url=False)[0]
    key = prefix
    for part in first["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    # a value is shown only where no secret can have been put in
    shown = "" if redactor is not None or isinstance(first["input"], (dict, list)) else f", not {first['input']!r}"
    return MappingError(f"{first['msg']}{shown}", file=file, attribute=key)
