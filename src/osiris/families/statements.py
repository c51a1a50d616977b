"""The statements with which rows are written, alike in both embedded databases; every name in them is quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.sql.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def create_table(table: str, types: Mapping[str, str], key: Sequence[str]) -> str:
    """Return the statement that makes a table, unless it is there; `table` is quoted, `types` are by column."""
    parts = [f"{quote_name(name)} {kind}{' NOT NULL' if name in key else ''}" for name, kind in types.items()]
    if key:
        parts.append(f"PRIMARY KEY ({_listed(key)})")
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(parts)})"


def insert_rows(table: str, columns: Sequence[str], source: str, key: Sequence[str] = ()) -> str:
    """Return the statement that inserts what `source` gives; a row whose `key` is there replaces that row's columns."""
    insert = f"INSERT INTO {table} ({_listed(columns)}) {source}"
    if not key:
        return insert
    rest = [quote_name(name) for name in columns if name not in key]
    action = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in rest)}" if rest else "NOTHING"
    return f"{insert} ON CONFLICT ({_listed(key)}) DO {action}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quote_name, names))
