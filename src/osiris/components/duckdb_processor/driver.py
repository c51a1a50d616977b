"""Runs one checked SELECT over the outputs of other steps, as a stream.

An input is read by DuckDB from its files, streamed if the query reads it once, or else loaded first.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from osiris.components.duckdb_processor.parts import Select, Statement, compute_parts
from osiris.errors import Location, fail, raise_all
from osiris.families.sql.result import bound_values
from osiris.model import Described, Field, resolve_order
from osiris.sql import check
from osiris.sql.binding.bind import bind, carried, check_input, explain, schema_of_relation
from osiris.sql.binding.duck_types import quote_name
from osiris.sql.binding.engine import borrow, interruptible, open_engine
from osiris.sql.binding.problems import ENGINE_ERRORS, kind_of, runtime_problem
from osiris.sql.cuts import OneTask, cut
from osiris.sql.nondeterminism.row_order import with_total_order
from osiris.sql.safety.duckdb_crosscheck import assert_native
from osiris.sql.safety.names import mentioned_parameters, parameter_types, relation_names
from osiris.table import finite, own_errors, passed_on, stream
from osiris.types import arrow_schema, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from osiris.components.duckdb_processor.parts import Inputs
    from osiris.driver import StepContext
    from osiris.model import JsonValue, Order, Schema
    from osiris.sql import Verdict
    from osiris.sql.cuts import Cut, Stage
    from osiris.table import Relation, RowStream

_BATCH = 100_000
_SHARE = 0.75
"""The part of a step's memory that DuckDB may use; the rest is for input and output batches."""
_SHOWN = 5
_PARTIAL_READERS = ("LIMIT", "TOP_N", "JOIN", "PRODUCT", "CTE")
"""Parts of the names of operators that may stop reading an input early, or read it again."""


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys are described in spec.yaml."""

    query: str


@dataclass(frozen=True, slots=True)
class _Query:
    """One query to run: its text, its inputs and their names in it, and its planned output schema.

    `at` is the place of its errors, if it is only a part of the step's query.
    """

    text: str
    verdict: Verdict
    names: Mapping[str, str]
    inputs: Mapping[str, RowStream]
    schema: Schema
    ctx: StepContext
    at: Location | None = None


class Driver:
    """A processor that computes with DuckDB."""

    def describe(self, config: Config, inputs: Mapping[str, Schema], ctx: StepContext) -> Described:
        """Return the schema of the query's result; fails with CMP010, DAT006, SQL001 to SQL009."""
        names = _names(inputs, ctx)
        verdict = _checked(config.query, names)
        schemas = {name: inputs[names[name]] for name in verdict.relations}  # binding unused inputs costs time
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
        run = _Query(text, verdict, names, {name: _finite(rows) for name, rows in inputs.items()}, schema, ctx)
        order = lambda: resolve_order(_order(verdict), (rows.order for rows in inputs.values()))  # noqa: E731
        return stream(schema, finite(_in_parts(run) if ctx.partitions else _rows(run)), order)


def _finite(rows: RowStream) -> RowStream:
    return passed_on(rows, finite(rows.batches()), rows.relation)


def _names(inputs: Collection[str], ctx: StepContext) -> dict[str, str]:
    """Return the input of every name in the query; fails with CMP010 if a name is ambiguous."""
    names = relation_names({name: ctx.sources.get(name, name) for name in inputs})
    for name, candidates in names.items():
        if len(candidates) > 1:
            fail("CMP010", step=ctx.step, name=name, inputs=", ".join(sorted(candidates)))
    return {name: candidates[0] for name, candidates in names.items()}


def _checked(query: str, names: Mapping[str, str]) -> Verdict:
    """Check the query again, as a manifest may have been edited."""
    verdict = check(query, "duckdb", relations=names.keys(), parameters=mentioned_parameters(query))
    if not verdict.ok:
        raise_all(verdict.diagnostics)
    return verdict


def _order(verdict: Verdict) -> Order | Literal["kept"]:
    if verdict.ordered:
        return "fixed"
    return "kept" if verdict.keeps_order else "free"


