"""The statements with which rows are written, alike in both embedded databases; every name in them is quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def create_table(table: str, types: Mapping[str, str], key: Sequence[str]) -> str:
    """Return the statement that makes a table, unless it is there; `table` is quoted, `types` are by column."""
    parts = [f"{quote_name(name)} {kind}{' NOT NULL' if name in key else ''}" for name, kind in types.items()]
    if key:
        parts.append(f"PRIMARY KEY ({_listed(key)})")
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(parts)})"


def insert_rows(table: str, columns: Sequence[str], source: str, verb: str = "INSERT") -> str:
    """Return the statement that inserts what `source` gives; `verb` may say what becomes of conflicts."""
    return f"{verb} INTO {table} ({_listed(columns)}) {source}"


def on_conflict(columns: Sequence[str], key: Sequence[str], *, whole: bool) -> str:
    """Return what follows an insertion, so that a row whose `key` is there takes the place of that row.

    `whole`: the key is written too, as two that are equal under a collation may differ; without it, and without other
    columns, there is nothing to do.
    """
    names = [quote_name(name) for name in columns if whole or name not in key]
    action = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names)}" if names else "NOTHING"
    return f" ON CONFLICT ({_listed(key)}) DO {action}"


def repeated_key(table: str, key: Sequence[str], collations: Mapping[str, str] | None = None) -> str:
    """Return the query that gives one key that stands in several rows of a table, and in how many.

    Keys are compared under the `collations` given by column, else under those of the table.
    """
    by = (f"{quote_name(name)} COLLATE {quote_name(order)}" for name, order in (collations or {}).items())
    groups = ", ".join(by) or _listed(key)
    shown = ", ".join(f"min({quote_name(name)})" for name in key)
    return f"SELECT count(*), {shown} FROM {table} GROUP BY {groups} HAVING count(*) > 1 ORDER BY 2 LIMIT 1"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quote_name, names))
