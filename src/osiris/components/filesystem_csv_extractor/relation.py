"""The rows of plain CSV files as a SELECT that DuckDB runs by itself.

Its casts accept more than our spellings, so each cell is matched against the pattern of its type first. What the
patterns here do not cover fails, or is not offered at all: then the file is read in the usual way, which decides.

Its parser accepts more than ours, too: blanks around a quoted cell, a delimiter too many at the end of a row, a blank
line for a header. So only files without any quote are left to it, whose bytes are looked at before it reads them: to
tell which quotes mean the same to both takes longer than it saves.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.families.packing import packing_of
from osiris.families.places import local
from osiris.families.spelling import PATTERNS, kind_of
from osiris.files import open_source
from osiris.sql.duck_types import quote_name
from osiris.sql.scan import duck_type, is_nameable, literal, select
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.families.csv_source import CsvFile, Dialect
    from osiris.model import Schema

_YEAR = r"(?:[1-9]\d{3}|0[1-9]\d{2}|00[1-9]\d|000[1-9])"
_OPTIONS = {
    "auto_detect": False,
    "header": True,
    "allow_quoted_nulls": False,
    "strict_mode": True,
    "null_padding": False,
    "ignore_errors": False,
    "hive_partitioning": False,
    "union_by_name": False,
    "quote": "",
    "escape": "",
    "nullstr": '"',
}
"""The parser forgives a delimiter too many where NULL follows it, so nothing is NULL."""
_PIECE = 4 << 20


def native_columns(files: Sequence[CsvFile], types: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the columns that DuckDB can read from these files; None if it cannot read the files."""
    paths = local(file.path for file in files)
    if len(types) < 2 or not paths or not all(map(is_nameable, paths)) or not all(map(_is_plain, files)):
        return None
    if any(b'"' in next(_pieces(path), b"") for path in paths):
        return None
    return tuple(name for name, kind in types.items() if _pattern(kind) is not None)


def select_rows(files: Sequence[CsvFile], schema: Schema) -> str:
    """Return the SELECT for a schema of such columns; fails with DAT013 for files that DuckDB may read otherwise."""
    names, delimiter = files[0].names(), files[0].dialect.delimiter
    paths = local(file.path for file in files) or []
    for file, path in zip(files, paths, strict=True):
        _check_plain(file, path, names)
    shape = {"delim": delimiter, "columns": dict.fromkeys(names, "VARCHAR")}
    cells = [_cell(column.name, column.type) for column in schema]
    return select(cells, "read_csv", paths, {**_OPTIONS, **shape})


def _check_plain(file: CsvFile, path: Path, names: Sequence[str]) -> None:
    """Fail with DAT013 for a file that DuckDB may read otherwise, or whose columns have other places."""
    if file.names() != names:
        fail("DAT013", file=file.label, problem="its columns stand in another order")
    if _begins_blank(path):
        fail("DAT013", file=file.label, problem="a blank line stands before its header")
    if any(b'"' in piece for piece in _pieces(path)):
        fail("DAT013", file=file.label, problem="quotes stand in it")


def _pieces(path: Path) -> Iterator[bytes]:
    with open_source(path) as source:
        while piece := source.read(_PIECE):
            yield piece


def _begins_blank(path: Path) -> bool:
    with open_source(path) as source:
        return source.read(len(codecs.BOM_UTF8) + 1).removeprefix(codecs.BOM_UTF8)[:1] in (b"\n", b"\r")


def _is_plain(file: CsvFile) -> bool:
    dialect: Dialect = file.dialect
    packed = packing_of(file.path) if dialect.compression == "infer" else dialect.compression
    usual = (dialect.header is True, dialect.skip_rows == 0, not dialect.comment, not dialect.na_values)
    strict = (dialect.skip_blank_lines in (None, True), dialect.on_bad_lines == "error", packed == "none")
    return all((*usual, *strict)) and codecs.lookup(dialect.encoding).name in ("utf-8", "utf-8-sig")


def _cell(name: str, kind: str) -> str:
    """Return the expression of a column: NULL, a cell whose spelling fits, cast; or an error."""
    column, pattern = quote_name(name), str(_pattern(kind))
    text = f"nullif({column}, '')"
    if kind == "utf8":
        return f"{text} AS {column}"
    fits = f"{text} IS NULL OR regexp_full_match({text}, {literal(pattern)})"
    return f"CASE WHEN {fits} THEN CAST({text} AS {duck_type(kind)}) ELSE error('spelling') END AS {column}"


def _pattern(kind: str) -> str | None:
    """Return the pattern of cells that mean the same to DuckDB's cast and to ours; None if there is no such pattern."""
    spelling = kind_of(kind)
    if duck_type(kind) is None or spelling not in ("text", "bool", "integer", "unsigned", "decimal", "date"):
        return None
    if spelling == "decimal":
        return _decimal_pattern(int(parse_type(kind).parameters[1]))
    if spelling == "date":
        return PATTERNS["date"].replace(r"\d{4}", _YEAR, 1)
    return PATTERNS.get(str(spelling), "")


def _decimal_pattern(scale: int) -> str:
    """Return the spellings with no more digits behind the point than `scale`: DuckDB would round the others."""
    if scale == 0:
        return PATTERNS["integer"]
    small = "|".join(rf"0{{{zeros}}}[1-9]\d{{0,{scale - zeros - 1}}}" for zeros in range(scale))
    return rf"0(?:\.\d{{1,{scale}}})?|-?[1-9]\d*(?:\.\d{{1,{scale}}})?|-0\.(?:{small})"
