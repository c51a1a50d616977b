"""Profiles a table: computed by DuckDB over a sample, with personal data and secrets redacted.

Values are shown only where they are few and repeat, or look like codes or numbers: free text may contain anything.
Other values leave the worker only if raw rows are requested; secrets never do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osiris.families.pii import FREE_TEXT, SECRET, are_names, hidden, holds_names, kind_of, kinds_by_name
from osiris.types import arrow_schema, parse_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from osiris.driver import Sampled
    from osiris.model import Field, JsonValue, Schema

SAMPLE = 10_000
"""Approximate number of rows in a sample."""

SHOWN_ROWS = 5
_FEW, _LISTED, _LONG = 20, 10, 40
"""Distinct values that count as few, values listed, and characters above which a value is free text."""

_CUT = 200
"""Maximum characters of a value in raw rows."""

_LOOKED_AT = 1000
"""Maximum distinct values scanned for personal data."""

_TEXT_SHARE, _NUMBER_SHARE = 0.2, 0.8
"""Share of matching values above which a column is personal; higher for numbers, which match by chance."""

_PATTERNS, _LEAST_SHARE = 3, 0.05
_COMPARED = frozenset(("bool", "utf8", "decimal", "date", "time", "timestamp", "float32", "float64"))
_TABLE = "osiris_sample"
_CODE = re.compile(r"(?=\S*[0-9])(?!.*[A-Za-z]{4})[A-Za-z0-9_./:+#-]{1,40}")
"""Text that looks like a code: with a digit and without a word."""

_SHAPE = "c"
for _class, _sign in ((r"\p{Lu}+", "A"), (r"[\p{Ll}\p{Lt}\p{Lm}\p{Lo}\p{M}]+", "a"), (r"\p{N}+", "9"), (r"\s+", " ")):
    _SHAPE = f"regexp_replace({_SHAPE}, '{_class}', '{_sign}', 'g')"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the sample: its name there, its kind of personal data, and its few values with their shares."""

    field: Field
    name: str
    personal: str | None
    values: dict[str, float]

    @property
    def kind(self) -> str:
        """The kind of its type."""
        return parse_type(self.field.type).kind

    def shown(self, text: str) -> str:
        """Return a value, redacted where necessary."""
        if kind := self.personal or kind_of(text, self.field.name):
            return hidden(kind)
        free = self.kind == "utf8" and not (text in self.values or _CODE.fullmatch(text))
        if free or not _is_plain(self.kind):
            return f"<{'text' if free else self.kind}, {len(text)} characters>"
        return text

    def raw(self, text: str) -> str:
        """Return a raw value, cut to a maximum length; secrets are redacted."""
        if self.personal == SECRET or kind_of(text, self.field.name) == SECRET:
            return hidden(SECRET)
        return text if len(text) <= _CUT else f"{text[:_CUT]}…"


def profile_of(
    engine: DuckDBPyConnection, sample: Sampled, names: Sequence[str], *, mode: str, requested: bool
) -> dict[str, JsonValue]:
    """Return the profile of a sample: its columns if `requested`, and its rows unless `mode` is none.

    `names` are all columns of the table, as a `name` beside an e-mail address is a person's.
    """
    schema = sample.rows.schema
    rows = _load(engine, list(sample.rows.batches()), schema)
    kinds = kinds_by_name(names)
    columns = [_inspect_column(engine, field, f"c{index}", kinds[field.name]) for index, field in enumerate(schema)]
    method = "all rows" if sample.whole else f"{rows:,} rows: {sample.method}"
    profile: dict[str, JsonValue] = {"rows": rows, "whole": sample.whole, "method": method}
    if requested:
        profile["columns"] = {column.field.name: _column_profile(engine, column, rows) for column in columns}
    if mode != "none":
        profile["samples"] = {"mode": mode, "rows": _rows(engine, columns, raw=mode == "raw")}
    return profile


def _load(engine: DuckDBPyConnection, batches: list[pa.RecordBatch], schema: Schema) -> int:
    import pyarrow as pa

    rows = pa.Table.from_batches(batches, arrow_schema(schema))
    for index, column in enumerate(rows.schema):
        if pa.types.is_decimal256(column.type):  # wider than DuckDB's decimal
            rows = rows.set_column(index, column.name, rows.column(index).cast(pa.string()))
    engine.register("osiris_arrow", rows.rename_columns([f"c{index}" for index in range(len(schema))]))
    engine.execute(f"CREATE OR REPLACE TEMP TABLE {_TABLE} AS SELECT * FROM osiris_arrow")
    engine.unregister("osiris_arrow")
    return int(rows.num_rows)


def _is_plain(kind: str) -> bool:
    return kind in _COMPARED or kind == "uuid" or kind.startswith(("int", "uint"))


def _ask(engine: DuckDBPyConnection, column: Column, what: str, rest: str = "") -> list[tuple[Any, ...]]:
    """Return the rows of a SELECT over the non-NULL values of a column, named `c`."""
    inner = f"SELECT {column.name} AS c FROM {_TABLE} WHERE {column.name} IS NOT NULL"
    return engine.execute(f"SELECT {what} FROM ({inner}) {rest}").fetchall()


