"""The output schema of a query: bound by the engine itself, against inputs with columns and no rows.

Also why a query does not bind: the engine gives a type of error and mostly a position; the tree gives the wrong word
there, and the most similar valid one.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, takewhile
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from sqlglot import exp

from osiris.errors import Location, diagnostic, did_you_mean, fail, nearest, raise_all
from osiris.model import Field, undivided
from osiris.sql.binding.duck_types import PLAIN, NotCarried, carry, quote_name
from osiris.sql.binding.engine import open_binder
from osiris.sql.binding.precision_loss import precision_losses, tree_of
from osiris.sql.binding.problems import ENGINE_ERRORS, details, error_offset, kind_of, runtime_problem
from osiris.sql.safety import tree as trees
from osiris.sql.safety.dialects import DIALECTS, load_allowed
from osiris.sql.safety.duckdb_crosscheck import assert_native
from osiris.sql.safety.names import mentioned_parameters, parameter_types
from osiris.sql.safety.text import place
from osiris.sql.scope import TableNames, ancestors, from_items
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Schema
    from osiris.sql.check_text import Verdict

_MEMORY = 256 << 20
_STAND_INS: dict[str, JsonValue] = {"utf8": "", "timestamp[us,UTC]": dt.datetime(1970, 1, 1, tzinfo=dt.UTC)}
_EXPLAIN = "EXPLAIN (FORMAT JSON) "


_CARRIED = "osiris_carried"
_LENGTH = 300
_COMPARES = re.compile(r"[=<>]|\bDISTINCT FROM\b|\bUSING\b")
_TYPES = {**{name.upper(): kind for name, kind in PLAIN.items()}, "DECIMAL": None, "JSON": None, "TEXT": "utf8"}
"""Types by the names that a hint may use, with ours."""


def bind(query: Verdict, inputs: Mapping[str, Schema], parameters: Mapping[str, str]) -> Schema:
    """Return the schema of a checked query over inputs of these schemas, by the names under which it reads them.

    `parameters` maps the names of its parameters to their types. Fails with SQL009 where the query does not fit its
    inputs, with SQL031 where the engine would silently round, and with DAT006 for a column whose type is not supported.
    """
    text, tree = str(query.canonical), tree_of(query)
    with open_binder(memory=_MEMORY) as binder:
        engine = binder.engine
        for name, schema in inputs.items():
            check_input(name, schema)
            binder.show(name, schema)
        assert_native(engine, text, inputs.keys())
        values = {name: _STAND_INS[kind] for name, kind in parameters.items()}
        relation = _relation(engine, text, values, inputs)
        for value, at in constant_casts(tree, text).items() if "CAST('" in text else ():
            try:
                engine.execute(f"SELECT {value}").fetchall()
            except ENGINE_ERRORS as error:
                fail("SQL009", at=at, problem=runtime_problem(error, "").message)
        mixed = mixed_comparison(tree, text, inputs)
        if mixed:
            raise_all([mixed])
        narrowed = precision_losses(query, engine, values)
        if narrowed:
            raise_all(narrowed)
        return schema_of_relation(relation, text, inputs)


class Carried(NamedTuple):
    """How the rows of a query are carried: the schema, and the columns of it that are cast from HUGEINT."""

    schema: Schema
    wide: frozenset[str]


def carried_exactly(text: str, inputs: Mapping[str, Schema]) -> Carried | None:
    """Return how the rows of a checked query are carried to another one, which reads the same values of the same types.

    Only HUGEINT is cast, and can be cast back: DuckDB compares and adds it as what it is cast to, but UHUGEINT as
    floats. Returns None if another type is cast or cannot be carried, and for a text that does not bind on its own.
    """
    with open_binder(memory=_MEMORY) as binder:
        for name, schema in inputs.items():
            binder.show(name, schema)
        values = {name: _STAND_INS[kind] for name, kind in parameter_types(mentioned_parameters(text)).items()}
        try:
            relation = binder.engine.sql(text, params=values or None)
            columns = [(name, kind, carry(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]
        except (NotCarried, *ENGINE_ERRORS):
            return None
        schema = tuple(Field(name, way.type) for name, _, way in columns)
        binder.show(_CARRIED, schema)
        read = binder.engine.sql(f"FROM {_CARRIED}").types
        changed = {name: kind for (name, kind, _), now in zip(columns, read, strict=True) if kind != now}
    return Carried(schema, frozenset(changed)) if all(kind.id == "hugeint" for kind in changed.values()) else None


def check_input(name: str, schema: Schema) -> None:
    """Fail with SQL009 if DuckDB would change the name of a column, or of a field inside one, with DAT006 if it has no
    such type.

    It changes empty names, names that contain NUL, and those of columns that differ only in case.
    """
    for first, second in _same_name(column.name for column in schema):
        problem = f"input '{name}' has the columns '{first}' and '{second}', which SQL does not distinguish"
        fail("SQL009", problem=problem, hint="rename one of them in the step before")
    for number, (column, carrier) in enumerate(zip(schema, arrow_schema(schema), strict=True), 1):
        if not _has_plain_names(carrier):
            problem = f"column {number} of input '{name}' has no name"
            if column.name:
                problem = f"a name in column {number} of input '{name}' is empty or contains NUL"
            fail("SQL009", problem=problem, hint="SQL would change it: give it a name in the source")
        if _has_wide_decimal(carrier.type):
            fail("DAT006", column=column.name, type=column.type, reason="DuckDB computes with at most 38 digits")


def _relation(
    engine: DuckDBPyConnection, text: str, values: Mapping[str, JsonValue], inputs: Mapping[str, Schema]
) -> DuckDBPyRelation:
    """Return a query as a relation; fails as `explain`, whose errors have a place."""
    try:
        return engine.sql(text, params=dict(values) or None)
    except ENGINE_ERRORS:
        explain(engine, text, values, inputs)
        raise


def explain(
    engine: DuckDBPyConnection, text: str, values: Mapping[str, JsonValue], inputs: Mapping[str, Schema]
) -> JsonValue:
    """Return DuckDB's plan of a query, without running it; fails with SQL009 where it does not fit its inputs."""
    try:
        rows = engine.execute(_EXPLAIN + text, dict(values) or None).fetchall()
    except ENGINE_ERRORS as error:
        if kind_of(error) != "other":
            raise
        raise_all([bind_error(error, text, inputs, len(_EXPLAIN))])
    return json.loads(rows[0][1])


