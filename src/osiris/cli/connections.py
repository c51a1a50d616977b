"""`osiris connections` and `discover`: list and test connections, show their tables."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, choice, console, flag, noun, opened, valued
from osiris.cli.render import Answer
from osiris.errors import fail
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from osiris.api import Discovery, Examined
    from osiris.cli.render import Line
    from osiris.model import JsonValue


DOES_NOT_WORK = 3
"""Exit code if a connection does not work, for any reason."""

_NEARLY_ALL = 99.5
_SHORT = ("CON030", "DRV020")
"""Codes of a role that lacks privileges."""


@answers("list")
def list_connections() -> Answer:
    """List connections, their fields and which variables are set.

    Values of environment variables are never shown.
    """
    declared = api.list_connections(opened())
    text: list[Line] = []
    for item in declared:
        text.append([("bold", item["reference"]), ("", "  default" if item["default"] else "")])
        text += [f"  {name}: {value}" for name, value in item["fields"].items()]
        text += [f"  {name} is {'set' if is_set else 'not set'}" for name, is_set in item["variables"].items()]
        text += [f"  {reference} is read from its store when it is needed" for reference in item["stores"]]
    return Answer({"connections": declared}, text or ["no connections are declared in osiris_connections.yaml"])


@answers(
    "doctor",
    click.argument("names", metavar="[@FAMILY.ALIAS]...", nargs=-1),
    flag("--grants", "Print SQL that creates roles with just the privileges of a reader and of a writer."),
)
def doctor(names: tuple[str, ...], grants: bool) -> Answer:
    """Test connections and the privileges of their users.

    The default is all connections. Each user is classified as a reader, a writer, or too powerful; for object stores
    only listing is tested. Nothing is changed. Exits 3 if a connection does not work.

    """
    examined = api.examine_connections(opened(), names)
    text = [line for each in examined for line in _examined_lines(each, grants=grants)]
    broken = any(each.works is False for each in examined)
    return Answer(
        {"connections": [each.to_json() for each in examined]},
        text or ["no connections are declared in osiris_connections.yaml"],
        [item for each in examined for item in each.diagnostics],
        exit_code=DOES_NOT_WORK if broken else None,
    )


def _examined_lines(each: Examined, *, grants: bool) -> Iterator[Line]:
    verdict, style = {True: ("works", "ok"), False: ("does not work", "error"), None: ("not tried", "dim")}[each.works]
    health = each.health or {}
    grade = f", {health['grade']}" if health.get("grade") else ""
    used = f"  used by pipelines to {' and '.join(each.uses)}" if each.uses else ""
    yield [("bold", each.connection), ("", "  "), (style, verdict), ("", grade), ("dim", used)]
    facts = {name: value for name, value in health.get("facts", {}).items() if value is not None}
    yield from ([("dim", f"  {name.replace('_', ' ')}: "), ("", _shown(value))] for name, value in facts.items())
    yield from (f"  {reason}" for reason in health.get("reasons", ()))
    yield from _scripts(each, health.get("scripts", {}), grants=grants)


def _scripts(each: Examined, scripts: Mapping[str, Sequence[str]], *, grants: bool) -> Iterator[Line]:
    """Yield the SQL that creates roles: the requested ones, or the one that the connection needs."""
    for role, script in scripts.items():
        if grants or role == _needed(each):
            yield [("dim", f"  SQL for a {role} role:")]
            yield from (f"    {line}" for line in script)


def _needed(each: Examined) -> str | None:
    """Return the role that a connection should use instead of its own; None if its own is fine."""
    codes = {item.code for item in each.diagnostics}
    if "CON020" in codes or ("write" in each.uses and codes & {"CON018", *_SHORT}):
        return "writer"
    return "reader" if codes & {"CON018", "CON019", *_SHORT} else None


def _shown(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


WITH_COLUMNS, LISTED, CLOSED = 30, 100, 5
"""Maximum number of tables printed with columns, by name, and of those without privilege."""

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))

TARGET = click.argument("target", metavar="@FAMILY.ALIAS|PATH|GLOB")
TABLE = valued(
    "-t --table tables", "TABLE", "Show only this table, or tables matching a pattern; repeatable.", multiple=True
)
COLUMN = valued("--column columns", "NAME", "Profile only this column; repeatable.", multiple=True)
PROFILE = flag("--profile", "Profile a sample of the rows, at most 20 s per table.")
SAMPLES = choice(
    "--samples",
    "none masked raw",
    "Show five rows: masked hides personal data and free text, raw only secrets.",
    default="none",
)
REFRESH = flag("--refresh", "Ignore cached discovery and read everything again.")


@answers("discover", TARGET, TABLE, COLUMN, PROFILE, SAMPLES, REFRESH)
def discover(
    target: str, tables: tuple[str, ...], columns: tuple[str, ...], profile: bool, samples: str, refresh: bool
) -> Answer:
    """Show the tables and columns of a connection or file.

    Shows columns, keys and row estimates; --profile and --samples also read rows. A table of another schema is
    SCHEMA.TABLE. Results are cached until the source changes, and compile uses them. Nothing in the source is changed;
    queries time out after 20 s.

    """
    if columns and not (profile or samples != "none"):
        fail("PRJ008", problem="--column selects columns to profile", hint="add --profile or --samples")
    discovery = api.discover(
        opened(), target, tables, columns=columns, profile=profile, samples=samples, refresh=refresh
    )
    data = _scrubbed(discovery.to_json(), console().clean)
    return Answer(
        data, list(_lines(data)), discovery.diagnostics, list(_next(discovery, data, tables, profile=profile))
    )


def _scrubbed(data: dict[str, JsonValue], clean: Callable[[JsonValue], JsonValue]) -> dict[str, JsonValue]:
    """Return a discovery with `clean` applied to its data: rows, profiles, comments and defaults."""

    def cleaned(item: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        return {**item, **{key: clean(item[key]) for key in ("profile", "comment", "default") if item.get(key)}}

    tables = [
        {**cleaned(table), "columns": table["columns"] and [*map(cleaned, table["columns"])]}
        for table in data["tables"]
    ]
    return {**data, "tables": tables}


def _lines(data: Mapping[str, JsonValue]) -> Iterator[Line]:
    tables = data["tables"]
    yield [("bold", data["source"]["target"]), ("", f"  {data['product']}, {data['source']['label']}")]
    where = f" in schema {data['schema']}" if len(data["schemas"]) > 1 else ""
    yield [("dim", f"{count(len(tables), 'table')}{where}; {_age(data)}")]
    yield from _other_schemas(data)
    detailed = len(tables) <= WITH_COLUMNS and data["detail"] == "columns"
    for table in tables if detailed else tables[:LISTED]:
        yield from _table(table, detailed=detailed)
    if not detailed and len(tables) > LISTED:
        yield [("dim", f"… and {count(len(tables) - LISTED, 'more table')}; narrow with --table 'PATTERN'")]
    yield from _closed(data["closed"])


def _other_schemas(data: Mapping[str, JsonValue]) -> Iterator[Line]:
    others = [f"{name} ({number:,})" for name, number in data["schemas"].items() if name != data["schema"] and number]
    if others:
        yield [("dim", f"other schemas: {', '.join(others)}")]


def _age(data: Mapping[str, JsonValue]) -> str:
    if data["recalled"]:
        return f"from cache: read {data['looked_at']}, verified unchanged {data['checked_at']}"
    return f"read {data['looked_at']}"


def _closed(closed: Sequence[Mapping[str, JsonValue]]) -> Iterator[Line]:
    """Yield what was left out, and why."""
    for item in closed[:CLOSED]:
        yield [("warning", "left out: "), ("", f"{item['name']} ({item['reason'] or 'no privilege to read it'})")]
    if len(closed) > CLOSED:
        yield [("dim", f"… and {count(len(closed) - CLOSED, 'more table')} without privilege to read")]


def _table(table: Mapping[str, JsonValue], *, detailed: bool) -> Iterator[Line]:
    facts = ", ".join(filter(None, _table_facts(table)))
    comment = f'  "{table["comment"]}"' if table["comment"] else ""
    yield [("bold", table["name"]), ("", f" ({facts})" if facts else ""), ("dim", comment)]
    if not detailed:
        return
    for column in table["columns"] or ():
        yield f"  {_column(table, column)}"
    if table["closed"]:
        yield [("warning", "  left out: "), ("", f"{', '.join(table['closed'])} (no privilege to read them)")]
    yield from _samples(table)


def _table_facts(table: Mapping[str, JsonValue]) -> list[str | None]:
    """Return the facts of a table other than its columns."""
    return [
        table["kind"] if table["kind"] != "table" else None,
        _rows(table),
        _size(table["bytes"]),
        f"pk {', '.join(table['primary_key'])}" if table["primary_key"] else None,
        *(f"unique {', '.join(names)}" for names in table["unique"] if names != table["primary_key"]),
        _profiled(table["profile"]),
    ]


def _rows(table: Mapping[str, JsonValue]) -> str | None:
    profile = table["profile"]
    if profile and profile["whole"]:
        return f"{profile['rows']:,} rows"
    return None if table["rows"] is None else f"≈{table['rows']:,} rows"


def _profiled(profile: Mapping[str, JsonValue] | None) -> str | None:
    if profile is None:
        return None
    then = f" at {profile['made_at']}; rows may have changed since" if profile["recalled"] else ""
    return f"profile of {profile['method']}{then}"


def _size(size: int | None) -> str | None:
    if size is None:
        return None
    unit, factor = next(((unit, factor) for unit, factor in _UNITS if size >= factor), ("B", 1))
    return f"{size / factor:.3g} {unit}"


def _column(table: Mapping[str, JsonValue], column: Mapping[str, JsonValue]) -> str:
    keys = [key for key in table["foreign_keys"] if key["columns"] == [column["name"]]]
    parts = [
        column["name"],
        *_column_type(column),
        *([] if column["default"] is None else [f"= {column['default']}"]),
        *(f"→ {key['table']}({', '.join(key['to'])})" for key in keys),
        *_profile(table["profile"] or {}, column["name"]),
        *([f"not supported: {column['problem']}"] if column["problem"] else []),
        *([f'"{column["comment"]}"'] if column["comment"] else []),
    ]
    return " ".join(parts)


def _column_type(column: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the type of a column, its source type if the name differs, and `not null`."""
    own, source = column["type"], column["source_type"]
    yield own or source
    if own and source and source.lower() != own:
        yield f"[{source}]"
    if not column["nullable"]:
        yield "not null"


