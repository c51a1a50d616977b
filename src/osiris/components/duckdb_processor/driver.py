"""Runs one checked SELECT over the outputs of other steps, as a stream.

Inputs are files that the engine reads by itself, streams that the query reads once, or else loaded first.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.errors import fail, raise_all
from osiris.families.sql.result import bound_values
from osiris.model import Described, resolve_order
from osiris.sql import check
from osiris.sql.binding.bind import bind, carried, check_input, explain, schema_of_relation
from osiris.sql.binding.duck_types import quote_name
from osiris.sql.binding.engine import borrow, interruptible, open_engine
from osiris.sql.binding.problems import ENGINE_ERRORS, kind_of, runtime_problem
from osiris.sql.nondeterminism.row_order import with_total_order
from osiris.sql.safety.duckdb_crosscheck import assert_native
from osiris.sql.safety.names import mentioned_parameters, parameter_types, relation_names
from osiris.table import own_errors, stream
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from osiris.driver import StepContext
    from osiris.model import JsonValue, Order, Schema
    from osiris.sql import Verdict
    from osiris.table import Relation, RowStream

_BATCH = 100_000
_SHARE = 0.75
"""The part of a step's memory that the engine may use; the rest is for the batches on their way in and out."""
_SHOWN = 5
_OTHERWISE = ("LIMIT", "TOP_N", "JOIN", "PRODUCT", "CTE")
"""Parts of the names of operators that may have enough before their inputs end, or begin them again."""


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
        schema = bind(verdict, schemas, parameter_types(verdict.parameters))
        return Described(schema, _order(verdict))

    def transform(self, config: Config, inputs: Mapping[str, RowStream], schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows of the query; reading them fails with DAT011, RUN003, RUN013, SQL009 or SQL011."""
        names = _names(inputs, ctx)
        verdict = _checked(config.query, names)
        for name, source in inputs.items():
            check_input(name, source.schema)
        text = str(verdict.canonical)
        if verdict.ordered:
            text = with_total_order(text, [field.name for field in schema])
        work = _Work(text, verdict, names, inputs, schema, ctx)
        order = lambda: resolve_order(_order(verdict), (rows.order for rows in inputs.values()))  # noqa: E731
        return stream(schema, _rows(work), order)


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


class InputStream:
    """Rows that show their schema as often as they are asked, and are given once.

    Only Arrow's C interface is offered: the engine can choose columns, but it has no scanner to push its filters into,
    whose comparisons would be another library's.
    """

    def __init__(self, rows: RowStream) -> None:
        self.schema = rows.schema
        self._rows = rows

    def __arrow_c_schema__(self) -> object:
        return arrow_schema(self.schema).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.__arrow_c_stream__(requested_schema)


def load_inputs(
    engine: DuckDBPyConnection,
    text: str,
    verdict: Verdict,
    names: Mapping[str, str],
    inputs: Mapping[str, RowStream],
    values: Mapping[str, JsonValue],
) -> None:
    """Make the inputs readable under the names by which a query reads them.

    `names` maps those names to keys of `inputs`. An input with a relation becomes a view of it. One without becomes a
    stream if the text names it once and the engine's own plan does too; the others are loaded into temporary tables,
    which spill to disk.
    """
    used: dict[str, list[str]] = defaultdict(list)
    reads: Counter[str] = Counter()
    for name, times in verdict.relations.items():
        used[names[name]].append(name)
        reads[names[name]] += times
    streamed = set[str]()
    for key, called in used.items():
        if inputs[key].relation:
            _make_view(engine, inputs[key], called)
        elif reads[key] == 1:
            streamed.add(key)
            engine.register(called[0], InputStream(inputs[key]))
        else:
            _load_input(engine, inputs[key], called)
    schemas = {name: inputs[key].schema for name, key in names.items()}
    if _scans(explain(engine, text, values, schemas)) > len(streamed):
        _load_streams(engine, inputs, {key: used[key] for key in streamed})


def _make_view(engine: DuckDBPyConnection, source: RowStream, names: Collection[str]) -> None:
    """Make views of what the engine reads by itself; fails with DAT011 if it sees other types than planned."""
    for name in map(quote_name, names):
        engine.execute(f"CREATE TEMP VIEW {name} AS {source.relation.text if source.relation else ''}")
        found = schema_of_relation(engine.sql(f"FROM {name}"))
        if [column.type for column in found] != [column.type for column in source.schema]:
            fail("DAT011", step=name, problem="DuckDB reads its files with other types")


def tell_reads(engine: DuckDBPyConnection, inputs: Mapping[str, RowStream]) -> None:
    """Tell the inputs that the engine read by itself how many rows and bytes it counted, after the statement.

    Fails with DAT055 if those are other rows than the files have.
    """
    relations = [source.relation for source in inputs.values() if source.relation]
    if not relations:
        return
    # The profile of a statement that metadata alone answered has no operators.
    scans = list(_operators(json.loads(engine.get_profiling_information()).get("operator", ())))
    for relation in relations:
        _tell_read(engine, relation, scans)


def _tell_read(engine: DuckDBPyConnection, relation: Relation, scans: Collection[JsonValue]) -> None:
    names = _names_shown(relation.files)
    read = [node for node in scans if node.get("extra_info", {}).get("Filename(s)") == names]
    counted = {node["rows_scanned"] for node in read if _reads_all(node, scans)}
    counted = counted or set(engine.execute(f"SELECT count(*) FROM ({relation.text})").fetchone() or ())
    # The most, not the sum: the engine may read files twice, or another input may have the same ones.
    relation.on_read(counted, max((node["bytes_scanned"] for node in read), default=0))


def _reads_all(scan: JsonValue, operators: Collection[JsonValue]) -> bool:
    """Tell whether a scan gives every row of its files: nothing is filtered there, and it is read once, to its end.

    The rows of one that does not are counted by asking, which reads what the files say of themselves.
    """
    if {"Filters", "Dynamic Filters"} & scan["extra_info"].keys():
        return False
    return not any(word in node["name"] for node in operators for word in _OTHERWISE)


def _names_shown(files: Sequence[Path]) -> str:
    """Return what the engine's profile calls files: no more than five of them."""
    shown = ", ".join(str(path) for path in files[:_SHOWN])
    return shown if len(files) <= _SHOWN else f"{shown}, ..."


def _load_streams(
    engine: DuckDBPyConnection, inputs: Mapping[str, RowStream], used: Mapping[str, Collection[str]]
) -> None:
    """Load what was to be streamed: the engine would read one of them twice."""
    for key, names in used.items():
        for name in names:
            engine.unregister(name)
        _load_input(engine, inputs[key], names)


def _load_input(engine: DuckDBPyConnection, source: RowStream, names: Collection[str]) -> None:
    """Load an input into a temporary table of the first of its names; the others are views of it."""
    first, *others = map(quote_name, names)
    engine.register("osiris_loading", InputStream(source))
    engine.execute(f"CREATE TEMP TABLE {first} AS SELECT * FROM osiris_loading")
    engine.unregister("osiris_loading")
    for other in others:
        engine.execute(f"CREATE TEMP VIEW {other} AS SELECT * FROM {first}")


def _scans(plan: JsonValue) -> int:
    """Return how many Arrow streams a plan reads."""
    return sum(node["name"].endswith("ARROW_SCAN") for node in _operators(plan))


def _operators(plan: JsonValue) -> Iterator[JsonValue]:
    waiting = list(plan)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.get("children", ())
