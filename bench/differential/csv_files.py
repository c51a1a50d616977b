"""CSV files of every variant, written byte by byte."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .spelling import guess, spell, value
from .tables import Column, Table, spelled_cells

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

NA = "n/a"
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@dataclass(frozen=True)
class Form:
    """The format in which a file is written."""

    delimiter: str
    newline: str
    encoding: str
    packing: str
    comment: str | None
    na: bool
    blank_lines: bool
    quote_all: bool
    bare_quotes: bool
    last_newline: bool

    def config(self) -> dict[str, Any]:
        """Return the options of the step that reads it."""
        config: dict[str, Any] = {}
        if self.delimiter != ",":
            config["delimiter"] = self.delimiter
        if self.encoding != "utf-8":
            config["encoding"] = self.encoding
        if self.comment:
            config["comment"] = self.comment
        if self.na:
            config["na_values"] = [NA]
        return config


def random_form(rng: random.Random, table: Table) -> Form:
    """Return a format in which every text of the table can be written."""
    encoding = rng.choice(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1", "cp1252"])
    plain = rng.random() < 0.5
    return Form(
        delimiter=rng.choice(",,,;\t|"),
        newline=rng.choice(["\n", "\n", "\r\n", "\r"]) if not plain else "\n",
        encoding=encoding if _can(table, encoding) else "utf-8",
        packing=rng.choice(["", "", "", *PACKERS]),
        comment="#" if not plain and rng.random() < 0.3 else None,
        na=not plain and rng.random() < 0.3,
        blank_lines=not plain and rng.random() < 0.3,
        quote_all=rng.random() < 0.2,
        bare_quotes=rng.random() < 0.2,
        last_newline=rng.random() < 0.8,
    )


def _can(table: Table, encoding: str) -> bool:
    if encoding.startswith("utf"):
        return True
    try:
        for column in table.columns:
            column.name.encode(encoding)
            for item in column.values:
                str(item).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def as_cells(rng: random.Random, table: Table) -> Table:
    """Return the table as a text file contains it: cells, some in unusual spellings; NULL stays None."""
    columns = []
    for column in table.columns:
        cells = [None if item is None else spell(item) for item in column.values]
        if column.name != "id" and rng.random() < 0.25:
            cells = [
                None if cell is None else odd for cell, odd in zip(cells, spelled_cells(rng, len(cells)), strict=True)
            ]
        columns.append(Column(column.name, "utf8", cells))
    return Table([*columns[1:], columns[0]] if rng.random() < 0.3 else columns)


def as_read(cells: Table, dtype: dict[str, str]) -> Table:
    """Return the values of the cells with inferred or declared types."""
    columns = []
    for column in cells.columns:
        kind = dtype.get(column.name) or guess(column.values)
        columns.append(Column(column.name, kind, [value(cell, kind) for cell in column.values]))
    return Table(columns)


def write(rng: random.Random, form: Form, cells: Table, folder: Path, parts: int) -> str:
    """Write the cells as one or several files; returns the path or pattern that matches them."""
    rows = cells.rows()
    size = -(-len(rows) // parts) if rows else 0
    for part in range(parts):
        data = _text(rng, form, [column.name for column in cells.columns], rows[part * size : (part + 1) * size])
        name = f"in-{part}.csv{form.packing}"
        (folder / name).write_bytes(PACKERS[form.packing](data.encode(form.encoding)))
    return f"in-*.csv{form.packing}" if parts > 1 else f"in-0.csv{form.packing}"


def zipped(data: bytes) -> bytes:
    """Return an archive of one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in.csv", data)
    return buffer.getvalue()


PACKERS[".zip"] = zipped


def _text(rng: random.Random, form: Form, names: list[str], rows: list[tuple[Any, ...]]) -> str:
    lines = [form.delimiter.join(_cell(rng, form, name) for name in names)]
    for row in rows:
        if form.blank_lines and rng.random() < 0.1 and len(names) > 1:
            lines.append("")
        if form.comment and rng.random() < 0.1:
            lines.append(form.comment + rng.choice([" a note", ' "quoted', "a,b,c", ""]))
        lines.append(_line(rng, form, row))
    ends = form.newline if form.last_newline or not lines[-1] else ""
    return form.newline.join(lines) + ends


def _line(rng: random.Random, form: Form, row: tuple[Any, ...]) -> str:
    line = form.delimiter.join(_cell(rng, form, cell) for cell in row)
    return line + form.comment + ' "rest' if form.comment and rng.random() < 0.05 else line


def _cell(rng: random.Random, form: Form, cell: str | None) -> str:
    if cell is None:
        return NA if form.na and rng.random() < 0.5 else ""
    special = [form.delimiter, "\n", "\r", *([form.comment] if form.comment else [])]
    bare = '"' not in cell or (form.bare_quotes and not cell.startswith('"'))
    free = bare and cell and cell != NA and not any(mark in cell for mark in special)
    if free and not form.quote_all and (len(cell) > 100 or rng.random() < 0.9):
        return cell
    return '"' + cell.replace('"', '""') + '"'
