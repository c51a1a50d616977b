"""The rows of a step, as a table of Arrow, Polars, pandas or DuckDB."""

from __future__ import annotations

import os
import weakref
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from osiris.durable import remove_folder
from osiris.errors import fail
from osiris.python.errors import OfProject, with_short_errors
from osiris.report.result import ShownTable, problems_table, table_of
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from duckdb import DuckDBPyRelation

    from osiris.api import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import Schema

SHOWN_ROWS = 20
_MOST_DIGITS = 38


class KeptFolder:
    """A private folder for kept rows, which is removed with this object, or when the process exits."""

    def __init__(self, workspace: Workspace) -> None:
        from osiris.runner.host.passing_job import make_scratch

        self.path = make_scratch(workspace.project.scratch)
        weakref.finalize(self, _remove_own, self.path, os.getpid())


def _remove_own(folder: Path, process: int) -> None:
    """Remove a folder, but not from a copy of the process that made it."""
    if os.getpid() == process:
        remove_folder(folder)


class Output(OfProject):
    """The rows of one step, with the types of the plan; of a writer, the rows that were given to it.

    Each library is imported when its method is called; a missing one fails with PRJ019. The rows are in a private file,
    which is removed when no object uses it any more, and at the latest when the process exits.
    """

    def __init__(
        self,
        step: str,
        workspace: Workspace,
        folder: KeptFolder,
        file: Path,
        most: int | None = None,
        diagnostics: Sequence[Diagnostic] = (),
    ) -> None:
        self.step = step
        """The name of the step."""
        self.diagnostics = tuple(diagnostics)
        """Notes on the plan, of a preview."""
        self._workspace, self._folder, self._file, self._most = workspace, folder, file, most

    @cached_property
    def _table(self) -> pa.Table:
        import pyarrow as pa

        with pa.memory_map(str(self._file)) as file, pa.ipc.open_stream(file) as reader:
            table = reader.read_all()
        return table if self._most is None else table.slice(0, self._most)

    @cached_property
    def schema(self) -> Schema:
        """The columns: name, type of the plan (`utf8`, `decimal(38,2)` …), and whether NULL may occur."""
        from osiris.types import schema_of

        return schema_of(self._table.schema)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.schema)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self._table.num_rows)

    def __len__(self) -> int:
        return self.rows

    def arrow(self) -> pa.Table:
        """Return the rows as a table of pyarrow."""
        return self._table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export the rows through Arrow's PyCapsule interface, which most libraries of data frames read."""
        return self._table.__arrow_c_stream__(requested_schema)

    @with_short_errors
    def polars(self) -> pl.DataFrame:
        """Return the rows as a data frame of Polars.

        `uuid`, `json`, and decimals of more than 38 digits become text. Fails with RUN058 for timestamps in seconds
        that Polars cannot hold.
        """
        library = _imported("polars")
        frame: pl.DataFrame = library.from_arrow(self._fitting(_is_text_in_polars, seconds=False))
        return frame

    @with_short_errors
    def pandas(self) -> pd.DataFrame:
        """Return the rows as a data frame of pandas, with columns of Arrow types, which hold every value and NULL.

        `uuid` and `json` become text.
        """
        library = _imported("pandas")
        frame: pd.DataFrame = self._fitting(_is_extension).to_pandas(types_mapper=library.ArrowDtype)
        return frame

    @with_short_errors
    def duckdb(self) -> DuckDBPyRelation:
        """Return the rows as a relation on a new connection of DuckDB; the step's name is not a table there.

        Decimals of more than 38 digits become text. Fails with RUN058 for rows without columns.
        """
        library = _imported("duckdb")
        if not self.columns:
            fail("RUN058", step=self.step, why="it has no columns, and DuckDB needs one", remedy="use .arrow()")
        relation: DuckDBPyRelation = library.connect().from_arrow(self._fitting(_is_wide))
        return relation

    def _fitting(self, is_text: Callable[[pa.DataType], bool], *, seconds: bool = True) -> pa.Table:
        """Return the table for another library: columns of some types as text, timestamps maybe not in seconds."""
        import pyarrow as pa

        try:
            columns = [_converted(column, is_text, seconds=seconds) for column in self._table.columns]
        except pa.ArrowInvalid as error:
            fail("RUN058", step=self.step, why=f"a timestamp is out of range: {error}", remedy="use .arrow()")
        return pa.table(columns, names=self._table.column_names) if columns else self._table

    def _title(self) -> str:
        return f"{self.step}: {count(self.rows, 'row')}, {count(len(self.columns), 'column')}"

    def _tables(self) -> Sequence[ShownTable]:
        header = [f"{column.name} ({column.type})" for column in self.schema]
        rows = [[_shown(cell) for cell in row] for row in islice(self._cells(), SHOWN_ROWS)]
        caption = f"the first {SHOWN_ROWS} rows" if self.rows > SHOWN_ROWS else ""
        return [table_of(header, rows, caption), *problems_table(self.diagnostics)]

    def _cells(self) -> Any:  # noqa: ANN401  an iterator of rows
        from osiris.runner.worker.preview_rows import json_values

        first = self._table.slice(0, SHOWN_ROWS).combine_chunks()
        return zip(*(json_values(each) for column in first.columns for each in column.chunks[:1]), strict=True)


