"""Digests of data: equal rows have an equal digest, on any machine, in any batches, with any version of an engine.

docs/decisions/0002-digests.md defines them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.canonical import fingerprint
from osiris.table.conform import conform
from osiris.table.ordered import OrderedColumn
from osiris.table.unordered import UnorderedRows
from osiris.table.values import plain
from osiris.types import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from osiris.model import JsonValue, Order, Schema


class Digester:
    """The digest of a stream of batches: ordered where the order of its rows is fixed, else of the rows as a bag."""

    def __init__(self, schema: Schema, order: Order) -> None:
        self._schema = schema
        self._arrow = arrow_schema(schema)
        self._rows = 0
        self._state = _Ordered(self._arrow) if order == "fixed" else _Unordered(self._arrow)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch; fails with DAT016 if it is of another schema."""
        self._state.update([plain(column) for column in conform(batch, self._schema, self._arrow).columns])
        self._rows += batch.num_rows

    def result(self) -> dict[str, JsonValue]:
        """Return kind, algorithm, rows, the hash of the schema, one hash by column, and the hash of the whole."""
        columns, whole = self._state.result()
        head = {"kind": self._state.kind, "algorithm": self._state.algorithm, "rows": self._rows}
        head["schema"] = fingerprint([[column.name, column.type] for column in self._schema])
        names = [column.name for column in self._schema]
        return {
            **head,
            "columns": dict(zip(names, columns, strict=True)),
            "value": fingerprint({**head, "data": whole}),
        }


class _Ordered:
    kind, algorithm = "ordered", "sha256"

    def __init__(self, arrow: pa.Schema) -> None:
        self._columns = [OrderedColumn(field.type) for field in arrow]

    def update(self, arrays: list[pa.Array]) -> None:
        for column, array in zip(self._columns, arrays, strict=True):
            column.update(array)

    def result(self) -> tuple[list[str], JsonValue]:
        """Return one hash per column, and what the hash of the whole covers: all of them."""
        columns = [column.digest().hex() for column in self._columns]
        return columns, columns


class _Unordered:
    kind, algorithm = "unordered", "moments"

    def __init__(self, arrow: pa.Schema) -> None:
        self._rows = UnorderedRows(len(arrow))

    def update(self, arrays: list[pa.Array]) -> None:
        self._rows.update(arrays)

    def result(self) -> tuple[list[str], JsonValue]:
        """Return one sum per column, and what the hash of the whole covers: the sum over the rows."""
        return self._rows.columns(), self._rows.rows()
