"""How a statement can be computed in parts whose rows together are its rows; or why it is one task.

One input is cut: each part has some of its rows, and all rows of the other inputs. The text is the same in each part,
but for a final ORDER BY and LIMIT, which a second statement applies to the rows of all parts. Whatever is not proved
to give the same rows is one task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from sqlglot import exp

from osiris.sql.cut_keys import buckets
from osiris.sql.exactness import Exactness, name_of
from osiris.sql.nondeterminism.determinism import diagnostics
from osiris.sql.nondeterminism.rules import findings
from osiris.sql.row_wise import Reason, read_statement
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import called, canonical, deep_recursion
from osiris.sql.scope import folded_name, nodes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.errors import Location
    from osiris.model import Schema
    from osiris.sql.row_wise import Statement

_DIALECT = DIALECTS["duckdb"]
_ENDING = ("order", "limit", "offset")


class Feed(NamedTuple):
    """Which rows of an input a part has: any (`split`), those with its hash of `columns` (`bucket`), all (`whole`).

    Each row of an input that is `split` or in a `bucket` is in exactly one part. The parts keep the order of the rows.
    """

    how: Literal["split", "bucket", "whole"]
    columns: tuple[str, ...] = ()


class Cut(NamedTuple):
    """A statement in parts: the `feeds` of the inputs that it reads, by their names, and the text that each part runs.

    `merge` is the text over `parts`, the rows of all parts, where the statement ends with ORDER BY or LIMIT. Its order
    is as total as that of the statement. `why` is a sentence.
    """

    feeds: Mapping[str, Feed]
    part: str
    merge: str | None
    why: str


class OneTask(NamedTuple):
    """Why a statement is not cut: a sentence, and the place in its text."""

    reason: str
    place: Location | None


def cut(
    sql: str, names: Mapping[str, str], schemas: Mapping[str, Schema], cut_input: str | None = None
) -> Cut | OneTask:
    """Return how a checked statement of DuckDB can be computed in parts.

    `sql` is the canonical text of a verdict, `names` maps each folded name in it to its input, and `schemas` has the
    inputs' columns. The input that is cut is `cut_input`, or the first one that can be.
    """
    with deep_recursion():
        statement = read_statement(sql)
        by_name = {name: schemas[key] for name, key in names.items() if key in schemas}
        exact = Exactness.of(statement.names, by_name)
        first = next(_of_all(statement, exact), None) or _unsteady(statement, sql, by_name)
        if isinstance(first, OneTask):
            return first
        if first:
            return _one_task(first, sql)
        merge = _take_ending(statement.tree)
        if isinstance(merge, Reason):
            return _one_task(merge, sql)
        part = _text(statement.tree) if merge else sql
        read = {names[folded_name(each, _DIALECT)] for each in statement.relations}
        refused: list[Reason] = []
        for name in (each for each in schemas if each in read and cut_input in (None, each)):
            answer = _cut_of(statement, name, names, exact)
            if isinstance(answer, Reason):
                refused.append(answer)
            else:
                feeds = {each: Feed("whole") for each in schemas if each in read} | {name: answer[0]}
                return Cut(feeds, part, merge, answer[1])
    if refused:
        return _one_task(refused[0], sql)
    return OneTask(f"It does not read '{cut_input}'." if cut_input else "It reads no input.", None)


def _cut_of(statement: Statement, name: str, names: Mapping[str, str], exact: Exactness) -> tuple[Feed, str] | Reason:
    """Return how one input is fed, and why the rows of all parts are then those of the statement; or why not."""
    reads = statement.reads({each for each, key in names.items() if key == name})
    inner = next(_sorted_inside(statement, reads[0]), None)
    if inner:
        return inner
    if next(statement.problems(reads), None) is None:
        return Feed("split"), f"Each output row depends on one row of '{name}'."
    problem = next(statement.problems(reads, gathers=True), None)
    if problem:
        return problem
    schema = exact.schemas[folded_name(reads[0], _DIALECT)]
    keys = buckets(statement, reads[0], schema, exact)
    if isinstance(keys, Reason):
        return keys
    words, columns = " and ".join(keys.words), " and ".join(f"'{each}'" for each in keys.columns)
    some = "a column" if len(keys.columns) == 1 else "columns"
    return Feed("bucket", keys.columns), f"The keys of {words} include {columns}, {some} of '{name}'."


def _sorted_inside(statement: Statement, read: exp.Table) -> Iterator[Reason]:
    for node, _ in statement.path(read):
        if node.args.get("order"):
            yield Reason(node.args["order"], "ORDER", "ORDER BY in an inner query orders all rows")


def _of_all(statement: Statement, exact: Exactness) -> Iterator[Reason]:
    """Yield why a statement is one task whichever input is cut."""
    for table in statement.relations:
        if folded_name(table, _DIALECT) not in exact.schemas:
            yield Reason(table, "", f"nothing is known of '{table.name}'")
    for node in nodes_of(statement.tree):
        if isinstance(node, exp.Collate):
            yield Reason(node, "", "unequal texts are equal under COLLATE")
        elif isinstance(node, exp.DataType) and node.is_type(exp.DataType.Type.ENUM):
            yield Reason(node, "", "the values of an ENUM leave a part as texts, which have another order")
        elif isinstance(node, exp.Column) and exact.is_doubtful(node):
            yield Reason(node, "", f"a subquery reads '{node.name}' of the query around it, whose equals can differ")


def _unsteady(statement: Statement, sql: str, by_name: Mapping[str, Schema]) -> OneTask | None:
    """Return what lets two runs of the statement differ: then two parts can, too."""
    unsteady = diagnostics(findings(statement.tree, sql, _DIALECT, statement.names), by_name, by_name)
    return OneTask(f"{unsteady[0].message.rstrip('.')}.", unsteady[0].location) if unsteady else None


def _one_task(reason: Reason, sql: str) -> OneTask:
    problem = reason.problem(sql)
    is_call = "(" in problem.reason.split()[0]
    first = problem.reason[:1] if is_call else problem.reason[:1].upper()
    return OneTask(f"{first}{problem.reason[1:]}.", problem.place)


def _take_ending(tree: exp.Expr) -> str | Reason | None:
    """Take ORDER BY, LIMIT and OFFSET from the end of a tree, and return them as a text over `parts`, if there are any.

    A reason where the rows of all parts do not have what they read.
    """
    ending: dict[str, exp.Expr] = {key: tree.args[key] for key in _ENDING if tree.args.get(key)}
    problem = next(_not_to_merge(tree, ending), None)
    if problem or not ending:
        return problem
    merge = exp.select("*", dialect=_DIALECT.load_grammar()).from_("parts")
    keys = [_by_output(each, tree) for each in ending["order"].expressions]
    merge.set("order", exp.Order(expressions=keys))
    for key, node in ending.items():
        tree.set(key, None)
        if key != "order":
            merge.set(key, node.copy())
    return _text(merge)


def _text(tree: exp.Expr) -> str:
    steady = canonical(tree, _DIALECT.load_grammar())
    if steady is None:
        raise ValueError("a part of a canonical statement has no canonical text")
    return steady.text


def _not_to_merge(tree: exp.Expr, ending: Mapping[str, exp.Expr]) -> Iterator[Reason]:
    """Yield why the end of a statement cannot be applied to the rows of all parts."""
    for word, node in ((key.upper(), node) for key, node in ending.items() if key != "order"):
        counted = node.args.get("expression")
        has_more = any(value for part, value in node.args.items() if part != "expression")
        if has_more or not isinstance(counted, exp.Literal) or not counted.is_int:
            yield Reason(node, "", f"{word} is more than a number")
        elif "order" not in ending:
            yield Reason(node, "", f"{word} without ORDER BY")
    for each in ending["order"].expressions if "order" in ending else ():
        if _by_output(each, tree) is None:
            yield Reason(each, "", "ORDER BY has a key that is no output column by its name or number")


def _by_output(ordered: exp.Expr, tree: exp.Expr) -> exp.Expr | None:
    """Return a key of the final ORDER BY in terms of the output columns; None if it is none of them."""
    key, select = ordered.this, tree.unnest()
    is_number = isinstance(key, exp.Literal) and key.is_int
    if is_number or (isinstance(key, (exp.Var, exp.All)) and key.name.upper() in ("ALL", "")):
        return ordered.copy()
    is_column = isinstance(key, exp.Column) and isinstance(key.this, exp.Identifier)
    if not is_column or not isinstance(select, exp.Select):
        return None
    by_output = ordered.copy()
    if not key.args.get("table"):
        return by_output if _is_output(_DIALECT.fold(key.this), select.expressions) else None
    same = [place for place, each in enumerate(select.expressions, 1) if _is_same(each.unalias(), key)]
    if not same or any(map(_spreads, select.expressions)):
        return None
    by_output.set("this", exp.Literal.number(same[0]))
    return by_output


def _is_output(name: str, outputs: list[exp.Expr]) -> bool:
    """Tell whether a name in ORDER BY is certainly that of one output column."""
    named = [each for each in outputs if isinstance(each, (exp.Alias, exp.Column)) and not _spreads(each)]
    if any(not each.is_star for each in outputs if _spreads(each)):
        return False
    times = [name_of(each, _DIALECT.fold) for each in named].count(name)
    stars = [each for each in outputs if each.is_star]
    return times == 1 or (not times and len(stars) == 1 and stars[0] == exp.Star())


def _spreads(output: exp.Expr) -> bool:
    """Tell whether an output may be several columns."""
    return output.is_star or any(called(node) in ("columns", "unnest") for node in output.walk())


def _is_same(output: exp.Expr, key: exp.Expr) -> bool:
    """Tell whether an output is the column, of an item of FROM, that a key names."""
    if not isinstance(output, exp.Column) or not output.args.get("table") or output.is_star:
        return False
    return all(_DIALECT.fold(output.args[part]) == _DIALECT.fold(key.args[part]) for part in ("table", "this"))