def schema_of_relation(
    relation: DuckDBPyRelation, text: str = "", inputs: Mapping[str, Schema] | None = None
) -> Schema:
    """Return the schema in which a relation's rows are carried; fails with SQL009 or DAT006 if they cannot be.

    With the query's `text` and its `inputs`, an error is located at the column in it.
    """

    def at(index: int) -> Location:
        return output_place(text, index, inputs or {}) if text else Location()

    for first, second in _same_name(relation.columns):
        problem = f"two columns of the result are called '{first}'"
        if first != second:
            problem = f"the result has the columns '{first}' and '{second}', which SQL does not distinguish"
        last = max(i for i, name in enumerate(relation.columns) if name == second)
        fail("SQL009", at=at(last), problem=problem, hint="name one of them with AS")
    fields, problems = [], []
    for index, (name, kind) in enumerate(zip(relation.columns, relation.types, strict=True)):
        try:
            fields.append(Field(name, carry(kind).type))
        except NotCarried as refused:
            reason = "it cannot be handed to another step"
            item = diagnostic(
                "DAT006", at=at(index), hint=refused.instead, column=name, type=refused.kind, reason=reason
            )
            problems.append(item)
    if problems:
        raise_all(problems)
    return tuple(fields)


def carried(text: str, relation: DuckDBPyRelation) -> str:
    """Return the query with its result cast to the types in which it is carried, where these differ."""
    kinds = [(quote_name(n), carry(k)) for n, k in zip(relation.columns, relation.types, strict=True)]
    casts = [f"CAST({name} AS {kind.duck}) AS {name}" for name, kind in kinds if kind.cast]
    return f"SELECT * REPLACE ({', '.join(casts)}) FROM (\n{text}\n)" if casts else text


