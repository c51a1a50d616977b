"""What a query gives: bound by the engine itself, against inputs that have columns and no rows."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from osiris.errors import diagnostic, fail, nearest, raise_all
from osiris.model import Field
from osiris.sql.duck_types import NotCarried, carry, quote_name
from osiris.sql.engine import open_engine
from osiris.sql.native import assert_native
from osiris.sql.text import place
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Schema

_MEMORY = 256 << 20
_STAND_INS: dict[str, JsonValue] = {"utf8": "", "timestamp[us,UTC]": dt.datetime(1970, 1, 1, tzinfo=dt.UTC)}
_UNBINDABLE = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)


def bind(canonical: str, inputs: Mapping[str, Schema], parameters: Mapping[str, str]) -> Schema:
    """Return the schema of a checked query over inputs of these schemas, by the names under which it reads them.

    `parameters` maps the names of its parameters to their types. Fails with SQL009 where the query does not fit its
    inputs, and with DAT006 for a column whose type cannot be carried.
    """
    with tempfile.TemporaryDirectory(prefix="osiris-bind-") as scratch:
        engine = open_engine(Path(scratch), memory=_MEMORY, threads=1)
        try:
            for name, schema in inputs.items():
                register_empty(engine, name, schema)
            assert_native(engine, canonical, inputs.keys())
            values = {name: _STAND_INS[kind] for name, kind in parameters.items()}
            return schema_of_relation(bound(engine, canonical, values, inputs))
        finally:
            engine.close()


def register_empty(engine: DuckDBPyConnection, name: str, schema: Schema) -> None:
    """Make an input of this schema and without rows readable; fails with SQL009 or DAT006 if SQL cannot read it."""
    check_input(name, schema)
    engine.register(name, arrow_schema(schema).empty_table())


def check_input(name: str, schema: Schema) -> None:
    """Fail with SQL009 if columns differ only in case, with DAT006 if DuckDB has no such type."""
    for first, second in _same_name(field.name for field in schema):
        problem = f"input '{name}' has the columns '{first}' and '{second}', which SQL does not tell apart"
        fail("SQL009", problem=problem, hint="rename one of them in the step before")
    for field in schema:
        if "decimal" in field.type and pa.types.is_decimal256(arrow_schema((field,)).types[0]):
            fail("DAT006", column=field.name, type=field.type, reason="DuckDB computes with at most 38 digits")


def bound(
    engine: DuckDBPyConnection, text: str, values: Mapping[str, JsonValue], inputs: Mapping[str, Schema]
) -> DuckDBPyRelation:
    """Return a query bound to the engine's relations, not yet run; fails with SQL009 where it does not fit them."""
    try:
        return engine.sql(text, params=dict(values)) if values else engine.sql(text)
    except _UNBINDABLE as error:
        raise_all([_misfit(error, text, inputs)])
    except duckdb.Error as error:
        raise_all([runtime_problem(error, text, "SQL009")])


def schema_of_relation(relation: DuckDBPyRelation) -> Schema:
    """Return the schema in which a relation's rows are carried."""
    for first, second in _same_name(relation.columns):
        problem = f"two columns of the result are called '{first}'"
        if first != second:
            problem = f"the result has the columns '{first}' and '{second}', which SQL does not tell apart"
        fail("SQL009", problem=problem, hint="name one of them with AS")
    fields, problems = [], []
    for name, kind in zip(relation.columns, relation.types, strict=True):
        try:
            fields.append(Field(name, carry(kind).type))
        except NotCarried as refused:
            params = {"column": name, "type": refused.kind, "reason": "it cannot be handed to another step"}
            problems.append(diagnostic("DAT006", hint=refused.instead, **params))
    if problems:
        raise_all(problems)
    return tuple(fields)


def carried(text: str, relation: DuckDBPyRelation) -> str:
    """Return the query with its result cast to the types in which it is carried, where these differ."""
    casts = [
        f"CAST({quote_name(name)} AS {carry(kind).duck}) AS {quote_name(name)}"
        for name, kind in zip(relation.columns, relation.types, strict=True)
        if carry(kind).cast
    ]
    return f"SELECT * REPLACE ({', '.join(casts)}) FROM (\n{text}\n)" if casts else text


def runtime_problem(error: duckdb.Error, text: str, code: str = "SQL011") -> Diagnostic:
    """Return what an engine error means, by its type; only errors about data are quoted."""
    told = details(error)
    message = " ".join(str(told.get("exception_message", "")).split("\n", 1)[0].split())[:300]
    problem = message if isinstance(error, _ABOUT_DATA) and message else f"the engine reported {type(error).__name__}"
    return diagnostic(code, at=place(text, _offset(text, told)), problem=problem)


_ABOUT_DATA = (duckdb.DataError, duckdb.ProgrammingError, duckdb.IntegrityError)


def details(error: duckdb.Error) -> dict[str, JsonValue]:
    """Return the fields of an engine error."""
    _, _, body = str(error).partition("{")
    try:
        told: JsonValue = json.loads("{" + body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _misfit(error: duckdb.Error, text: str, inputs: Mapping[str, Schema]) -> Diagnostic:
    told = details(error)
    if told.get("error_subtype") != "COLUMN_NOT_FOUND":
        return runtime_problem(error, text, "SQL009")
    name = str(told.get("name", ""))
    columns = {field.name for schema in inputs.values() for field in schema}
    near = nearest(name, columns)
    hint = f"did you mean '{near}'?" if near else f"columns: {', '.join(sorted(columns))}"[:300] if columns else None
    return diagnostic("SQL009", at=place(text, _offset(text, told)), hint=hint, problem=f"there is no column '{name}'")


def _offset(text: str, told: Mapping[str, JsonValue]) -> int | None:
    """Return the place of an error as an offset in characters; the engine counts bytes."""
    position = str(told.get("position", ""))
    return len(text.encode()[: int(position)].decode(errors="ignore")) if position.isdigit() else None


def _same_name(names: Iterator[str] | list[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names that are equal but for case."""
    listed = list(names)
    for folded, times in Counter(name.lower() for name in listed).items():
        if times > 1:
            yield tuple(name for name in listed if name.lower() == folded)[:2]  # type: ignore[misc]
