"""Runs one checked SELECT over the outputs of other steps, as a stream."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import duckdb
import pyarrow as pa

from osiris.errors import fail, raise_all
from osiris.model import Described
from osiris.sql import Verdict, check
from osiris.sql.bind import bind, bound, carried, check_input, runtime_problem, schema_of_relation
from osiris.sql.engine import open_engine
from osiris.sql.inputs import load_inputs
from osiris.sql.names import mentioned_parameters, parameter_types, relation_names
from osiris.sql.native import assert_native
from osiris.sql.order import with_total_order
from osiris.table import RowStream, own_errors, stream
from osiris.types import arrow_schema
from osiris.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from duckdb import DuckDBPyConnection

    from osiris.driver import StepContext
    from osiris.model import JsonValue, Order, Schema

_BATCH = 100_000
_POLL = 0.1


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys are described in spec.yaml."""

    query: str


class Driver:
    """A processor that computes with DuckDB."""

    def describe(self, config: Config, inputs: Mapping[str, Schema], ctx: StepContext) -> Described:
        """Return the schema of the query's result; fails with SQL001 to SQL009 or DAT006."""
        names = _names(inputs.keys(), ctx)
        verdict = _checked(config.query, names)
        schemas = {name: inputs[source] for name, source in names.items()}
        schema = bind(str(verdict.canonical), schemas, parameter_types(verdict.parameters))
        fixed = verdict.ordered or (verdict.keeps_order and not verdict.relations)
        return Described(schema, "fixed" if fixed else "free")

    def transform(
        self, config: Config, inputs: Mapping[str, RowStream], schema: Schema, ctx: StepContext
    ) -> RowStream:
        """Return the rows of the query; fails with SQL011, RUN003 or RUN013 while they are read."""
        names = _names(inputs.keys(), ctx)
        verdict = _checked(config.query, names)
        for name, source in inputs.items():
            check_input(name, source.schema)
        order = _order(verdict, names, inputs)
        return stream(schema, _rows(verdict, names, inputs, schema, ctx), order)


def _names(inputs: Iterator[str] | object, ctx: StepContext) -> dict[str, str]:
    """Return the input behind every name of the query; fails with CMP010 if one name has two."""
    sources = {name: ctx.sources.get(name, name) for name in inputs}  # type: ignore[attr-defined]
    names = relation_names(sources)
    for name, meant in names.items():
        if len(meant) > 1:
            fail("CMP010", step=ctx.step, name=name, inputs=", ".join(sorted(meant)))
    return {name: meant[0] for name, meant in names.items()}


def _checked(query: str, names: Mapping[str, str]) -> Verdict:
    """Check the query here too: a plan is only text, and this is where it would run."""
    verdict = check(query, "duckdb", relations=names.keys(), parameters=mentioned_parameters(query))
    if not verdict.ok:
        raise_all(verdict.diagnostics)
    return verdict


def _order(verdict: Verdict, names: Mapping[str, str], inputs: Mapping[str, RowStream]) -> Order:
    if verdict.ordered:
        return "fixed"
    kept = verdict.keeps_order and all(inputs[names[name]].order == "fixed" for name in verdict.relations)
    return "fixed" if kept else "free"


def _rows(
    verdict: Verdict, names: Mapping[str, str], inputs: Mapping[str, RowStream], schema: Schema, ctx: StepContext
) -> Iterator[pa.RecordBatch]:
    """Open an engine when the first row is asked for, and close it after the last, or when nobody asks any more."""
    text = with_total_order(str(verdict.canonical), [field.name for field in schema])
    engine = open_engine(ctx.scratch, memory=ctx.memory, threads=ctx.threads)
    try:
        with _told(text, ctx), own_errors(*inputs.values()), _interrupted(engine, ctx):
            yield from _run(engine, text, verdict, names, inputs, schema, ctx)
    finally:
        engine.close()


def _run(
    engine: DuckDBPyConnection,
    text: str,
    verdict: Verdict,
    names: Mapping[str, str],
    inputs: Mapping[str, RowStream],
    schema: Schema,
    ctx: StepContext,
) -> Iterator[pa.RecordBatch]:
    values = {name: _value(ctx.bindings[name]) for name in verdict.parameters}
    load_inputs(engine, text, values, verdict.relations, names, inputs)
    assert_native(engine, text, names.keys())
    relation = bound(engine, text, values, {name: inputs[source].schema for name, source in names.items()})
    _expect(schema, schema_of_relation(relation), ctx)
    reader = engine.sql(carried(text, relation), params=values or None).to_arrow_reader(_BATCH)
    target = arrow_schema(schema)
    for batch in reader:
        yield _cast(batch, target)
