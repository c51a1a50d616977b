"""The SQL check: whether a text may run, and in which form.

text → size, depth, characters → tokens → tree → allowed nodes, functions, relations, parameters → text from the tree.
Only that last text is ever executed, so whatever a parser could have misread is gone from it. All findings refer to the
tree that this text parses to.
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
    from osiris.sql.safety.tree import StableText
    from osiris.sql.scope import TableNames

    Relations = Collection[str] | Mapping[str, Collection[str] | None] | None


_UNEXPECTED = (AttributeError, LookupError, TypeError, ValueError)
"""Raised for trees of an unexpected form: such a text is rejected."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one text: whether it may run, and the only form in which it may.

    `canonical` is None if it may not run. Lines and columns of `diagnostics` count from 1 inside the text. `relations`
    maps each relation, as declared, to how often it is read. `ordered`: the outermost query has an ORDER BY, and
    nothing is compared under a collation. `keeps_order`: rows of at most one relation pass through in their order;
    `keeps_row_count`: there is one output row for each of them. `flow` is the column flow, and `findings` are the
    sources of nondeterminism in the original text; None if not computed. `tree` is the parse tree of `canonical` if it
    is at hand; do not modify it.
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

    `relations` are the names that it may read (None: any plain name except system tables), as a mapping with their
    columns (None where unknown). On a server a name is the one in its catalogue, `orders` or `sales.orders`: both,
    where both may be written. `parameters` are the names it may use as `$name`. `functions` are the user's scalar and
    aggregate functions that it may call besides those of the dialect. Never raises for a bad text: the diagnostics say
    what is wrong with it (SQL001 to SQL008, SQL009 for an unknown column, SQL010 for an unknown dialect). Fails with
    SQL033 if sqlglot is compiled.
    """
    row = DIALECTS.get(dialect)
    if row is None:
        return _no([diagnostic("SQL010", dialect=dialect, known=", ".join(sorted(DIALECTS)))])
    from osiris.sql.safety import tree as trees

    trees.refuse_compiled()
    try:
        with trees.deep_recursion():
            return _check(sql, row, _Usable(relations, parameters, functions))
    except RecursionError:
        return _no([diagnostic("SQL008", limit="the allowed number of", unit="levels of nesting")])
    except _UNEXPECTED:
        return _no([diagnostic("SQL001", problem="its form is not supported", hint="write it in a simpler form")])


class _Usable(NamedTuple):
    """What a statement may use besides what its dialect has; see `check`."""

    relations: Relations
    parameters: Collection[str]
    functions: Collection[str]


def _no(problems: Iterable[Diagnostic]) -> Verdict:
    return Verdict(ok=False, diagnostics=tuple(sort_diagnostics(problems)))


def _check(sql: str, row: Dialect, scope: _Usable) -> Verdict:
    from sqlglot.errors import ParseError, UnsupportedError

    from osiris.sql.safety import tree as trees
    from osiris.sql.safety.preflight import split

    grammar = row.load_grammar()
    ambiguous = sorted(load_allowed(row).functions.intersection(scope.functions))
    tokens, problems = split(sql, grammar)
    problems = problems or [diagnostic("SQL032", name=name) for name in ambiguous]
    if problems:
        return _no(problems)
    try:
        return _check_query(sql, tokens, row, scope)
    except (ParseError, UnsupportedError) as error:
        return _no([trees.problem_of(error, sql)])


def _check_query(sql: str, tokens: list[Token], row: Dialect, scope: _Usable) -> Verdict:
    """Check the tree as written, then the canonical text and the tree that it parses to."""
    from osiris.sql.nondeterminism.rules import findings
    from osiris.sql.safety import tree as trees
    from osiris.sql.safety.preflight import check_split

    grammar = row.load_grammar()
    statements = trees.parse(sql, grammar, tokens)
    problem = _not_one_query(statements, sql)
    if problem:
        return _no([problem])
    source = trees.StableText(sql, tokens, statements[0])
    judged = _judge(source, row, scope)
    if judged.problems:
        return _no(judged.problems)
    unsteady = findings(source.tree, sql, row, judged.names)
    is_renamed = "named by their text" in row.traits
    if is_renamed:
        trees.name_outputs(source.tree)
    steady = trees.canonical(source.tree, grammar, None if is_renamed else source)
    if steady is None:
        return _no([diagnostic("SQL001", problem="it is ambiguous", hint="write it in a simpler form")])
    if steady is not source:
        problems = check_split(steady.text, steady.tokens)
        judged = judged._replace(problems=problems) if problems else _judge(steady, row, scope)
    return _no(judged.problems) if judged.problems else _accept(steady, row, scope, judged, unsteady)


def _accept(
    statement: StableText, row: Dialect, scope: _Usable, judged: _Judged, unsteady: tuple[Finding, ...]
) -> Verdict:
    """Return the verdict on a stable text without problems."""
    from osiris.sql.lineage.flow_reader import flow_of
    from osiris.sql.nondeterminism.row_order import is_ordered
    from osiris.sql.plain_query import keeps_order, keeps_row_count

    tree, aggregates = statement.tree, load_allowed(row).aggregates
    return Verdict(
        ok=True,
        canonical=statement.text,
        relations=judged.reads,
        parameters=judged.parameters,
        ordered=is_ordered(tree),
        keeps_order=keeps_order(tree, aggregates.union(scope.functions)),
        keeps_row_count=keeps_row_count(tree, aggregates),
        flow=flow_of(tree, row.name, judged.names),
        findings=unsteady,
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
    """The problems of a tree, how often it reads each relation, its parameters, and its table names."""

    problems: list[Diagnostic]
    reads: dict[str, int]
    parameters: frozenset[str]
    names: TableNames


def _judge(statement: StableText, row: Dialect, scope: _Usable) -> _Judged:
    from osiris.sql.safety import tree as trees
    from osiris.sql.safety.relations import count_reads, unknown_columns, unknown_members
    from osiris.sql.scope import nodes_of

    sql, tree, nodes = statement.text, statement.tree, nodes_of(statement.tree)
    problems = list(trees.disallowed(nodes, sql, row, load_allowed(row), scope.functions))
    reads, bad_relations, names = count_reads(tree, sql, row, scope.relations)
    used, bad_parameters = trees.parameters(nodes, sql, scope.parameters)
    problems += bad_relations + bad_parameters
    catalogue = scope.relations if isinstance(scope.relations, Mapping) else {}
    if "members are calls" in row.traits:
        problems += unknown_members(tree, sql, names, catalogue)
    if catalogue and not problems:
        problems += unknown_columns(tree, sql, names, catalogue)
    return _Judged(problems, reads, used, names)
