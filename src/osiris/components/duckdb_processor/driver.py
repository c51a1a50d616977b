"""Runs one checked SELECT over the outputs of other steps, as a stream."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.components.duckdb_processor.inputs import load_inputs, tell_reads
from osiris.errors import fail, raise_all
from osiris.families.sql.result import bound_values
from osiris.model import Described, resolve_order
from osiris.sql import check
from osiris.sql.binding.bind import bind, carried, check_input, schema_of_relation
from osiris.sql.binding.engine import borrow, interruptible, open_engine
from osiris.sql.binding.problems import ENGINE_ERRORS, kind_of, runtime_problem
from osiris.sql.nondeterminism.row_order import with_total_order
from osiris.sql.safety.duckdb_crosscheck import assert_native
from osiris.sql.safety.names import mentioned_parameters, parameter_types, relation_names
from osiris.table import own_errors, stream
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from osiris.driver import StepContext
    from osiris.model import Order, Schema
    from osiris.sql import Verdict
    from osiris.table import RowStream

_BATCH = 100_000
_SHARE = 0.75
"""The part of a step's memory that the engine may use; the rest is for the batches on their way in and out."""


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys are described in spec.yaml."""

    query: str


@dataclass(frozen=True, slots=True)
class _Work:
    """One query about to run: its text, what it reads and by which names, and the schema it must give."""

    text: str
    verdict: Verdict
    names: Mapping[str, str]
    inputs: Mapping[str, RowStream]
    schema: Schema
    ctx: StepContext


class Driver:
    """A processor that computes with DuckDB."""

    def describe(self, config: Config, inputs: Mapping[str, Schema], ctx: StepContext) -> Described:
        """Return the schema of the query's result; fails with CMP010, DAT006, SQL001 to SQL009."""
        names = _names(inputs, ctx)
        verdict = _checked(config.query, names)
        schemas = {name: inputs[names[name]] for name in verdict.relations}  # an input that nothing reads costs time
        schema = bind(str(verdict.canonical), schemas, parameter_types(verdict.parameters))
        return Described(schema, _order(verdict))

    def transform(self, config: Config, inputs: Mapping[str, RowStream], schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows of the query; reading them fails with DAT011, RUN003, RUN013, SQL009 or SQL011."""
        names = _names(inputs, ctx)
        verdict = _checked(config.query, names)
        for name, source in inputs.items():
            check_input(name, source.schema)
        text = with_total_order(str(verdict.canonical), [field.name for field in schema])
        work = _Work(text, verdict, names, inputs, schema, ctx)
        return stream(schema, _rows(work), resolve_order(_order(verdict), (rows.order for rows in inputs.values())))


def _names(inputs: Collection[str], ctx: StepContext) -> dict[str, str]:
    """Return the input behind every name of the query; fails with CMP010 if one name has two."""
    names = relation_names({name: ctx.sources.get(name, name) for name in inputs})
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


def _order(verdict: Verdict) -> Order | Literal["kept"]:
    if verdict.ordered:
        return "fixed"
    return "kept" if verdict.keeps_order else "free"


def _rows(work: _Work) -> Iterator[pa.RecordBatch]:
    """Open an engine when the first row is asked for; close it after the last, or when nobody asks any more."""
    ctx = work.ctx
    engine = _engine(work)
    try:
        with own_errors(*work.inputs.values()), _translated(work), interruptible(engine, ctx.cancelled):
            yield from _run(engine, work)
    finally:
        engine.close()


def _engine(work: _Work) -> DuckDBPyConnection:
    """Return a connection; files are read by an engine of their own, which can reach these and no others."""
    ctx = work.ctx
    memory = int(ctx.memory * _SHARE)
    files = [path for rows in work.inputs.values() if rows.relation for path in rows.relation.files]
    if files:
        return open_engine(ctx.scratch, memory=memory, threads=ctx.threads, files=files)
    return borrow(ctx.scratch, memory=memory, threads=ctx.threads)


def _run(engine: DuckDBPyConnection, work: _Work) -> Iterator[pa.RecordBatch]:
    values = bound_values(work.verdict, work.ctx.bindings)
    assert_native(engine, work.text, work.names)
    load_inputs(engine, work.text, work.verdict, work.names, work.inputs, values)
    relation = engine.sql(work.text, params=values or None)
    _expect(work, schema_of_relation(relation))
    target = arrow_schema(work.schema)
    for batch in engine.sql(carried(work.text, relation), params=values or None).to_arrow_reader(_BATCH):
        yield batch if batch.schema.equals(target) else batch.cast(target)
    tell_reads(engine, work.inputs)


def _expect(work: _Work, found: Schema) -> None:
    """Fail with DAT011 if the query now gives another schema than the planned one."""
    if found == work.schema:
        return
    planned, now = ({f"'{field.name}' {field.type}" for field in each} for each in (work.schema, found))
    told = [f"{', '.join(sorted(part)) or 'nothing'}" for part in (planned - now, now - planned)]
    problem = f"the plan has {told[0]} where the query gives {told[1]}" if planned != now else "its columns moved"
    fail("DAT011", step=work.ctx.step, problem=problem)


@contextmanager
def _translated(work: _Work) -> Iterator[None]:
    """Say in our words what the engine raises."""
    ctx = work.ctx
    try:
        yield
    except MemoryError:
        fail("RUN013", step=ctx.step, limit=_megabytes(ctx.memory))
    except ENGINE_ERRORS as error:
        kind = kind_of(error)
        if kind == "interrupted":
            fail("RUN003", signal="request")
        if kind == "memory":
            fail("RUN013", step=ctx.step, limit=_megabytes(ctx.memory))
        raise_all([runtime_problem(error, work.text)])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
