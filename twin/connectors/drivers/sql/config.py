"""What a mapping says about a database and about a signal in it."""

from __future__ import annotations

from pydantic import Field

from twin.connectors.mapping import Seconds, Strict
from twin.connectors.stamps import ZoneName


class SqlOptions(Strict):
    """Options of a connection.

    Attributes:
        poll: How often each query is asked. timeout: How long an answer may take.
        password: Of the login in the address. rows: Most rows of one answer.
        timezone: Of times that name none.
    """

    poll: Seconds = Field(1.0, gt=0.0)
    timeout: Seconds = Field(10.0, gt=0.0)
    password: str | None = None
    rows: int = Field(10_000, ge=1)
    timezone: ZoneName = "UTC"


class SqlSource(Strict):
    """A signal's source.

    Attributes:
        query: A SELECT. ``:since`` in it is the cursor's value in the last row that was delivered.
        column: Whose value is the signal's. time: Column with the time of measurement.
        cursor: Column that grows from row to row (a number or a time); without one every answer is the state of things.
        begin: What ``:since`` is at first; without it, only rows that come from now on are delivered.
        where: Column and value that a row must have, where one query serves many signals.
    """

    query: str = Field(min_length=1)
    column: str = Field(min_length=1)
    time: str | None = None
    cursor: str | None = None
    begin: int | float | str | None = None
    where: dict[str, str | int | float | bool] = Field(default_factory=dict)

    def __str__(self) -> str:
        only = "".join(f" {k}={v}" for k, v in self.where.items())
        return f"{self.column}{only} of {' '.join(self.query.split())[:60]}"