def _has_plain_names(column: pa.Field) -> bool:
    """Whether the names of a column and of all fields inside it are names that DuckDB does not change."""
    kind = column.type
    children = (kind.field(index) for index in range(kind.num_fields))
    return bool(column.name) and "\0" not in column.name and all(map(_has_plain_names, children))


def _has_wide_decimal(kind: pa.DataType) -> bool:
    children = [kind.field(i).type for i in range(kind.num_fields)]
    return pa.types.is_decimal256(kind) or any(_has_wide_decimal(child) for child in children)


def _same_name(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names that are equal but for case."""
    listed = list(names)
    for folded, times in Counter(name.lower() for name in listed).items():
        if times > 1:
            first, second, *_ = (name for name in listed if name.lower() == folded)
            yield first, second


class Named(NamedTuple):
    """A column of a query or a source: its type if it is only passed on, and the node that defines it."""

    name: str
    type: str | None = None
    node: exp.Expr | None = None


Columns = tuple[Named, ...]


@dataclass(slots=True)
class _Lookup:
    """Resolves columns in one tree, with their types; `inputs` has those of the relations by folded name."""

    names: TableNames
    inputs: Mapping[str, Schema]
    _known: dict[int, Columns] = field(default_factory=dict)

    def sources(self, node: exp.Expr) -> dict[str, Columns]:
        """Return the columns of the sources visible to a node, by folded alias, those of its own query first."""
        columns: dict[str, Columns] = {}
        for select in _selects_around(node):
            for source in from_items(select):
                columns.setdefault(source.alias_or_name.lower(), self.columns(source))
        return columns

    def type_of(self, column: exp.Column) -> str | None:
        """Return the type of a column that is only passed on; None if it is computed or unknown."""
        sources = self.sources(column)
        candidates = [sources.get(column.table.lower(), ())] if column.table else sources.values()
        return _type_in(chain.from_iterable(candidates), column.name)

    def columns(self, node: exp.Expr) -> Columns:
        """Return the columns of a source in FROM; none if unknown."""
        source = self.names.source(node)
        if source.relation is not None:
            schema = self.inputs.get(source.relation.name.lower(), ())
            columns = tuple(Named(each.name, each.type) for each in schema)
        else:
            query = None if isinstance(node, exp.Lateral) else source.query
            columns = () if query is None else self.outputs(query)
        renamed = (column._replace(name=name) for column, name in zip(columns, source.columns, strict=False))
        return (*renamed, *columns[len(source.columns) :])

    def outputs(self, query: exp.Expr) -> Columns:
        """Return the columns of a query, a nameless one as ''; none if unknown."""
        if id(query) not in self._known:
            self._known[id(query)] = ()  # a recursive CTE comes back to itself
            self._known[id(query)] = tuple(self._outputs(query))
        return self._known[id(query)]

    def _outputs(self, query: exp.Expr) -> Iterator[Named]:
        if isinstance(query, (exp.SetOperation, exp.Subquery)):
            yield from self.outputs(query.this)
        elif isinstance(query, exp.Select):
            for each in query.expressions:
                yield from self._output(each, query)

    def _output(self, node: exp.Expr, select: exp.Select) -> Iterator[Named]:
        star = node.this if isinstance(node, exp.Column) else node
        if isinstance(star, exp.Star):
            excluded = {each.name.lower() for each in star.args.get("except_") or ()}
            columns = self._columns_of("" if star is node else node.text("table"), select)
            yield from (each._replace(node=node) for each in columns if each.name.lower() not in excluded)
        else:
            value = node.unalias()
            of = self._columns_of(value.table, select) if isinstance(value, exp.Column) else ()
            yield Named(node.output_name, _type_in(of, value.name), node)

    def _columns_of(self, alias: str, select: exp.Select) -> Iterator[Named]:
        """Yield the columns of the sources of a SELECT, of those with an alias if one is given."""
        for source in from_items(select):
            if alias.lower() in ("", source.alias_or_name.lower()):
                yield from self.columns(source)


def _type_in(columns: Iterable[Named], name: str) -> str | None:
    """Return the type of the first column of a name, None if unknown."""
    return next((each.type for each in columns if each.name.lower() == name.lower()), None)


def _selects_around(node: exp.Expr) -> Iterator[exp.Select]:
    """Yield the SELECTs whose names are visible to a node, inner ones first; a CTE sees nothing around it."""
    for here in ancestors(node):
        if isinstance(here, exp.CTE):
            return
        if isinstance(here, exp.Select):
            yield here
        if isinstance(here.parent, exp.SetOperation) and here.arg_key == "order":
            yield from here.parent.this.find_all(exp.Select)
            return


class _Fault(NamedTuple):
    """The wrong part of the tree, the problem and a hint. None: use the engine's own."""

    node: exp.Expr | None
    problem: str | None = None
    hint: str | None = None


def bind_error(error: Exception, text: str, inputs: Mapping[str, Schema], shift: int) -> Diagnostic:
    """Return the diagnostic for a bind error in a canonical text; `shift` bytes preceded it."""
    with trees.deep_recursion():
        tree = _parsed(text)
        fault = _fault(details(error), tree, error_offset(error, text, shift), _lookup(tree, inputs))
        if fault is None:
            return runtime_problem(error, text, "SQL009", shift)
        offset = trees.beginning_of(fault.node, text) if fault.node else error_offset(error, text, shift)
    problem = fault.problem or runtime_problem(error, text, "SQL009").message
    # a single input column may mean that the file was read with the wrong delimiter
    alone = ((name, undivided(schema[0].name)) for name, schema in inputs.items() if len(schema) == 1)
    hint = next((f"'{name}': {hint}" for name, hint in alone if hint), fault.hint)
    return diagnostic("SQL009", at=place(text, offset), problem=problem, hint=hint)


def output_place(text: str, index: int, inputs: Mapping[str, Schema]) -> Location:
    """Return the location of an output column in a canonical text: of its alias, or of its expression."""
    with trees.deep_recursion():
        tree = _parsed(text)
        columns = _lookup(tree, inputs).outputs(tree)
        node = columns[index].node if index < len(columns) else None
        target = node.args["alias"] if isinstance(node, exp.Alias) else node
        return place(text, trees.offset_of(target) if target else None)


def mixed_comparison(tree: exp.Expr, text: str, inputs: Mapping[str, Schema]) -> Diagnostic | None:
    """Return a diagnostic if a text column is compared with one of another type, else None.

    The engine would cast the text: the first invalid value fails the run, and '007' equals 7.
    """
    if not _COMPARES.search(text):
        return None
    with trees.deep_recursion():
        lookup = _lookup(tree, inputs)
        for node, first, other in _compared(tree, lookup):
            if first and other and first != other and "utf8" in (first, other) and "json" not in (first, other):
                problem = f"this compares {first} with {other}"
                hint = "CAST one of them to the type that is meant"
                return diagnostic("SQL009", at=place(text, trees.offset_of(node)), problem=problem, hint=hint)
    return None


def constant_casts(tree: exp.Expr, text: str) -> dict[str, Location]:
    """Return the casts of string literals in a tree, as SQL, each with the location of the first."""
    grammar = DIALECTS["duckdb"].load_grammar()
    with trees.deep_recursion():
        casts: dict[str, Location] = {}
        for cast in tree.find_all(exp.Cast):
            if type(cast) is exp.Cast and isinstance(cast.this, exp.Literal) and cast.this.is_string:
                casts.setdefault(trees.write(cast, grammar), place(text, trees.offset_of(cast.this)))
        return casts


def _compared(tree: exp.Expr, lookup: _Lookup) -> Iterator[tuple[exp.Expr, str | None, str | None]]:
    """Yield where two columns are compared, by an operator or by USING, with both types."""
    for node in tree.find_all(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ):
        if isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Column):
            yield node, lookup.type_of(node.this), lookup.type_of(node.expression)
    for join in tree.find_all(exp.Join):
        sides = [(name, _type_in(columns, name.name)) for name, columns, _ in _sides(join, lookup)]
        for (name, left), (_, right) in zip(sides[::2], sides[1::2], strict=True):
            yield name, left, right


