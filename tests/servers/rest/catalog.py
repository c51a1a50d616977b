"""The schema cache: the tables, views and functions of the exposed schemas."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from .errors import ApiError

if TYPE_CHECKING:
    import psycopg

_COLUMNS = """
WITH RECURSIVE under AS (
  SELECT oid AS domain, oid, typbasetype FROM pg_type
  UNION ALL SELECT u.domain, k.oid, k.typbasetype FROM under u JOIN pg_type k ON k.oid = u.typbasetype
), base AS (SELECT domain, oid FROM under WHERE typbasetype = 0)
SELECT n.nspname AS schema, c.relname AS relation, c.relkind::text AS kind, obj_description(c.oid) AS about,
  a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
  CASE WHEN b.typnamespace = 'pg_catalog'::regnamespace THEN format_type(b.oid, NULL)
    ELSE format_type(a.atttypid, a.atttypmod) END AS plain,
  NOT (a.attnotnull OR t.typtype = 'd' AND t.typnotnull) AS nullable, col_description(c.oid, a.attnum) AS column_about,
  CASE WHEN a.attidentity <> '' THEN
      format('nextval(%%L)', pg_get_serial_sequence(format('%%I.%%I', n.nspname, c.relname), a.attname))
    WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS fallback,
  information_schema._pg_char_max_length(
    information_schema._pg_truetypid(a.*, t.*), information_schema._pg_truetypmod(a.*, t.*)) AS length,
  ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = b.oid ORDER BY e.enumsortorder) AS labels,
  EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attnum = ANY (k.conkey))
    AS key,
  (SELECT ARRAY[f.relname::text, b.attname::text] FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
    JOIN pg_attribute b ON b.attrelid = f.oid AND b.attnum = k.confkey[1]
    WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum] ORDER BY k.conname LIMIT 1) AS target
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
  JOIN pg_type t ON t.oid = a.atttypid JOIN base ON base.domain = t.oid JOIN pg_type b ON b.oid = base.oid
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY n.nspname, c.relname, a.attnum
"""
_FUNCTIONS = """
SELECT n.nspname AS schema, p.proname AS name, p.proretset AS many, p.provolatile::text AS volatility,
  coalesce(p.proargnames, '{}') AS names, p.proargmodes::text[] AS modes, p.pronargdefaults AS optional,
  ARRAY(SELECT format_type(u.type, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u(type, n) ORDER BY u.n)
    AS types,
  p.prorettype = 'void'::regtype AS nothing, r.typtype = 'c' OR r.oid = 'record'::regtype AS composite
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_type r ON r.oid = p.prorettype
WHERE n.nspname = ANY (%s) AND p.prokind = 'f' AND r.typtype IN ('b', 'c', 'd', 'e', 'r', 'm', 'p')
  AND p.prorettype <> 'trigger'::regtype
ORDER BY p.oid
"""
_ALIKE = 0.75
_JSON = (["json"], ["jsonb"])


@dataclass(frozen=True)
class Column:
    """A column, as PostgREST knows it."""

    name: str
    type: str
    plain: str
    nullable: bool
    about: str | None
    fallback: str | None
    length: int | None
    labels: list[str]
    key: bool
    target: list[str] | None


@dataclass(frozen=True)
class Relation:
    """A table or a view."""

    schema: str
    name: str
    kind: str
    about: str | None
    columns: dict[str, Column] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        return [column.name for column in self.columns.values() if column.key]


@dataclass(frozen=True)
class Function:
    """A function that `/rpc/` can call: its arguments by name, and how many of the last have defaults."""

    schema: str
    name: str
    arguments: dict[str, str]
    optional: int
    many: bool
    nothing: bool
    composite: bool
    volatile: bool

    def takes(self, names: set[str]) -> bool:
        known = list(self.arguments)
        return set(known[: len(known) - self.optional]) <= names <= set(known)

    @property
    def takes_body(self) -> bool:
        """Whether its only argument has no name and is JSON: then it gets the whole body."""
        return list(self.arguments) == [""] and list(self.arguments.values()) in _JSON


@dataclass
class Catalog:
    """All that the cache holds."""

    relations: dict[tuple[str, str], Relation]
    functions: list[Function]

    def relation(self, schema: str, name: str) -> Relation:
        if found := self.relations.get((schema, name)):
            return found
        names = [name for owner, name in self.relations if owner == schema]
        close = difflib.get_close_matches(name, names, 1, _ALIKE)
        hint = f"Perhaps you meant the table '{schema}.{close[0]}'" if close else None
        raise ApiError(404, "PGRST205", f"Could not find the table '{schema}.{name}' in the schema cache", None, hint)

    def function(self, schema: str, name: str, arguments: set[str], *, post: bool) -> Function:
        """Choose the function by its arguments' names; `arguments` of a GET may include filters, which are ignored."""
        named = [one for one in self.functions if (one.schema, one.name) == (schema, name)]
        fitting = [one for one in named if one.takes(arguments if post else arguments & set(one.arguments))]
        if not fitting and post:
            fitting = [one for one in named if one.takes_body]
        if len(fitting) > 1 and not post:
            most = max(len(arguments & set(one.arguments)) for one in fitting)
            fitting = [one for one in fitting if len(arguments & set(one.arguments)) == most]
        if len(fitting) == 1:
            return fitting[0]
        raise _ambiguous(fitting) if fitting else _no_function(schema, name, sorted(arguments), post=post)


def _ambiguous(fitting: list[Function]) -> ApiError:
    shown = []
    for one in fitting:
        arguments = ", ".join(f"{name} => {kind}" for name, kind in one.arguments.items())
        shown.append(f"{one.schema}.{one.name}({arguments})")
    message = f"Could not choose the best candidate function between: {', '.join(shown)}"
    advice = (
        "Try renaming the parameters or the function itself in the database so function overloading can be resolved"
    )
    return ApiError(300, "PGRST203", message, None, advice)


def _no_function(schema: str, name: str, arguments: list[str], *, post: bool) -> ApiError:
    listed = ", ".join(arguments)
    shown = f"({listed})" if arguments else " without parameters"
    searched = f" with parameter{'s' if len(arguments) > 1 else ''} {listed}" if arguments else " without parameters"
    other = " or with a single unnamed json/jsonb parameter" if post else ""
    details = (
        f"Searched for the function {schema}.{name}{searched}{other}, but no matches were found in the schema cache."
    )
    message = f"Could not find the function {schema}.{name}{shown} in the schema cache"
    return ApiError(404, "PGRST202", message, details)


def load_catalog(connection: psycopg.Connection, schemas: list[str]) -> Catalog:
    """Read the schemas, outside of any request's role."""
    relations: dict[tuple[str, str], Relation] = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(_COLUMNS, [schemas]):
            place = row.pop("schema"), row.pop("relation")
            kind, about = row.pop("kind"), row.pop("about")
            relation = relations.setdefault(place, Relation(*place, kind, about))
            relation.columns[row["name"]] = Column(about=row.pop("column_about"), **row)
        functions = [_function(row) for row in cursor.execute(_FUNCTIONS, [schemas])]
    return Catalog(relations, functions)


def _function(row: dict[str, Any]) -> Function:
    modes, types = row["modes"], row["types"]
    names = row["names"] or [""] * len(modes or types)
    taken = [name for name, mode in zip(names, modes, strict=True) if mode in "ibv"] if modes else names
    arguments = dict(zip(taken, types, strict=False))
    volatile = row["volatility"] == "v"
    flags = (row["many"], row["nothing"], row["composite"], volatile)
    return Function(row["schema"], row["name"], arguments, row["optional"], *flags)