def _profile(profile: Mapping[str, JsonValue], name: str) -> Iterator[str]:
    """Yield the profile of a column."""
    values = profile.get("columns", {}).get(name)
    if not values:
        return
    if values["null_share"]:
        yield f"{_share(values['null_share'])} null"
    if "personal" in values:
        yield f"<{values['personal']}>"
    yield from _values(values, "" if profile["whole"] else "≥")
    if "patterns" in values:
        yield f"like {_shares(values['patterns'], 'pattern')}"
    elif "length" in values and not {"min", "values"} & values.keys():
        yield f"length {values['length']['min']}..{values['length']['max']}"


def _values(values: Mapping[str, JsonValue], least: str) -> Iterator[str]:
    """Yield the values of a column, or its range and distinct count; `least` precedes an incomplete count."""
    if "values" in values:
        yield f"{{{_shares(values['values'], 'value')}}}"
        return
    if "min" in values:
        yield f"{values['min']}..{values['max']}"
    if "distinct" in values:
        yield f"{least}{values['distinct']:,} distinct"


def _shares(entries: Sequence[Mapping[str, JsonValue]], key: str) -> str:
    return ", ".join(f"{each[key]} {_share(each['share'])}" for each in entries)


def _share(share: float) -> str:
    """Return a share in percent with two digits; one just below 1 with more, so that it is not shown as 100%."""
    percent = 100 * share
    return f"{percent:.2g}%" if percent < _NEARLY_ALL else f"{math.floor(100 * percent) / 100:g}%"


def _samples(table: Mapping[str, JsonValue]) -> Iterator[Line]:
    samples = (table["profile"] or {}).get("samples")
    if samples:
        yield [("dim", f"  {samples['mode']} rows:")]
        for row in samples["rows"]:
            yield "    " + " | ".join("NULL" if value is None else str(value) for value in row)


def _next(
    discovery: Discovery, data: Mapping[str, JsonValue], tables: Sequence[str], *, profile: bool
) -> Iterator[str]:
    """Yield the commands that make sense next."""
    named = [table["name"] for table in data["tables"]]
    names = [name for name in named if not name.startswith("_osiris_")] or named
    target = discovery.target
    if not tables and len(names) > WITH_COLUMNS:
        yield shlex.join(["osiris", "discover", target, "--table", names[0]])
    elif names and not profile:
        table = [] if names == [target] else ["--table", names[0]]  # a file is its own table
        yield shlex.join(["osiris", "discover", target, *table, "--profile"])


connections = noun("connections", "List and test connections.", list_connections, doctor)
