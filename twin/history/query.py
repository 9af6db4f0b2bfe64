"""SQL over recorded samples, by DuckDB in memory: the columns are those of the Parquet export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twin.core.errors import InputError
from twin.core.samples import SignalKey
from twin.history.export import SCHEMA, tables
from twin.history.reader import Recording

if TYPE_CHECKING:
    import pyarrow as pa

VIEW = "samples"


def query(
    recording: Recording, sql: str, *, signals: Sequence[SignalKey] | None = None, begin_ns: int = 0, end_ns: int = 2**62
) -> pa.Table:
    """The answer of ``sql`` over the view ``samples`` (signal, time, value, text, kind, quality, unit, source_time, ...).

    Samples are streamed, so that memory stays flat where the query permits it. Only what is asked for is read: ``signals``
    and the two moments [ns UTC] bound it.

    Raises:
        InputError: A query that DuckDB refuses, or a signal that is not recorded.
    """
    import duckdb
    import pyarrow as pa

    def batches() -> Iterator[Any]:
        for table in tables(recording, signals=signals, begin_ns=begin_ns, end_ns=end_ns):
            yield from table.cast(plain).to_batches()

    # every batch has dictionaries of its own, which a stream may not have
    plain = pa.schema([(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in SCHEMA])
    with duckdb.connect(config={"enable_external_access": "false"}) as db:
        db.register(VIEW, pa.RecordBatchReader.from_batches(plain, batches()))
        try:
            return db.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise InputError(f"the query is refused: {' '.join(str(error).split())}", attribute="sql") from error
