"""What a SELECT gives: its columns, as a server describes them, and whether it may run, if a user wrote it."""

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


class NotCarried(Exception):
    """A type that has no exact form here, with the reason, and what to do instead."""

    def __init__(self, reason: str, instead: str) -> None:
        super().__init__(reason)
        self.reason, self.instead = reason, instead


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of what is read: what later steps see of it, and how its values come, in the family's own words."""

    field: Field
    carried: Any


def result_columns(
    found: Iterable[tuple[str, str, Callable[[], Any]]], needed: Mapping[str, bool]
) -> tuple[ResultColumn, ...]:
    """Return the columns that a server tells of: each a name, its type there, and what tells how it is carried.

    `needed` tells the columns that hold no NULL. Fails with DAT006 for columns that are not carried, all at once, and
    with SQL009 where two have one name.
    """
    columns, problems = [], []
    for name, kind, carry in found:
        try:
            carried = carry()
        except NotCarried as refused:
            instead = refused.instead.replace("{name}", name)
            problems.append(diagnostic("DAT006", hint=instead, column=name, type=kind, reason=refused.reason))
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
    """Check a query against the tables that are there: a plan is only text, and this is where it runs.

    `homes` are all tables by the names that mean them, and `columns(tables)` those of the ones that are named. Fails
    with SQL001 to SQL009.
    """
    parameters = mentioned_parameters(query)
    verdict = check(query, dialect, relations=homes.keys(), parameters=parameters, functions=functions)
    if verdict.ok:
        tables = sorted({name.rpartition(".")[2] for name in verdict.relations})
        known = {**dict.fromkeys(homes), **columns(tables)}
        verdict = check(query, dialect, relations=known, parameters=parameters, functions=functions)
    if not verdict.ok:
        raise_all(verdict.diagnostics)
    return verdict


def by_spelling(own_schema: str, tables: Iterable[tuple[str, str, T]]) -> dict[str, T]:
    """Return what is known of tables, each a schema, a name and that, by all names that mean them.

    Those in the session's own schema are also meant by a name without it.
    """
    found: dict[str, T] = {}
    for schema, name, known in tables:
        found[f"{schema}.{name}"] = known
        if schema == own_schema:
            found[name] = known
    return found


def query_source(
    verdict: Verdict,
    dialect: str,
    homes: Mapping[str, Name],
    describe: Callable[[str], Source],
    tells_apart: Callable[[Source, bool], bool],
) -> Source:
    """Return what a checked query gives; the order of one that is ordered is made total.

    That is done where `tells_apart(source, total)` is true: the server can put all of its rows in an order; `total`
    tells that the query itself does so. `describe` gives the source of a canonical text.
    """
    text = str(verdict.canonical)
    relations = tuple(homes[name] for name in verdict.relations)
    source = replace(describe(text), relations=relations)
    if not verdict.ordered:
        return source
    total = with_total_order(text, [column.name for column in source.schema], dialect)
    if not tells_apart(source, total == text):
        return source
    return replace(source if total == text else describe(total), order="fixed", relations=relations)


def bound_values(verdict: Verdict, bindings: Mapping[str, JsonValue | Secret]) -> dict[str, JsonValue]:
    """Return the values of a query's parameters, those of secrets too."""
    values = {name: bindings[name] for name in verdict.parameters}
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}


def filled(text: str, dialect: str, values: Mapping[str, JsonValue], literal: Callable[[JsonValue], str]) -> str:
    """Return a canonical text with `values` in the places of its parameters, spelled by `literal`."""
    from sqlglot.tokenizer_core import TokenType

    if not values:
        return text
    parts, done = [], 0
    tokens = DIALECTS[dialect].load_grammar()().tokenize(text)
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        # The name is part of the token, or behind it.
        last = after if token.text == "$" and after and after.start == token.end + 1 else token
        name = last.text.removeprefix("$")
        if token.token_type == TokenType.PARAMETER and name in values:
            parts += [text[done : token.start], literal(values[name])]
            done = last.end + 1
    return "".join((*parts, text[done:]))