class Rejected(OfProject):
    """The rows that one step rejected (`on_reject: quarantine`): each with its place, value and reason."""

    def __init__(self, step: str, workspace: Workspace, count: int, file: Path) -> None:
        self.step = step
        """The name of the step."""
        self.count = count
        """The number of rejected rows."""
        self.path = file
        """The file with them, which stays with the session."""
        self._workspace = workspace

    def __len__(self) -> int:
        return self.count

    def arrow(self) -> pa.Table:
        """Return the rejected rows as a table of pyarrow, all columns texts.

        They are `file` and `line` of the row, the first `column` that does not fit, its `value`, the `reason`, and
        `row`, the number of the row where there is no file.
        """
        import csv

        import pyarrow as pa

        with self.path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        columns = zip(*rows, strict=True) if rows else [() for _ in header]
        return pa.table({name: pa.array(cells, pa.string()) for name, cells in zip(header, columns, strict=True)})

    @with_short_errors
    def polars(self) -> pl.DataFrame:
        """Return the rejected rows as a data frame of Polars, all columns texts."""
        frame: pl.DataFrame = _imported("polars").from_arrow(self.arrow())
        return frame

    @with_short_errors
    def pandas(self) -> pd.DataFrame:
        """Return the rejected rows as a data frame of pandas, all columns texts."""
        frame: pd.DataFrame = self.arrow().to_pandas(types_mapper=_imported("pandas").ArrowDtype)
        return frame

    def _title(self) -> str:
        return f"{self.step}: {count(self.count, 'row')} rejected"

    def _tables(self) -> Sequence[ShownTable]:
        table = self.arrow().slice(0, SHOWN_ROWS)
        return [table_of(table.column_names, [tuple(row.values()) for row in table.to_pylist()])]


def _imported(library: str) -> Any:  # noqa: ANN401  a module
    """Return a library; fails with PRJ019 if it is not installed."""
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec(library) is None:
        fail("PRJ019", library=library)
    return import_module(library)


def _shown(cell: object) -> str:
    return "NULL" if cell is None else str(cell)


def _is_wide(kind: pa.DataType) -> bool:
    import pyarrow.types as is_

    return bool(is_.is_decimal(kind)) and kind.precision > _MOST_DIGITS


def _is_extension(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return isinstance(kind, pa.BaseExtensionType)


def _is_text_in_polars(kind: pa.DataType) -> bool:
    return _is_extension(kind) or _is_wide(kind)


def _converted(values: Any, is_text: Callable[[pa.DataType], bool], *, seconds: bool) -> Any:  # noqa: ANN401  arrays
    """Return a chunked array with values of some types as text, timestamps maybe not in seconds."""
    import pyarrow as pa

    parts = [_as_text(chunk, is_text) for chunk in (*values.chunks, pa.nulls(0, values.type))]
    texts = pa.chunked_array(parts)
    if seconds or not pa.types.is_timestamp(texts.type) or texts.type.unit != "s":
        return texts
    return texts.cast(pa.timestamp("ms", texts.type.tz))


def _as_text(values: Any, is_text: Callable[[pa.DataType], bool]) -> Any:  # noqa: ANN401  arrays
    """Return an array with values of some types as text, also inside of lists and structs."""
    import pyarrow as pa
    import pyarrow.types as is_

    from osiris.families.text_format import spell
    from osiris.table.hashing import relisted

    kind = values.type
    if is_text(kind):
        return _texts(values) if _is_extension(kind) else spell(values)
    if is_.is_list(kind):
        return relisted(values, _as_text(values.values, is_text))
    if is_.is_struct(kind) and kind.num_fields:
        parts = [_as_text(child, is_text) for child in values.flatten()]
        return pa.StructArray.from_arrays(parts, names=[field.name for field in kind.fields], mask=values.is_null())
    return values


def _texts(values: Any) -> Any:  # noqa: ANN401  arrays
    """Return JSON as its text, and a UUID in its canonical text form."""
    import pyarrow as pa

    from osiris.runner.worker.preview_rows import json_values

    return pa.array(json_values(values), pa.string())
