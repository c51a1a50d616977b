"""Writes a CSV file (RFC 4180): deterministic bytes, published atomically."""

from __future__ import annotations

import codecs
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from osiris.errors import fail
from osiris.families.csv_text import Form, formulas
from osiris.families.files.target_files import Background, TextConfig, check_file_columns, check_text, writing_text
from osiris.families.text_format import first_without_spelling, kind_of, pieces

if TYPE_CHECKING:
    from osiris.driver import StepContext, Written
    from osiris.families.files.compression import Sink
    from osiris.model import Schema
    from osiris.table import RowStream

_ENDS = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}


@dataclass(frozen=True, slots=True)
class Config(TextConfig):
    """The config of a step; its keys and defaults are described in spec.yaml."""

    delimiter: str = ","
    header: bool = True
    encoding: str = "utf-8"
    newline: Literal["lf", "crlf", "cr"] = "lf"
    quoting: Literal["minimal", "all", "nonnumeric"] = "minimal"
    chunk_size: int = 1000
    column_order: Literal["written", "sorted"] = "written"
    formula_guard: Literal["off", "refuse", "prefix"] = "off"


class Driver:
    """A writer of CSV files."""

    def check(self, config: Config, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns without a text format, with DRV007 for a path that cannot be written."""
        check_text(ctx, config, "csv")
        check_file_columns(ctx, schema, _reason)

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Write all rows, and publish the file atomically; fails with DAT015 for a value without a text format."""
        names = [column.name for column in rows.schema]
        ordered = sorted(names) if config.column_order == "sorted" else names
        with writing_text(ctx, config, "csv") as (file, sink):
            writing = _Writing(config, ctx, sink)
            if config.header:
                writing.text(writing.form.header(ordered), ordered)
            with Background() as background:
                for batch in rows.batches():
                    for piece in pieces(batch):
                        background.run(writing.rows, piece.select(ordered))
        writing.report()
        return file.written(writing.written)


def _reason(type_name: str) -> str | None:
    if type_name == "json" or kind_of(type_name):
        return None
    if type_name.startswith("timestamp"):
        return "a text file has only UTC"
    return "a text file has no spelling for it"


class _Writing:
    """One file being written: `written` rows so far, and counts of cells that look like formulas."""

    def __init__(self, config: Config, ctx: StepContext, sink: Sink) -> None:
        self.form = Form(config.delimiter, _ENDS[config.newline], config.quoting)
        self.written = 0
        self._config = config
        self._ctx = ctx
        self._sink = sink
        self._formulas: Counter[str] = Counter()
        self._encoder = _encoder(config.encoding)
        if config.encoding in _MARKED:
            sink.write(_MARKED[config.encoding])

    def rows(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a small batch."""
        columns = [self._guarded(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
        for name, column in zip(batch.schema.names, columns, strict=True):
            if first := first_without_spelling(column):
                self._refuse(name, *first)
        texts = self.form.rows(columns)
        if self._encoder is None:
            self._sink.write(texts)
        else:
            self.text(bytes(texts).decode(), batch.schema.names, columns)
        self.written += batch.num_rows

    def text(self, text: str, names: list[str], columns: list[pa.Array] | None = None) -> None:
        """Write text in the file's encoding; fails with DAT015 for a character that the encoding lacks."""
        try:
            self._sink.write(self._encoder.encode(text)[0] if self._encoder else text.encode())
        except UnicodeEncodeError as error:
            char, why = text[error.start], f"{self._config.encoding} does not have it"
            arrays = columns or [pa.array([name]) for name in names]
            column, row = next((n, row) for n, a in zip(names, arrays, strict=True) if (row := _row_of(a, char)) >= 0)
            self._refuse(column, row if columns else None, f"the character {char!r}", why)

    def _guarded(self, name: str, column: pa.Array) -> pa.Array:
        if not pa.types.is_string(column.type):
            return column
        suspicious = formulas(column)
        if suspicious is None:
            return column
        self._formulas[name] += pc.sum(suspicious).as_py()
        if self._config.formula_guard == "refuse":
            index = pc.index(suspicious, pa.scalar(value=True)).as_py()
            self._refuse(name, index, repr(column[index].as_py()[:60]), "a spreadsheet would take it for a formula")
        if self._config.formula_guard == "prefix":
            return pc.if_else(suspicious, pc.binary_join_element_wise("'", column, ""), column)
        return column

    def report(self) -> None:
        """Emit an event about cells that a spreadsheet would evaluate as formulas."""
        if self._formulas:
            prefixed = self._config.formula_guard == "prefix"
            done = "an apostrophe was put before them" if prefixed else "written as they are"
            fields = {"cells": self._formulas.total(), "columns": dict(self._formulas), "done": done}
            self._ctx.emit("formula_like_cells", fields)

    def _refuse(self, column: str, row: int | None, value: str, reason: str) -> NoReturn:
        """Fail with DAT015; `row` is the index in the batch, None for the name of a column."""
        value += "" if row is None else f" in row {self.written + row + 1}"
        fail("DAT015", step=self._ctx.step, column=column, value=value, reason=reason)


def _row_of(texts: pa.Array, char: str) -> int:
    """Return the index of the first text that contains a character, -1 if none does."""
    if not pa.types.is_string(texts.type):
        return -1
    return int(pc.index(pc.match_substring(texts, char), pa.scalar(value=True)).as_py())


# Encodings with a byte order mark; the byte order is fixed, so that every machine writes the same bytes.
_MARKED = {"utf-16": codecs.BOM_UTF16_LE, "utf-8-sig": codecs.BOM_UTF8}
_UNMARKED = {"utf-16": "utf-16-le", "utf-8-sig": "utf-8", "utf8": "utf-8"}


def _encoder(encoding: str) -> codecs.CodecInfo | None:
    name = _UNMARKED.get(encoding, encoding)
    return None if name == "utf-8" else codecs.lookup(name)
