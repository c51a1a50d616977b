"""The result of a SELECT: its columns as a server describes them, and the check of a user's query."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from osiris.errors import diagnostic, fail, raise_all
from osiris.model import Field
from osiris.secret import Secret
from osiris.sql import check
from osiris.sql.nondeterminism.row_order import with_total_order
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.names import mentioned_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from osiris.families.sql.database import Name, Source
    from osiris.model import JsonValue
    from osiris.sql import Verdict


T = TypeVar("T")


class UnsupportedType(Exception):
    """A database type without an exact Osiris type: the reason, and what to do instead."""

    def __init__(self, reason: str, instead: str) -> None:
        super().__init__(reason)
        self.reason, self.instead = reason, instead


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result: its field for later steps, and how its values are transferred (the family's own type)."""

    field: Field
    carried: Any


def result_columns(
    described: Iterable[tuple[str, str, Callable[[], Any]]], needed: Mapping[str, bool]
) -> tuple[ResultColumn, ...]:
    """Return the columns of a result; `described` has the name of each, its database type, and a function to carry it.

    That function raises UnsupportedType. `needed` is true for columns without NULL. Fails with DAT006 for all
    unsupported columns at once, with SQL009 if two have the same name.
    """
    columns, problems = [], []
    for name, kind, carry in described:
        try:
            carried = carry()
        except UnsupportedType as refused:
            hint = refused.instead.replace("{name}", name)
            problems.append(diagnostic("DAT006", hint=hint, column=name, type=kind, reason=refused.reason))
            continue
        columns.append(ResultColumn(Field(name, carried.type, not needed.get(name)), carried))
    if problems:
        raise_all(problems)
    for name, count in Counter(column.field.name for column in columns).items():
        if count > 1:
            fail("SQL009", problem=f"two columns are named '{name}'", hint="rename one of them with AS")
    return tuple(columns)


def checked_query(
    query: str,
    dialect: str,
    homes: Mapping[str, Name],
    columns: Callable[[Sequence[str]], Mapping[str, Sequence[str]]],
    functions: Collection[str] = (),
) -> Verdict:
    """Check a query against the existing tables, once more before it runs: a plan is only text.

    `homes` are all tables by their possible names; `columns(tables)` returns the columns of tables, also by possible
    names. Fails with SQL001 to SQL009.
    """
    parameters = mentioned_parameters(query)
    verdict = check(query, dialect, relations=homes.keys(), parameters=parameters, functions=functions)
    if verdict.ok:
        tables = sorted({name.rpartition(".")[2] for name in verdict.relations})
        relations = {**dict.fromkeys(homes), **columns(tables)}
        verdict = check(query, dialect, relations=relations, parameters=parameters, functions=functions)
    if not verdict.ok:
        raise_all(verdict.diagnostics)
    return verdict


def by_name(own_schema: str, tables: Iterable[tuple[str, str, T]]) -> dict[str, T]:
    """Return the values of tables, given as (schema, name, value), by all names of the tables.

    Tables in the session's own schema also have an unqualified name.
    """
    named: dict[str, T] = {}
    for schema, name, value in tables:
        named[f"{schema}.{name}"] = value
        if schema == own_schema:
            named[name] = value
    return named


def query_source(
    verdict: Verdict,
    dialect: str,
    homes: Mapping[str, Name],
    describe: Callable[[str], Source],
    is_distinct: Callable[[Source, bool], bool],
) -> Source:
    """Return the source of a checked query; an ORDER BY is extended to a total order.

    That is done if `is_distinct(source, total)` is true: the server can order all of its rows; `total` says that the
    query already does. `describe` returns the source of a canonical text.
    """
    text = str(verdict.canonical)
    relations = tuple(homes[name] for name in verdict.relations)
    source = replace(describe(text), relations=relations)
    if not verdict.ordered:
        return source
    total = with_total_order(text, [column.name for column in source.schema], dialect)
    if not is_distinct(source, total == text):
        return source
    return replace(source if total == text else describe(total), order="fixed", relations=relations)


def bound_values(verdict: Verdict, bindings: Mapping[str, JsonValue | Secret]) -> dict[str, JsonValue]:
    """Return the values of a query's parameters; secrets are revealed."""
    values = {name: bindings[name] for name in verdict.parameters}
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}


def filled(text: str, dialect: str, values: Mapping[str, JsonValue], literal: Callable[[JsonValue], str]) -> str:
    """Return a canonical text with its parameters replaced by `values`, formatted by `literal`."""
    from sqlglot.tokenizer_core import TokenType

    if not values:
        return text
    parts, done = [], 0
    tokens = DIALECTS[dialect].load_grammar()().tokenize(text)
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        # The name is part of the token or of the next one.
        last = after if token.text == "$" and after and after.start == token.end + 1 else token
        name = last.text.removeprefix("$")
        if token.token_type == TokenType.PARAMETER and name in values:
            parts += [text[done : token.start], literal(values[name])]
            done = last.end + 1
    return "".join((*parts, text[done:]))
