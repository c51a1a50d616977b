"""What a query gives: bound by the engine itself, against inputs that have columns and no rows."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

from osiris.errors import Location, diagnostic, fail, raise_all
from osiris.model import Field
from osiris.sql.binding.bind_errors import constant_casts, misfit, mixed_comparison, output_place
from osiris.sql.binding.duck_types import NotCarried, carry, quote_name
from osiris.sql.binding.precision_loss import narrowings
from osiris.sql.binding.problems import ENGINE_ERRORS, kind_of, runtime_problem
from osiris.sql.binding.shared import borrow
from osiris.sql.safety.duckdb_crosscheck import assert_native
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from osiris.model import JsonValue, Schema

_MEMORY = 256 << 20
_STAND_INS: dict[str, JsonValue] = {"utf8": "", "timestamp[us,UTC]": dt.datetime(1970, 1, 1, tzinfo=dt.UTC)}
_EXPLAIN = "EXPLAIN (FORMAT JSON) "


def bind(canonical: str, inputs: Mapping[str, Schema], parameters: Mapping[str, str]) -> Schema:
    """Return the schema of a checked query over inputs of these schemas, by the names under which it reads them.

    `parameters` maps the names of its parameters to their types. Fails with SQL009 where the query does not fit its
    inputs, with SQL031 where the engine would round digits away by itself, and with DAT006 for a column whose type
    cannot be carried.
    """
    engine = borrow(None, memory=_MEMORY, threads=1)
    try:
        for name, schema in inputs.items():
            check_input(name, schema)
            engine.register(name, pa.RecordBatchReader.from_batches(arrow_schema(schema), []))
        assert_native(engine, canonical, inputs.keys())
        values = {name: _STAND_INS[kind] for name, kind in parameters.items()}
        explain(engine, canonical, values, inputs)
        _check_constants(engine, canonical)
        mixed = mixed_comparison(canonical, inputs)
        if mixed:
            raise_all([mixed])
        narrowed = narrowings(canonical, engine, values)
        if narrowed:
            raise_all(narrowed)
        return schema_of_relation(engine.sql(canonical, params=values or None), canonical, inputs)
    finally:
        engine.close()


def check_input(name: str, schema: Schema) -> None:
    """Fail with SQL009 if columns differ only in case, with DAT006 if DuckDB has no such type."""
    for first, second in _same_name(field.name for field in schema):
        problem = f"input '{name}' has the columns '{first}' and '{second}', which SQL does not tell apart"
        fail("SQL009", problem=problem, hint="rename one of them in the step before")
    for field in schema:
        if _has_wide_decimal(arrow_schema((field,)).types[0]):
            fail("DAT006", column=field.name, type=field.type, reason="DuckDB computes with at most 38 digits")


def explain(
    engine: DuckDBPyConnection, text: str, values: Mapping[str, JsonValue], inputs: Mapping[str, Schema]
) -> JsonValue:
    """Return DuckDB's plan of a query, without running it; fails with SQL009 where it does not fit its inputs."""
    try:
        rows = engine.execute(_EXPLAIN + text, dict(values) or None).fetchall()
    except ENGINE_ERRORS as error:
        if kind_of(error) != "other":
            raise
        raise_all([misfit(error, text, inputs, len(_EXPLAIN))])
    return json.loads(rows[0][1])


def _check_constants(engine: DuckDBPyConnection, text: str) -> None:
    """Fail with SQL009 for a text that is cast to a type of which it is no value: a plan leaves that to the run."""
    for value, place in constant_casts(text).items() if "CAST('" in text else ():
        try:
            engine.execute(f"SELECT {value}").fetchall()
        except ENGINE_ERRORS as error:
            fail("SQL009", at=place, problem=runtime_problem(error, "").message)


def schema_of_relation(
    relation: DuckDBPyRelation, text: str = "", inputs: Mapping[str, Schema] | None = None
) -> Schema:
    """Return the schema in which a relation's rows are carried; fails with SQL009 or DAT006 if they cannot be.

    With the query's `text` and its `inputs` an error has the place of the column in it.
    """

    def at(index: int) -> Location:
        return output_place(text, index, inputs or {}) if text else Location()

    for first, second in _same_name(relation.columns):
        problem = f"two columns of the result are called '{first}'"
        if first != second:
            problem = f"the result has the columns '{first}' and '{second}', which SQL does not tell apart"
        last = max(i for i, name in enumerate(relation.columns) if name == second)
        fail("SQL009", at=at(last), problem=problem, hint="name one of them with AS")
    fields, problems = [], []
    for index, (name, kind) in enumerate(zip(relation.columns, relation.types, strict=True)):
        try:
            fields.append(Field(name, carry(kind).type))
        except NotCarried as refused:
            why = "it cannot be handed to another step"
            told = diagnostic("DAT006", at=at(index), hint=refused.instead, column=name, type=refused.kind, reason=why)
            problems.append(told)
    if problems:
        raise_all(problems)
    return tuple(fields)


def carried(text: str, relation: DuckDBPyRelation) -> str:
    """Return the query with its result cast to the types in which it is carried, where these differ."""
    kinds = [(quote_name(n), carry(k)) for n, k in zip(relation.columns, relation.types, strict=True)]
    casts = [f"CAST({name} AS {kind.duck}) AS {name}" for name, kind in kinds if kind.cast]
    return f"SELECT * REPLACE ({', '.join(casts)}) FROM (\n{text}\n)" if casts else text


def _has_wide_decimal(kind: pa.DataType) -> bool:
    inside = [kind.field(i).type for i in range(kind.num_fields)]
    return pa.types.is_decimal256(kind) or any(_has_wide_decimal(child) for child in inside)


def _same_name(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names that are equal but for case."""
    listed = list(names)
    for folded, times in Counter(name.lower() for name in listed).items():
        if times > 1:
            first, second, *_ = (name for name in listed if name.lower() == folded)
            yield first, second