def _in_parts(run: _Query) -> Generator[pa.RecordBatch, None, None]:
    """Return the rows of a query, computed in parts if it can be cut, with the same rows in the same kind of order."""
    used = {name: run.names[name] for name in run.verdict.relations}
    inputs = {key: _readable(run, key) for key in dict.fromkeys(used.values())}
    answer = cut(run.text, used, {key: rows.schema for key, rows in inputs.items()})
    if isinstance(answer, OneTask):
        run.ctx.emit("one_task", {"reason": answer.reason})
        return _rows(run)
    memory = int(run.ctx.memory * _SHARE) // (2 if answer.merge else 1)
    names = {**used, **{name: name for name in answer.stages}}
    selects = [
        _select(replace(run, schema=stage.schema, at=stage.place), name, stage, names)
        for name, stage in answer.stages.items()
    ]
    last = replace(run, at=Location()) if selects else run
    selects.append(_select(last, run.ctx.step, answer, names))
    rows = _parts(run, Statement(inputs, answer, selects, run.ctx, memory))
    return _merged(run, answer.merge, rows, memory) if answer.merge else rows


def _select(run: _Query, name: str, select: Cut | Stage, names: Mapping[str, str]) -> Select:
    """Return a SELECT of a query that is computed in parts; `names` has its stages too."""
    read = {each: key for each, key in names.items() if key in select.feeds}
    verdict = _checked(select.part, read)
    part = replace(run, text=str(verdict.canonical), verdict=verdict, names=read)

    def compute(engine: DuckDBPyConnection, given: Inputs, cancelled: Callable[[], bool]) -> Iterator[pa.RecordBatch]:
        return _computed(replace(part, inputs=given), engine, cancelled)

    return Select(name, select.feeds, run.schema, compute)


def _readable(run: _Query, key: str) -> RowStream:
    """Return an input as a stream; one that the engine reads is read by a query of its own, with all its columns."""
    source = run.inputs[key]
    if source.relation is None:
        return source
    names = {"df": key}
    verdict = _checked("SELECT * FROM df", names)
    schema = tuple(Field(column.name, column.type) for column in source.schema)
    query = _Query(str(verdict.canonical), verdict, names, {key: source}, schema, run.ctx)
    return stream(schema, _rows(query), source.order)


def _parts(run: _Query, statement: Statement) -> Generator[pa.RecordBatch, None, None]:
    with _translated(run):
        yield from compute_parts(statement)


def _merged(
    run: _Query, text: str, rows: Generator[pa.RecordBatch, None, None], memory: int
) -> Generator[pa.RecordBatch, None, None]:
    """Yield the rows of all parts in the order of a query, cut off where it cuts them off."""
    names = {"parts": "parts"}
    verdict = _checked(text, names)
    query = _Query(
        str(verdict.canonical), verdict, names, {"parts": stream(run.schema, rows, "free")}, run.schema, run.ctx
    )
    engine = open_engine(run.ctx.scratch / "merge", memory=memory, threads=run.ctx.threads)
    with closing(rows), closing(engine):
        yield from _computed(query, engine, run.ctx.cancelled)


def _rows(run: _Query) -> Generator[pa.RecordBatch, None, None]:
    """Open an engine when the first row is read; close it after the last, or when the generator is closed."""
    with closing(_engine(run)) as engine:
        yield from _computed(run, engine, run.ctx.cancelled)


def _computed(run: _Query, engine: DuckDBPyConnection, cancelled: Callable[[], bool]) -> Iterator[pa.RecordBatch]:
    with own_errors(*run.inputs.values()), _translated(run), interruptible(engine, cancelled):
        yield from _run(engine, run)


def _engine(run: _Query) -> DuckDBPyConnection:
    """Return a connection; files are read by a separate engine that can access only them."""
    ctx = run.ctx
    memory = int(ctx.memory * _SHARE)
    files = [path for rows in run.inputs.values() if rows.relation for path in rows.relation.files]
    if files:
        return open_engine(ctx.scratch, memory=memory, threads=ctx.threads, files=files)
    return borrow(ctx.scratch, memory=memory, threads=ctx.threads)


def _run(engine: DuckDBPyConnection, run: _Query) -> Iterator[pa.RecordBatch]:
    values = bound_values(run.verdict, run.ctx.bindings)
    assert_native(engine, run.text, run.names)
    load_inputs(engine, run.text, run.verdict, run.names, run.inputs, values)
    relation = engine.sql(run.text, params=values or None)
    _expect(run, schema_of_relation(relation))
    target = arrow_schema(run.schema)
    for batch in engine.sql(carried(run.text, relation), params=values or None).to_arrow_reader(_BATCH):
        yield batch if batch.schema.equals(target) else batch.cast(target)
    report_reads(engine, run.inputs)