def _parsed(text: str) -> exp.Expr:
    return trees.parse(text, DIALECTS["duckdb"].load_grammar())[0]


def _lookup(tree: exp.Expr, inputs: Mapping[str, Schema]) -> _Lookup:
    return _Lookup(TableNames(tree, DIALECTS["duckdb"]), {name.lower(): schema for name, schema in inputs.items()})


def _fault(fields: Mapping[str, JsonValue], tree: exp.Expr, offset: int | None, lookup: _Lookup) -> _Fault | None:
    if offset is None:
        return next(_unlocated_faults(tree, lookup), None)
    if fields.get("type") == "Type":
        return _Fault(None, f"there is no type '{fields['name']}'", _suggestion(str(fields["name"]).upper(), _TYPES))
    name = next((each for each in tree.find_all(exp.Identifier) if each.meta.get("start") == offset), None)
    column = name.parent if name else None
    if not isinstance(column, exp.Column):
        return None
    if fields.get("error_subtype") == "COLUMN_NOT_FOUND":
        return _bare(column, lookup)
    if hint := _in_several(column, lookup) or _not_grouped(column, lookup):
        return _Fault(None, hint=hint)
    length = column.this.meta["end"] + 1 - offset  # of the name alone, not of an expression that begins with it
    is_name = column.table and str(fields.get("location", "")).endswith(f",{length}]")
    return _qualified(column, lookup) if is_name else None


