"""The statements, one per request; the database itself produces the text of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.sql import SQL, Composed, Identifier, Literal

from .errors import unknown_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .catalog import Function, Relation
    from .query import Query

SOURCE, BODY = Identifier("pgrst_source"), Identifier("pgrst_body")
_BODIES = {
    "array": "coalesce(json_agg(_t), '[]')::text",
    "object": "coalesce((json_agg(_t)->0)::text, 'null')",
    "scalar": "coalesce((json_agg(_t.pgrst_scalar)->0)::text, 'null')",
    "scalars": "coalesce(json_agg(_t.pgrst_scalar), '[]')::text",
    "csv": (
        "(SELECT coalesce(string_agg(k, ','), '') FROM (SELECT json_object_keys(r) AS k FROM"
        " (SELECT row_to_json(h) AS r FROM pgrst_page h LIMIT 1) s) a) || E'\\n' ||"
        " coalesce(string_agg(substring(_t::text, 2, length(_t::text) - 2), E'\\n'), '')"
    ),
    "none": "''",
}


@dataclass(frozen=True)
class Payload:
    """Rows to write: the received JSON (or that of a CSV), and the names of its columns."""

    text: str
    columns: list[str]
    rows: int
    defaults: bool = False


def name_of(thing: Relation | Function) -> Identifier:
    return Identifier(thing.schema, thing.name)


def answer(
    source: Composed, page: Composed, form: str, *, stripped: bool = False, total: Composed | None = None
) -> Composed:
    """Wrap a source into the statement that returns one row: total, number of rows of the page, its text."""
    body = _BODIES[form]
    if stripped:
        body = body.replace("json_agg(_t)", "json_strip_nulls(json_agg(_t))")
    counted = total if total is not None else SQL("NULL::bigint")
    return SQL(
        "WITH pgrst_source AS ({}), pgrst_page AS ({}) SELECT {}, count(_t), {} FROM (SELECT * FROM pgrst_page) _t"
    ).format(source, page, counted, SQL(body))


def rows_of(origin: Composed | Identifier, table: Composed | Identifier, query: Query, limit: int | None) -> Composed:
    """Select from an origin what the query asks for."""
    cut = SQL("" if limit is None else f" LIMIT {limit}") + SQL(f" OFFSET {query.offset}" if query.offset else "")
    selected, where, order = query.selected(table), query.filter(table), query.sort(table)
    return SQL("SELECT {} FROM {}{}{}{}").format(selected, origin, where, order, cut)


def count_of(origin: Composed | Identifier, table: Composed | Identifier, query: Query, most: int | None) -> Composed:
    cut = SQL("" if most is None else f" LIMIT {most}")
    return SQL("(SELECT count(*) FROM (SELECT 1 FROM {}{}{}) _c)").format(origin, query.filter(table), cut)


def insert(relation: Relation, query: Query, payload: Payload, resolution: str | None, returned: Composed) -> Composed:
    """Insert the payload, completely or not at all."""
    table = name_of(relation)
    keys = query.on_conflict or relation.keys
    if not payload.columns:
        return SQL("INSERT INTO {} DEFAULT VALUES RETURNING {}").format(table, returned)
    names = SQL(", ").join(map(Identifier, payload.columns))
    picked = SQL(", ").join([SQL("{}.{}").format(BODY, Identifier(name)) for name in payload.columns])
    conflict = _conflict(keys, payload.columns, resolution) if resolution and keys else SQL("")
    source = _records(relation, payload)
    text = "INSERT INTO {} ({}) SELECT {} FROM {}{} RETURNING {}"
    return SQL(text).format(table, names, picked, source, conflict, returned)


def update(relation: Relation, query: Query, payload: Payload, returned: Composed) -> Composed:
    table = name_of(relation)
    pairs = [SQL("{} = {}.{}").format(Identifier(name), BODY, Identifier(name)) for name in payload.columns]
    source = SQL("(SELECT * FROM {} LIMIT 1) {}").format(_records(relation, payload), BODY)
    text = "UPDATE {} SET {} FROM {}{} RETURNING {}"
    return SQL(text).format(table, SQL(", ").join(pairs), source, query.filter(table), returned)


def delete(relation: Relation, query: Query, returned: Composed) -> Composed:
    table = name_of(relation)
    return SQL("DELETE FROM {}{} RETURNING {}").format(table, query.filter(table), returned)


def returning(relation: Relation, query: Query, wanted: str, *, merging: bool) -> Composed:
    """What a write gives back, and whether each row is new.

    Only `return=representation`, `headers-only` and a merge need the right to read: PostgREST asks for no more, so that
    a role that may only insert can. Whether a row is new is known of tables, and taken for granted of views.
    """
    table = name_of(relation)
    names = relation.keys if wanted == "headers-only" else []
    if wanted == "representation":
        fields = [item.field for item in query.items] + [term.field for term in query.order]
        names = list(relation.columns) if None in fields else list(dict.fromkeys(one.name for one in fields if one))
    inserted = SQL(
        "({}.xmax = 0) AS pgrst_inserted" if merging and relation.kind == "r" else "true AS pgrst_inserted"
    ).format(table)
    return SQL(", ").join([*(SQL("{}.{}").format(table, Identifier(name)) for name in names), inserted])


def written(relation: Relation, query: Query, wanted: str) -> Composed:
    """Return the page of a write: its rows as they are now, or their keys, or only their number."""
    items = [Composed([SQL("pgrst_inserted")])]
    if wanted == "headers-only":
        items = [Composed([Identifier(key)]) for key in relation.keys]
    if wanted == "representation":
        every = [Composed([Identifier(name)]) for name in relation.columns]
        items = [part for item in query.items for part in (every if item.field is None else [item.sql(SOURCE)])]
    order = query.sort(SOURCE) if wanted == "representation" else SQL("")
    return SQL("SELECT {} FROM pgrst_source{}").format(SQL(", ").join(items), order)


def call(function: Function, body: str | None, given: Sequence[tuple[str, str]]) -> Composed:
    """Call a function with a body of JSON, or with texts by name."""
    name = name_of(function)
    if function.takes_body and body is not None:
        kind = next(iter(function.arguments.values()))
        return _called(function, SQL("{}({}::{})").format(name, Literal(body), SQL(kind)), SQL(""))
    if body is None:
        texts = [
            SQL("{} := {}::{}").format(Identifier(key), Literal(value), SQL(function.arguments[key]))
            for key, value in given
        ]
        return _called(function, SQL("{}({})").format(name, SQL(", ").join(texts)), SQL(""))
    used = [key for key, _ in given]
    if not used:
        return _called(function, SQL("{}()").format(name), SQL(""))
    shape = SQL(", ").join([SQL("{} {}").format(Identifier(key), SQL(function.arguments[key])) for key in used])
    source = SQL("json_to_record({}) AS {}({}), LATERAL ").format(Literal(body), BODY, shape)
    texts = [SQL("{} := {}.{}").format(Identifier(key), BODY, Identifier(key)) for key in used]
    return _called(function, SQL("{}({})").format(name, SQL(", ").join(texts)), source)


def _called(function: Function, text: Composed, before: Composed | SQL) -> Composed:
    if function.composite:
        return SQL("SELECT pgrst_call.* FROM {}{} AS pgrst_call").format(before, text)
    return SQL("SELECT pgrst_call.pgrst_scalar FROM {}{} AS pgrst_call(pgrst_scalar)").format(before, text)


def _conflict(keys: list[str], columns: list[str], resolution: str) -> Composed:
    target = SQL(", ").join(map(Identifier, keys))
    if resolution == "ignore-duplicates":
        return SQL(" ON CONFLICT ({}) DO NOTHING").format(target)
    pairs = [SQL("{} = EXCLUDED.{}").format(Identifier(name), Identifier(name)) for name in columns]
    return SQL(" ON CONFLICT ({}) DO UPDATE SET {}").format(target, SQL(", ").join(pairs))


def _records(relation: Relation, payload: Payload) -> Composed:
    """The payload as a set of records, typed by the schema cache."""
    shape = []
    for name in payload.columns:
        if name not in relation.columns:
            raise unknown_column(relation.name, name)
        shape.append(SQL("{} {}").format(Identifier(name), SQL(relation.columns[name].type)))
    given = Literal(payload.text)
    plain = SQL(
        "CASE WHEN json_typeof({0}::json) = 'array' THEN {0}::json ELSE json_build_array({0}::json) END"
    ).format(given)
    if not payload.defaults:
        return SQL("json_to_recordset({}) AS {}({})").format(plain, BODY, SQL(", ").join(shape))
    known = [(name, relation.columns[name].fallback) for name in payload.columns]
    texts = [SQL("{}, {}").format(Literal(name), SQL(text)) for name, text in known if text]
    filled = SQL("(SELECT jsonb_agg(jsonb_build_object({}) || _e) FROM jsonb_array_elements(({})::jsonb) _e)").format(
        SQL(", ").join(texts), plain
    )
    return SQL("jsonb_to_recordset({}) AS {}({})").format(filled, BODY, SQL(", ").join(shape))