def _expect(run: _Query, actual: Schema) -> None:
    """Fail with DAT011 if the query's schema differs from the planned one."""
    if actual == run.schema:
        return
    planned, now = ({f"'{field.name}' {spelled(field)}" for field in schema} for schema in (run.schema, actual))
    changes = [f"{', '.join(sorted(part)) or 'nothing'}" for part in (planned - now, now - planned)]
    problem = f"the plan has {changes[0]} where the query gives {changes[1]}" if planned != now else "its columns moved"
    fail("DAT011", step=run.ctx.step, problem=problem)


@contextmanager
def _translated(run: _Query) -> Iterator[None]:
    """Turn the engine's exceptions into diagnostics."""
    ctx = run.ctx
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
        raise_all([runtime_problem(error, run.text, at=run.at)])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


class InputStream:
    """Rows that can be read once; their schema can be read repeatedly.

    Only Arrow's C interface is offered: the engine can select columns, but not push filters down, which would compare
    with another library's semantics.
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
    """Register the inputs under their names in a query.

    `names` maps those names to keys of `inputs`. An input with a relation becomes a view of it. One without is streamed
    if both the text and the engine's plan read it once; the others are loaded into temporary tables, which spill to
    disk.
    """
    used: dict[str, list[str]] = defaultdict(list)
    reads: Counter[str] = Counter()
    for name, times in verdict.relations.items():
        used[names[name]].append(name)
        reads[names[name]] += times
    streamed = set[str]()
    for key, aliases in used.items():
        if inputs[key].relation:
            _make_view(engine, inputs[key], aliases)
        elif reads[key] == 1:
            streamed.add(key)
            engine.register(aliases[0], InputStream(inputs[key]))
        else:
            _load_input(engine, inputs[key], aliases)
    schemas = {name: inputs[key].schema for name, key in names.items()}
    if _scans(explain(engine, text, values, schemas)) > len(streamed):
        _load_streams(engine, inputs, {key: used[key] for key in streamed})


def _make_view(engine: DuckDBPyConnection, source: RowStream, names: Collection[str]) -> None:
    """Create views of files that the engine reads; fails with DAT011 if it reads other types than planned."""
    for name in map(quote_name, names):
        engine.execute(f"CREATE TEMP VIEW {name} AS {source.relation.text if source.relation else ''}")
        actual = schema_of_relation(engine.sql(f"FROM {name}"))
        if [column.type for column in actual] != [column.type for column in source.schema]:
            fail("DAT011", step=name, problem="DuckDB reads its files with other types")


def report_reads(engine: DuckDBPyConnection, inputs: Mapping[str, RowStream]) -> None:
    """Report to inputs that the engine read how many rows and bytes it counted, after the statement.

    Fails with DAT055 if the files have another number of rows.
    """
    relations = [source.relation for source in inputs.values() if source.relation]
    if not relations:
        return
    # The profile of a statement answered from metadata alone has no operators.
    scans = list(_operators(json.loads(engine.get_profiling_information()).get("operator", ())))
    for relation in relations:
        _report_read(engine, relation, scans)


def _report_read(engine: DuckDBPyConnection, relation: Relation, scans: Collection[JsonValue]) -> None:
    names = _names_shown(relation.files)
    read = [node for node in scans if node.get("extra_info", {}).get("Filename(s)") == names]
    counted = {node["rows_scanned"] for node in read if _reads_all(node, scans)}
    counted = counted or set(engine.execute(f"SELECT count(*) FROM ({relation.text})").fetchone() or ())
    # The maximum, not the sum: the engine may read files twice, or two inputs may have the same files.
    relation.on_read(counted, max((node["bytes_scanned"] for node in read), default=0))


def _reads_all(scan: JsonValue, operators: Collection[JsonValue]) -> bool:
    """Whether a scan returns every row of its files: it is not filtered, and read once, to its end.

    Otherwise rows are counted by a query, which reads only the files' metadata.
    """
    if {"Filters", "Dynamic Filters"} & scan["extra_info"].keys():
        return False
    return not any(word in node["name"] for node in operators for word in _PARTIAL_READERS)


def _names_shown(files: Sequence[Path]) -> str:
    """Return files as the engine's profile lists them: at most five."""
    shown = ", ".join(str(path) for path in files[:_SHOWN])
    return shown if len(files) <= _SHOWN else f"{shown}, ..."


def _load_streams(
    engine: DuckDBPyConnection, inputs: Mapping[str, RowStream], used: Mapping[str, Collection[str]]
) -> None:
    """Load inputs instead of streaming them, as the engine would read one of them twice."""
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