def _in_several(column: exp.Column, lookup: _Lookup) -> str | None:
    """Return a hint for a column without a table that several sources of its query have."""
    select = next(_selects_around(column), None)
    sources = [each for each in from_items(select) if _has(lookup.columns(each), column.this)] if select else []
    names = [f"{each.alias_or_name}.{column.name}" for each in sources]
    return f"write {' or '.join(names)}" if len(names) > 1 and not column.table else None


def _not_grouped(column: exp.Column, lookup: _Lookup) -> str | None:
    """Return a hint for an output column of an aggregating query that is neither grouped nor aggregated."""
    select, sources = column.find_ancestor(exp.Select), lookup.sources(column)
    named = [sources.get(column.table.lower(), ())] if column.table else sources.values()
    if select is None or not any(_has(each, column.this) for each in named):
        return None
    path = [*takewhile(lambda node: node is not select, ancestors(column))]
    group = select.args.get("group")
    aggregates = group or any(map(_is_aggregate, chain(*(each.walk() for each in select.expressions))))
    is_output = path[-1].arg_key in ("expressions", "having") and not any(map(_is_aggregate, path))
    if not (aggregates and is_output) or (group and column in group.expressions):
        return None
    name = column.sql("duckdb")
    add = f"add {name} to GROUP BY" if group else f"add GROUP BY {name}"
    return f"{add}, or aggregate it, for example min({name})"


def _is_aggregate(node: exp.Expr) -> bool:
    return trees.called(node) in load_allowed(DIALECTS["duckdb"]).aggregates