def _inspect_column(engine: DuckDBPyConnection, field: Field, name: str, by_name: str | None) -> Column:
    bare = Column(field, name, None, {})
    if not _is_plain(bare.kind):
        return Column(field, name, by_name, {})
    if personal := _personal(engine, bare, None if bare.kind == "bool" else by_name):
        return Column(field, name, personal, {})
    rows = _ask(engine, bare, "c::VARCHAR, count(*)", f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_FEW + 1}")
    total = sum(count for _, count in rows)
    repeated = len(rows) <= _FEW and total >= 2 * len(rows)
    short = all(len(text) <= _LONG for text, _ in rows)
    return Column(field, name, None, {text: count / total for text, count in rows} if repeated and short else {})


def _personal(engine: DuckDBPyConnection, column: Column, by_name: str | None) -> str | None:
    """Return the kind of personal data or secret in a column, by its name or by a share of its values; None if none."""
    is_reported = by_name not in (None, FREE_TEXT)
    if is_reported or not (column.kind == "decimal" or column.kind.startswith(("utf8", "int", "uint"))):
        return by_name
    texts = [text for (text,) in _ask(engine, column, "DISTINCT c::VARCHAR", f"LIMIT {_LOOKED_AT}")]
    if column.kind == "utf8" and _are_names(column, texts):
        return "name"
    kinds = list(filter(None, (kind_of(text, column.field.name) for text in texts)))
    share = _TEXT_SHARE if column.kind == "utf8" else _NUMBER_SHARE
    if len(kinds) < max(1, share * len(texts)):
        return by_name
    return max(kinds, key=lambda kind: (kinds.count(kind), kind == SECRET))


def _are_names(column: Column, texts: list[str]) -> bool:
    return bool(texts) and (holds_names(column.field.name, texts) or are_names(texts))


def _column_profile(engine: DuckDBPyConnection, column: Column, rows: int) -> dict[str, JsonValue]:
    """Return the profile of a column, without unknown or redacted figures."""
    ((some,),) = _ask(engine, column, "count(*)")
    profile: dict[str, JsonValue] = {"null_share": round(1 - some / rows, 4) if rows else None}
    if column.personal:
        profile["personal"] = column.personal
    if not some:
        return profile
    is_shown = _is_plain(column.kind) and not column.personal
    if _is_plain(column.kind):
        ((profile["distinct"],),) = _ask(engine, column, "count(DISTINCT c)")
    if column.kind in ("utf8", "binary", "json"):
        profile["length"] = _length(engine, column)
    if is_shown:
        profile |= _range(engine, column) | _values(column)
    if _is_free_text(column) and profile["length"]["max"] <= _LONG:
        profile |= _patterns(engine, column, some)
    return profile


def _is_free_text(column: Column) -> bool:
    return column.kind == "utf8" and not (column.personal or column.values)


def _length(engine: DuckDBPyConnection, column: Column) -> dict[str, JsonValue]:
    """Return minimum, maximum and mean length: characters of texts, bytes of binary values."""
    size = "octet_length(c)" if column.kind == "binary" else "length(c::VARCHAR)"
    ((least, most, mean),) = _ask(engine, column, f"min({size}), max({size}), avg({size})")
    return {"min": least, "max": most, "mean": round(mean, 1)}


def _range(engine: DuckDBPyConnection, column: Column) -> dict[str, JsonValue]:
    """Return the smallest and the largest value, except of free text."""
    ((least, most),) = _ask(engine, column, "min(c)::VARCHAR, max(c)::VARCHAR")
    free = column.kind == "utf8" and (column.values or not (_CODE.fullmatch(least) and _CODE.fullmatch(most)))
    return {} if free else {"min": column.shown(least), "max": column.shown(most)}


def _values(column: Column) -> dict[str, JsonValue]:
    listed = list(column.values.items())[:_LISTED]
    return (
        {"values": [{"value": column.shown(text), "share": round(share, 4)} for text, share in listed]}
        if listed
        else {}
    )


def _patterns(engine: DuckDBPyConnection, column: Column, some: int) -> dict[str, JsonValue]:
    """Return the most common patterns: A for a run of capitals, a for other letters, 9 for digits."""
    rows = _ask(engine, column, f"{_SHAPE}, count(*)", f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_PATTERNS}")
    frequent = [
        {"pattern": shape, "share": round(count / some, 4)} for shape, count in rows if count >= _LEAST_SHARE * some
    ]
    return {"patterns": frequent} if frequent else {}


def _rows(engine: DuckDBPyConnection, columns: Sequence[Column], *, raw: bool) -> list[list[str | None]]:
    texts = ", ".join(f"{column.name}::VARCHAR" for column in columns)
    rows = engine.execute(f"SELECT {texts} FROM {_TABLE} LIMIT {SHOWN_ROWS}").fetchall()
    return [
        [
            None if text is None else column.raw(text) if raw else column.shown(text)
            for column, text in zip(columns, row, strict=True)
        ]
        for row in rows
    ]
