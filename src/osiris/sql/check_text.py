"""The check of SQL: may this text run, and in which form.

text → size, depth, characters → tokens → tree → allowed nodes, functions, relations, parameters → text from the tree.
Only that last text is ever executed, so whatever a parser could have misread is gone from it. Everything the check
says of a statement, it says of the tree that this text reads as.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, NamedTuple

from osiris.errors import Diagnostic, diagnostic, sort_diagnostics
from osiris.sql.safety.dialects import DIALECTS, load_allowed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlglot import Token, exp

    from osiris.model import JsonValue
    from osiris.sql.lineage.flow import Flow
    from osiris.sql.nondeterminism.determinism import Finding
    from osiris.sql.safety.dialects import Dialect
    from osiris.sql.safety.tree import Steady
    from osiris.sql.scope import TableNames

    Relations = Collection[str] | Mapping[str, Collection[str] | None] | None


_NOT_FORESEEN = (AttributeError, LookupError, TypeError, ValueError)
"""What a tree raises that the parser builds otherwise than anybody foresaw: such a text is refused."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one text: whether it may run, and the only form in which it may.

    `canonical` is None when it may not. Lines and columns of `diagnostics` count from 1 inside the text. `relations`
    tells how often each relation is read, under the spelling in which it was declared. `ordered`: the outermost query
    has an ORDER BY, and nothing is compared under a collation. `keeps_order`: it passes the rows of at most one
    relation through in the order in which they come, `keeps_row_count`: it gives one row for each of them. `flow` tells
    the way of its columns, and `findings` what in the text as it was written may give another result in another run;
    None if nobody looked. `tree` is what `canonical` reads as, where it was just read: nobody may change it.
    """

    ok: bool
    canonical: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    relations: dict[str, int] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()
    ordered: bool = False
    keeps_order: bool = False
    keeps_row_count: bool = False
    flow: Flow | None = None
    findings: tuple[Finding, ...] | None = ()
    tree: exp.Expr | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, JsonValue]:
        """Return all of it but the tree as JSON, for `from_json`."""
        return {
            **{each.name: getattr(self, each.name) for each in fields(self) if each.compare},
            "diagnostics": [item.to_json() for item in self.diagnostics],
            "parameters": sorted(self.parameters),
            "flow": None if self.flow is None else self.flow.to_json(),
            "findings": [finding.to_json() for finding in self.findings or ()],
        }

    @classmethod
    def from_json(cls, data: dict[str, JsonValue]) -> Verdict:
        """Return the verdict that `to_json` wrote."""
        from osiris.sql.lineage.flow import Flow
        from osiris.sql.nondeterminism.determinism import Finding

        parts = {
            "diagnostics": tuple(Diagnostic.from_json(item) for item in data["diagnostics"]),
            "parameters": frozenset(data["parameters"]),
            "flow": None if data["flow"] is None else Flow.from_json(data["flow"]),
            "findings": tuple(Finding.from_json(item) for item in data["findings"]),
        }
        return cls(**{**data, **parts})


def check(
    sql: str,
    dialect: str,
    *,
    relations: Relations,
    parameters: Collection[str] = (),
    functions: Collection[str] = (),
) -> Verdict:
    """Return the verdict on one SQL text.

    `relations` are the names that it may read (None: any plain name that no system table has), as a mapping with their
    columns (None where they are not known). On a server a name is the one in its catalogue, `orders` or `sales.orders`:
    both, where both may be written. `parameters` are the names it may use as `$name`. `functions` are scalar and
    aggregate functions of the user's that it may call beside those of the dialect. Never raises for a bad text: the
    diagnostics say what is wrong with it (SQL001 to SQL008, and SQL009 where a column is not one of its relation),
    and SQL010 that nothing is known of the dialect.
    """
    row = DIALECTS.get(dialect)
    if row is None:
        return _no([diagnostic("SQL010", dialect=dialect, known=", ".join(sorted(DIALECTS)))])
    from osiris.sql.safety import tree as trees

    try:
        with trees.deep_recursion():
            return _check(sql, row, _Given(relations, parameters, functions))
    except RecursionError:
        return _no([diagnostic("SQL008", limit="the allowed number of", unit="levels of nesting")])
    except _NOT_FORESEEN:
        return _no([diagnostic("SQL001", problem="its form is not supported", hint="write it in a simpler form")])


class _Given(NamedTuple):
    """What a statement may use beside what its dialect has; see `check`."""

    relations: Relations
    parameters: Collection[str]
    functions: Collection[str]


def _no(problems: Iterable[Diagnostic]) -> Verdict:
    return Verdict(ok=False, diagnostics=tuple(sort_diagnostics(problems)))


def _check(sql: str, row: Dialect, given: _Given) -> Verdict:
    from sqlglot.errors import ParseError, UnsupportedError

    from osiris.sql.safety import tree as trees
    from osiris.sql.safety.preflight import split

    grammar = row.load_grammar()
    ambiguous = sorted(load_allowed(row).functions.intersection(given.functions))
    tokens, problems = split(sql, grammar)
    problems = problems or [diagnostic("SQL032", name=name) for name in ambiguous]
    if problems:
        return _no(problems)
    try:
        return _check_query(sql, tokens, row, given)
    except (ParseError, UnsupportedError) as error:
        return _no([trees.problem_of(error, sql)])


def _check_query(sql: str, tokens: list[Token], row: Dialect, given: _Given) -> Verdict:
    """Check the tree as it was written, then the text made from it and the tree that this text reads as."""
    from osiris.sql.nondeterminism.rules import findings
    from osiris.sql.safety import tree as trees
    from osiris.sql.safety.preflight import check_split

    grammar = row.load_grammar()
    statements = trees.parse(sql, grammar, tokens)
    problem = _not_one_query(statements, sql)
    if problem:
        return _no([problem])
    written = trees.Steady(sql, tokens, statements[0])
    judged = _judged(written, row, given)
    if judged.problems:
        return _no(judged.problems)
    found = findings(written.tree, sql, row, judged.names)
    is_renamed = "named by their text" in row.traits
    if is_renamed:
        trees.name_outputs(written.tree)
    steady = trees.canonical(written.tree, grammar, None if is_renamed else written)
    if steady is None:
        return _no([diagnostic("SQL001", problem="it is ambiguous", hint="write it in a simpler form")])
    if steady is not written:
        problems = check_split(steady.text, steady.tokens)
        judged = judged._replace(problems=problems) if problems else _judged(steady, row, given)
    return _no(judged.problems) if judged.problems else _passed(steady, row, given, judged, found)


def _passed(read: Steady, row: Dialect, given: _Given, judged: _Judged, found: tuple[Finding, ...]) -> Verdict:
    """Return the verdict on a steady text with which nothing is wrong."""
    from osiris.sql.lineage.flow_reader import flow_of
    from osiris.sql.nondeterminism.row_order import is_ordered
    from osiris.sql.plain_query import keeps_order, keeps_row_count

    tree, aggregates = read.tree, load_allowed(row).aggregates
    return Verdict(
        ok=True,
        canonical=read.text,
        relations=judged.reads,
        parameters=judged.parameters,
        ordered=is_ordered(tree),
        keeps_order=keeps_order(tree, aggregates.union(given.functions)),
        keeps_row_count=keeps_row_count(tree, aggregates),
        flow=flow_of(tree, row.name, judged.names),
        findings=found,
        tree=tree,
    )


def _not_one_query(statements: list[exp.Expr], sql: str) -> Diagnostic | None:
    from osiris.sql.safety import tree as trees
    from osiris.sql.safety.text import place
    from osiris.sql.scope import QUERIES

    if not statements:
        return diagnostic("SQL003", what="an empty statement")
    if len(statements) > 1:
        return diagnostic("SQL002", at=place(sql, trees.offset_of(statements[1])))
    if not isinstance(statements[0], QUERIES):
        first = sql.split(maxsplit=1)[0].upper()[:20]
        word = statements[0].key.upper() if first == "WITH" or not first.isalpha() else first
        return diagnostic("SQL003", at=place(sql, 0), what=word)
    return None


class _Judged(NamedTuple):
    """What is wrong with a tree, how often it reads each relation, its parameters, and what its tables are."""

    problems: list[Diagnostic]
    reads: dict[str, int]
    parameters: frozenset[str]
    names: TableNames


def _judged(read: Steady, row: Dialect, given: _Given) -> _Judged:
    from osiris.sql.safety import tree as trees
    from osiris.sql.safety.relations import count_reads, unknown_columns, unknown_members
    from osiris.sql.scope import nodes_of

    sql, tree, nodes = read.text, read.tree, nodes_of(read.tree)
    problems = list(trees.refused(nodes, sql, row, load_allowed(row), given.functions))
    reads, bad_relations, names = count_reads(tree, sql, row, given.relations)
    used, bad_parameters = trees.parameters(nodes, sql, given.parameters)
    problems += bad_relations + bad_parameters
    catalogue = given.relations if isinstance(given.relations, Mapping) else {}
    if "members are calls" in row.traits:
        problems += unknown_members(tree, sql, names, catalogue)
    if catalogue and not problems:
        problems += unknown_columns(tree, sql, names, catalogue)
    return _Judged(problems, reads, used, names)