def _qualified(column: exp.Column, lookup: _Lookup) -> _Fault | None:
    """Return the problem of a qualified column, if its name is the problem."""
    sources, alias = lookup.sources(column), column.table
    if alias.lower() not in sources:
        members = any(each.name.lower() == alias.lower() for columns in sources.values() for each in columns)
        problem = f"there is no table '{alias}' here"
        return None if members else _Fault(column, problem, did_you_mean(alias, sources))
    columns = sources[alias.lower()]
    if not columns or _has(columns, column):
        return _Fault(column.this)
    return _no_column(column.this, alias, columns)


def _bare(column: exp.Column, lookup: _Lookup) -> _Fault:
    outputs = next((select.expressions for select in _selects_around(column)), [])
    aliases = [Named(each.alias, node=each) for each in outputs if isinstance(each, exp.Alias)]
    return _no_column(column.this, None, [*chain.from_iterable(lookup.sources(column).values())], aliases)


def _no_column(name: exp.Expr, source: str | None, columns: Sequence[Named], aliases: Sequence[Named] = ()) -> _Fault:
    """Return that a name is no column; `aliases` of the statement itself may be meant, but are not listed."""
    types = {each.name: each.type for each in reversed(columns) if each.name}
    problem = f"there is no column '{name.name}'" + (f" in '{source}'" if source else "")
    listed = ", ".join(" ".join(filter(None, each)) for each in sorted(types.items()))
    near = _suggestion(name.name, {each.name: each.type for each in aliases if each.name} | types)
    hint = near or (f"columns: {listed}"[:_LENGTH] if listed else None)
    return _Fault(name, problem, hint)


def _suggestion(name: str, types: Mapping[str, str | None]) -> str | None:
    match = nearest(name, [each for each in types if each != name])
    return f"did you mean '{match}'" + (f" ({types[match]})?" if types[match] else "?") if match else None


def _unlocated_faults(tree: exp.Expr, lookup: _Lookup) -> Iterator[_Fault]:
    """Yield the possible problems for which the engine gives no position: USING, set operations, lists of stars."""
    yield from _absent(each for join in tree.find_all(exp.Join) for each in _sides(join, lookup))
    for operation in tree.find_all(exp.SetOperation):
        first, other = (lookup.outputs(each) for each in (operation.this, operation.expression))
        if len(first) != len(other) and not any(isinstance(each.node, exp.Star) for each in (*first, *other)):
            problem = f"this SELECT has {len(other)} columns, and the one before it {len(first)}"
            yield _Fault(operation.expression, problem)
    yield from _absent(each for star in tree.find_all(exp.Star) for each in _in_lists(star, lookup))


def _absent(names: Iterable[tuple[exp.Expr, Columns, str | None]]) -> Iterator[_Fault]:
    """Yield a fault for each name that is not among its columns, if these are known."""
    for name, columns, alias in names:
        if columns and not _has(columns, name):
            yield _no_column(name, alias, columns)


def _sides(join: exp.Join, lookup: _Lookup) -> Iterator[tuple[exp.Expr, Columns, str | None]]:
    """Yield each name of USING with the columns before the join, then with those of the joined source, and the alias if
    single.
    """
    if isinstance(join.parent, exp.Select):
        *before, joined = from_items(join.parent)[: (join.index or 0) + 2]
        for name in join.args.get("using") or ():
            for sources in (before, [joined]):
                alias = sources[0].alias_or_name if len(sources) == 1 else None
                yield name, tuple(chain.from_iterable(map(lookup.columns, sources))), alias


def _in_lists(star: exp.Star, lookup: _Lookup) -> Iterator[tuple[exp.Expr, Columns, str | None]]:
    """Yield the names in EXCLUDE and REPLACE with the columns that the star gives."""
    columns: Columns = tuple(chain.from_iterable(lookup.sources(star).values()))
    yield from ((name, columns, None) for name in star.args.get("except_") or ())
    yield from ((each.args["alias"], columns, None) for each in star.args.get("replace") or ())


def _has(columns: Columns, name: exp.Expr) -> bool:
    return name.name.lower() in {each.name.lower() for each in columns}
