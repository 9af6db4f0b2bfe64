"""What a mapping says about a recording and about a signal in it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from twin.connectors.mapping import Strict
from twin.connectors.stamps import ZoneName


def _text(value: object) -> object:
    """YAML reads an unquoted time as a date; its text is what was meant."""
    return value if value is None or isinstance(value, str) else str(value)


Moment = Annotated[str | None, BeforeValidator(_text)]


class ReplayOptions(Strict):
    """Options of a recording.

    Attributes:
        speed: Recorded seconds per second, or ``max``: as fast as ``rate`` permits.
        rate: Most samples a second; a recorder that falls behind would lose samples.
        stamps: ``recorded`` keeps the source times, ``now`` moves them so that the first one is the moment of starting and
            the others follow at ``speed``.
        begin: First moment played (ISO 8601). end: Last moment played.
        loop: Begin again at the end; with ``stamps: now`` only, since the same times again are the same samples.
        timezone: Of times in CSV and Parquet that name none.
    """

    speed: Annotated[float, Field(gt=0.0, le=1e6)] | Literal["max"] = 1.0
    rate: int = Field(20_000, ge=1)
    stamps: Literal["recorded", "now"] = "recorded"
    begin: Moment = None
    end: Moment = None
    loop: bool = False
    timezone: ZoneName = "UTC"

    @model_validator(mode="after")
    def _loops_move_on(self) -> ReplayOptions:
        if self.loop and (self.stamps == "recorded" or self.speed == "max"):
            raise ValueError("a loop needs stamps: now and a speed, else it delivers the same samples again")
        return self


class ReplaySource(Strict):
    """A signal's source: a ``column`` of a table, or a ``signal`` (``/World/Oven:temperature``) of a history file or export.

    ``time`` and ``quality`` name other columns; without ``time`` it is the first of ``time_ns time timestamp ts`` that is
    there. ``where`` keeps the rows in which other columns have these values: a table with one row a sample.
    """

    column: str | None = None
    signal: str | None = Field(None, pattern=r"^/.+:.+")
    time: str | None = None
    quality: str | None = None
    where: dict[str, str] = Field({})

    @model_validator(mode="after")
    def _one_of_both(self) -> ReplaySource:
        if (self.column is None) == (self.signal is None):
            raise ValueError("give either column or signal")
        if self.signal is not None and (self.where or self.time or self.quality):
            raise ValueError("time, quality and where belong to column, not to signal")
        return self

    def __str__(self) -> str:
        where = "".join(f" {k}={v}" for k, v in self.where.items())
        return self.signal or f"{self.column}{where}"
