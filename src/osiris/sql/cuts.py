"""How a statement can be computed in parts whose rows together are its rows; or why it is one task.

One input is cut: each part has some of its rows, and the rows of the other inputs that can meet them (`best_bucket`) or
all. The text is the same in each part, but for a final ORDER BY and LIMIT, which a second statement applies to the rows
of all parts. Queries in FROM and WITH are stages, whose rows are read like those of an input (`take_out`). Whatever is
not proved to give the same rows is one task. The proof of a flat statement (`read_flat`) has three steps:

1. Rows meet in one way at most: GROUP BY, DISTINCT or windows. Their keys are exact, and so are the arguments of
   aggregates: a result depends only on which rows meet, not on their order.
2. The cut input is on no optional side of a join, so each row of the join comes from one of its rows. If rows meet, it
   is by keys with a column of this input: rows that have it equal are in one part.
   Without such a key the statement has one part with all rows, if another stage cuts an input.
3. The final ORDER BY compares all outputs, which are exact: their order is the same for any order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from sqlglot import exp

from osiris.sql.binding.bind import carried_exactly
from osiris.sql.binding.duck_types import quote_name
from osiris.sql.buckets import best_bucket
from osiris.sql.exactness import Exactness, arguments_of
from osiris.sql.flat import AGGREGATES, DIALECT, OF_WINDOWS, TAKEN, NotCut, Origin, Output, read_flat
from osiris.sql.nondeterminism.determinism import diagnostics
from osiris.sql.nondeterminism.rules import findings
from osiris.sql.safety.dialects import lower
from osiris.sql.safety.text import place
from osiris.sql.safety.tree import beginning_of, called, calls_any, canonical, deep_recursion, parse
from osiris.sql.stages import take_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from osiris.errors import Location
    from osiris.model import JsonValue, Schema
    from osiris.sql.flat import Flat, Item

_OF_NUMBERS = frozenset({"avg", "sum"})
_COUNTS = frozenset({"count", "count_if"})
_WITHOUT_GROUP = "aggregates without GROUP BY"
_BY_POSITION = frozenset({"first_value", "lag", "last_value", "lead", "ntile", "row_number"})
"""Window functions that tell rows with equal keys apart."""


class Feed(NamedTuple):
    """Which rows of an input a part has: any (`split`), those with its hash of `columns` (`bucket`), all (`whole`).

    Each row of an input that is `split` or in a `bucket` is in exactly one part. The parts keep the order of the rows.
    """

    how: Literal["split", "bucket", "whole"]
    columns: tuple[str, ...] = ()


class Stage(NamedTuple):
    """One SELECT: the `feeds` of the rows that it reads, by their names, and the text that each part runs.

    If all feeds are `whole`, there is one part. `schema` is that of its rows, `why` a sentence, and `place` where it
    begins in the statement.
    """

    feeds: Mapping[str, Feed]
    part: str
    why: str
    schema: Schema
    place: Location


class Cut(NamedTuple):
    """A statement in parts: the `feeds` of what it reads, by their names, and the text that each part runs.

    `stages` are the queries in FROM and WITH, by names of their own; each reads only inputs and earlier ones. `merge`
    is the text over `parts`, the rows of all parts, where the statement ends with ORDER BY or LIMIT. `why` is a
    sentence. The rows of at least one input are not all in one part.
    """

    feeds: Mapping[str, Feed]
    part: str
    merge: str | None
    why: str
    stages: Mapping[str, Stage]

    @property
    def reasons(self) -> str:
        """Return why the stages and the statement are cut as they are, in one line."""
        return " ".join([*(f"{name}: {stage.why}" for name, stage in self.stages.items()), self.why])


def feeds_to_json(select: Cut | Stage) -> dict[str, JsonValue]:
    """Return the feeds of a SELECT as JSON."""
    return {key: {"how": feed.how, "columns": [*feed.columns]} for key, feed in select.feeds.items()}


class OneTask(NamedTuple):
    """Why a statement is not cut: a sentence, and the place in its text."""

    reason: str
    place: Location | None


class _Keys(NamedTuple):
    """A clause by which rows meet: its words, its node, and its keys."""

    words: str
    node: exp.Expr
    values: list[exp.Expr]


def cut(
    sql: str, names: Mapping[str, str], schemas: Mapping[str, Schema], cut_input: str | None = None
) -> Cut | OneTask:
    """Return how a checked statement of DuckDB can be computed in parts.

    `sql` is the canonical text of a verdict, `names` maps each folded name in it to its input, and `schemas` has the
    inputs' columns. The input that is cut is `cut_input`, or of those that can be the first with the most in buckets.
    """
    with deep_recursion():
        tree = parse(sql, DIALECT.load_grammar())[0]
        by_name = {name: schemas[key] for name, key in names.items() if key in schemas}
        unsteady = diagnostics(findings(tree, sql, DIALECT), by_name, by_name)
        if unsteady:
            return OneTask(f"{unsteady[0].message.rstrip('.')}.", unsteady[0].location)
        try:
            return _Statement(sql, tree, {**names}, {**schemas}).cut(cut_input)
        except NotCut as answer:
            at = beginning_of(answer.node, sql)
            return OneTask(answer.reason, None if at is None else place(sql, at))


@dataclass(slots=True)
class _Statement:
    """A statement that is being cut. `names` and `schemas` are those of its inputs, and of the stages made so far.

    `wide` has the HUGEINT columns of these stages. `uncut` are the reasons of what has one part; `is_cut`: the rows of
    an input are not all in one.
    """

    sql: str
    tree: exp.Expr
    names: dict[str, str]
    schemas: dict[str, Schema]
    wide: dict[str, frozenset[str]] = field(default_factory=dict)
    uncut: list[NotCut] = field(default_factory=list)
    is_cut: bool = False

    def cut(self, cut_input: str | None) -> Cut:
        stages = {name: self._stage(name, query) for name, query in take_out(self.tree, self.names).items()}
        flat = read_flat(self.tree, self.names, self.schemas)
        exact = Exactness(flat)
        merge = _merge(flat, exact)
        feeds, why = self._fed(flat, exact, cut_input)
        if not self.is_cut:
            raise self.uncut[-1]
        for part in ("order", "limit", "offset") if merge else ():
            self.tree.set(part, None)
        part = self._text(flat) if merge or stages else self.sql
        return Cut(feeds, part, merge, why, stages)

    def _stage(self, name: str, query: exp.Expr) -> Stage:
        """Return a query in FROM as a stage, which is then known by its name."""
        flat = read_flat(query, self.names, self.schemas)
        counted = next((query.args[key] for key in ("limit", "offset", "order") if query.args.get(key)), None)
        if counted:
            raise NotCut(counted, f"{counted.key.upper()} of a query in FROM is not known to be the same in parts.")
        odd = next((each.value for each in flat.outputs if each.name is None or each.name in TAKEN), None)
        if odd:
            raise NotCut(odd, "A column of a query in FROM has no name, or one that DuckDB gives to something else.")
        feeds, why = self._fed(flat, Exactness(flat))
        text = self._text(flat)
        read = {item.node.name: self.schemas[item.input] for item in flat.items.values()}
        carried = carried_exactly(text, read)
        if carried is None or [lower(each.name) for each in carried.schema] != [each.name for each in flat.outputs]:
            raise NotCut(query, "A column of a query in FROM has a type that cannot be handed to the query around it.")
        self.names[name], self.schemas[name], self.wide[name] = name, *carried
        return Stage(feeds, text, why, carried.schema, place(self.sql, beginning_of(query, self.sql)))

    def _fed(self, flat: Flat, exact: Exactness, cut_input: str | None = None) -> tuple[dict[str, Feed], str]:
        """Return how all that a SELECT reads is fed, and why; if it has one part, the reason is noted."""
        clauses = _clauses(flat, exact)
        try:
            fed, why = _best_cut(flat, clauses, self.schemas, cut_input)
            self.is_cut |= not fed.keys() <= self.wide.keys()
        except NotCut as reason:
            self.uncut.append(reason)
            fed, why = dict[str, Feed](), reason.reason
        read = {item.input for item in flat.items.values()}
        return {each: Feed("whole") for each in self.schemas if each in read} | fed, why

    def _text(self, flat: Flat) -> str:
        """Return the text of a SELECT, which reads HUGEINT as its stages computed it."""
        for item in flat.items.values():
            if self.wide.get(item.input):
                item.node.replace(_cast_back(item.node, self.wide[item.input]))
        return _text(flat.tree)


def _cast_back(table: exp.Expr, wide: Iterable[str]) -> exp.Expr:
    """Return a query that reads a table with some of its columns cast to HUGEINT."""
    columns = ", ".join(f"CAST({name} AS HUGEINT) AS {name}" for name in map(quote_name, sorted(wide)))
    query = f"SELECT * REPLACE ({columns}) FROM {quote_name(table.name)}"
    alias = table.args.get("alias") or exp.TableAlias(this=table.this.copy())
    return exp.Subquery(this=parse(query, DIALECT.load_grammar())[0], alias=alias)


def _clauses(flat: Flat, exact: Exactness) -> list[_Keys]:
    """Return GROUP BY, DISTINCT or the windows; raises `NotCut` if a result depends on more than which rows meet."""
    tree = flat.tree
    calls = [node for node in tree.walk() if called(node) in AGGREGATES | OF_WINDOWS]
    for call in calls:
        _check_call(call, exact)
    clauses = [_Keys("PARTITION BY", each, each.args.get("partition_by") or []) for each in tree.find_all(exp.Window)]
    if tree.args.get("group"):
        clauses.append(_Keys("GROUP BY", tree.args["group"], _grouped(flat)))
    else:
        clauses += [_Keys(_WITHOUT_GROUP, call, []) for call in calls if not _is_window(call)]
    if tree.args.get("distinct"):
        clauses.append(_Keys("DISTINCT", tree, [each.value for each in flat.outputs]))
    used = sorted({each.words for each in clauses})
    if len(used) > 1:
        raise NotCut(tree, f"Rows meet in two ways: {' and '.join(used)}.")
    for clause, needed in (("having", "GROUP BY"), ("qualify", "PARTITION BY")):
        if tree.args.get(clause) and used != [needed]:
            raise NotCut(tree.args[clause], f"{clause.upper()} without {needed} compares all rows.")
    for keys in clauses:
        _check_exact(keys.values, f"a key of {keys.words}", exact)
        if isinstance(keys.node, exp.Window):
            _check_window(keys, flat, exact)
    return clauses


def _is_window(call: exp.Expr) -> bool:
    inner = call.parent if isinstance(call.parent, exp.Filter) else call
    return isinstance(inner.parent, exp.Window) and inner.arg_key == "this"


def _check_call(call: exp.Expr, exact: Exactness) -> None:
    """Refuse an aggregate or window function that depends on more than the values of the rows that meet."""
    name, arguments = called(call), arguments_of(call)
    if name in AGGREGATES - _COUNTS and len(arguments) != 1:
        raise NotCut(call, f"{name}() of several arguments is not known to be the same in parts.")
    if name not in _COUNTS:
        _check_exact(arguments, f"an argument of {name}()", exact)
    if name in _OF_NUMBERS and exact.kind(arguments[0]) not in ("bool", "integer", "decimal", "null"):
        raise NotCut(call, f"{name}() of what is no number is not known to be the same in parts.")


def _check_exact(values: Iterable[exp.Expr], what: str, exact: Exactness) -> None:
    for value in values:
        if not exact.kind(value):
            raise NotCut(value, f"Equal values of {what} are not known to be the same: those of floats can differ.")


def _check_window(keys: _Keys, flat: Flat, exact: Exactness) -> None:
    """Refuse a window whose result depends on the order of rows with equal keys, if these rows differ elsewhere."""
    window = keys.node
    order = [each.this for each in window.args["order"].expressions] if window.args.get("order") else []
    _check_exact(order, "a key of ORDER BY", exact)
    call = window.this.this if isinstance(window.this, exp.Filter) else window.this
    if called(call) not in _BY_POSITION and not window.args.get("spec"):
        return
    read = {meant for meant in flat.meaning.values() if isinstance(meant, Origin)}
    if not read <= {flat.origin(each) for each in (*keys.values, *order)}:
        what = f"{called(call)}()" if called(call) in _BY_POSITION else "A frame"
        raise NotCut(window, f"{what} depends on the order of rows with equal keys; add all columns to its ORDER BY.")


def _grouped(flat: Flat) -> list[exp.Expr]:
    """Return the keys of GROUP BY."""
    tree, group = flat.tree, flat.tree.args["group"]
    if any(each.is_star for each in tree.expressions):
        raise NotCut(group, "GROUP BY with * is not known to be the same in parts.")
    if not group.args.get("all"):
        return [_grouping(flat, key) for key in group.expressions]
    values = [each.value for each in flat.outputs]
    named = (flat.meaning.get(id(node)) for each in values for node in each.walk())
    if group.expressions or any(isinstance(meant, Output) for meant in named):
        raise NotCut(group, "GROUP BY ALL beside outputs that are computed from others is not followed.")
    return [each for each in values if not calls_any(each, AGGREGATES)]


def _grouping(flat: Flat, key: exp.Expr) -> exp.Expr:
    if isinstance(key, exp.Literal) and key.is_int and 0 < int(key.name) <= len(flat.outputs):
        return flat.outputs[int(key.name) - 1].value
    if not key.find(exp.Column):
        raise NotCut(key, "GROUP BY has a key without a column.")
    return key


def _best_cut(
    flat: Flat, clauses: list[_Keys], schemas: Mapping[str, Schema], cut_input: str | None
) -> tuple[dict[str, Feed], str]:
    """Return how inputs are fed if one that can be is cut, and why: the first with the most inputs in buckets.

    Raises the first reason if none can be cut.
    """
    refused, ways = list[NotCut](), list[tuple[dict[str, Feed], str]]()
    for name in (each for each in schemas if cut_input in (None, each)):
        read = [(alias, item) for alias, item in flat.items.items() if item.input == name]
        try:
            if read:
                _check_read(read, name)
                ways.append(_way(flat, read[0][0], clauses, schemas))
        except NotCut as reason:
            refused.append(reason)
    if not ways:
        raise refused[0] if refused else NotCut(flat.tree, f"It reads no input{f' {cut_input}' if cut_input else ''}.")
    return max(ways, key=lambda way: sum(feed.how == "bucket" for feed in way[0].values()))


def _check_read(read: list[tuple[str, Item]], name: str) -> None:
    for _, again in read[1:]:
        raise NotCut(again.node, f"It reads '{name}' twice, so that not all of its rows meet.")
    if read[0][1].is_optional:
        raise NotCut(read[0][1].node, f"'{name}' is on the optional side of a join, where each part would add rows.")


def _way(flat: Flat, alias: str, clauses: list[_Keys], schemas: Mapping[str, Schema]) -> tuple[dict[str, Feed], str]:
    """Return how the rows of an item and of those in buckets with it are fed, and why."""
    name = flat.items[alias].input
    common = set(flat.items[alias].types)
    for clause in clauses:
        common &= {each.column for each in map(flat.origin, clause.values) if each and each.item == alias}
        if clause.words == _WITHOUT_GROUP:
            raise NotCut(clause.node, f"{called(clause.node)}() without GROUP BY puts all rows together.")
        if not common:
            others = " that all of them have" if len(clauses) > 1 else ""
            raise NotCut(clause.node, f"The keys of {clause.words} have no column of '{name}'{others}.")
    bucket = best_bucket(flat, alias, [each for each in flat.items[alias].types if each in common])
    if not clauses and not bucket.others:
        return {name: Feed("split")}, f"Each output row depends on one row of '{name}'."
    feeds = dict[str, Feed]()
    for item, columns in ((alias, bucket.columns), *bucket.others.items()):
        source = flat.items[item].input
        spelled = {lower(each.name): each.name for each in schemas[source]}
        feeds[source] = Feed("bucket", tuple(spelled[each] for each in columns))
    return feeds, _why(feeds, clauses)


def _why(feeds: Mapping[str, Feed], clauses: list[_Keys]) -> str:
    """Return a sentence on inputs in buckets, of which the first is cut."""
    name, *others = (f"'{each}'" for each in feeds)
    columns = [f"'{each}'" for each in next(iter(feeds.values())).columns]
    by, them = " and ".join(columns), " and ".join(others)
    if not clauses:
        return f"{name} is joined with {them} by {by}."
    some = "a column" if len(columns) == 1 else "columns"
    joined = f", by which {them} {'is' if len(others) == 1 else 'are'} joined" if others else ""
    return f"The keys of {clauses[0].words} include {by}, {some} of {name}{joined}."


def _merge(flat: Flat, exact: Exactness) -> str | None:
    """Return the final ORDER BY, LIMIT and OFFSET as a text over `parts`, if there are any."""
    tree = flat.tree
    order, counts = tree.args.get("order"), [tree.args[key] for key in ("limit", "offset") if tree.args.get(key)]
    for count in counts:
        if order is None or not isinstance(count.expression, exp.Literal) or not count.expression.is_int:
            raise NotCut(count, f"{count.key.upper()} without ORDER BY, or of more than a number, counts all rows.")
        if count.key == "limit" and int(count.expression.name) == 0:
            raise NotCut(count, "LIMIT 0 needs no rows.")
    if order is None:
        return None
    keys = [(number, each) for each in order.expressions for number in _numbers(each.this, flat)]
    missing = {*range(1, len(flat.outputs) + 1)} - {number for number, _ in keys}
    if missing or any(each.name is None for each in flat.outputs):
        raise NotCut(order, "ORDER BY leaves out some outputs, or they have no names.")
    _check_exact([each.value for each in flat.outputs], "an output that ORDER BY compares", exact)
    merge = exp.select("*", dialect=DIALECT.load_grammar()).from_("parts")
    by_number = [exp.Ordered(**{**each.args, "this": exp.Literal.number(number)}) for number, each in keys]
    merge.set("order", exp.Order(expressions=by_number))
    for count in counts:
        merge.set(count.key, count.copy())
    return _text(merge)


def _numbers(key: exp.Expr, flat: Flat) -> list[int]:
    """Return the numbers of the outputs that a key of the final ORDER BY is."""
    numbers = range(1, len(flat.outputs) + 1)
    if isinstance(key, exp.Literal) and key.is_int and int(key.name) in numbers:
        return [int(key.name)]
    if isinstance(key, exp.Var) and key.name.upper() == "ALL":
        return [*numbers]
    if isinstance(key, exp.Column):
        flat.prove(key, is_sorted=True)
        meant = flat.meaning[id(key)]
        for number, output in zip(numbers, flat.outputs, strict=True):
            if meant is output or (isinstance(meant, Origin) and flat.origin(output.value) == meant):
                return [number]
    raise NotCut(key, "ORDER BY has a key that is no output column by its name or number.")


def _text(tree: exp.Expr) -> str:
    steady = canonical(tree, DIALECT.load_grammar())
    if steady is None:
        raise ValueError("a part of a canonical statement has no canonical text")
    return steady.text
