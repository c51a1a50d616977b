"""What steps read and write, by the names that OpenLineage gives to datasets.

Sources: the naming rules of the specification (postgres, mysql, file), and those of its dbt integration (duckdb). Hosts
and folders are in these names, because they are how tools tell datasets apart; nothing secret is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from osiris.compare.lineage import label_of
from osiris.urls import local_path, stored_as

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.model import JsonValue

Fields = Mapping[str, "JsonValue"]

_PORTS = {"postgres": 5432, "mysql": 3306}
_IN_A_FILE = ("duckdb", "sqlite")
_STORES = {"s3": "s3", "az": "wasbs", "gs": "gs"}
_SPOKEN = {"supabase": "postgres"}
"""Families whose databases are those of another."""


class Dataset(NamedTuple):
    """A dataset by namespace and name; `queried`: a query reads it, so that its own columns are not known."""

    namespace: str
    name: str
    queried: bool = False


def datasets_of(
    step: Fields, connections: Mapping[str, Fields], root: Path, bindings: Mapping[str, str]
) -> Iterator[Dataset]:
    """Yield what a step of a plan reads or writes.

    `connections` has the fields of each as far as they are known, `bindings` the values of `${run.…}`.
    """
    config, reference = step["config"], step["connection"]
    family = reference.removeprefix("@").partition(".")[0] if reference else step["component"].partition(".")[0]
    family = _SPOKEN.get(family, family)
    fields = connections.get(reference, {})
    if isinstance(config.get("path"), str) and family not in (*_PORTS, *_IN_A_FILE):
        if url := stored_as(_bound(config["path"], bindings), reference, fields):
            account = f"@{fields.get('account')}.blob.core.windows.net" if url.scheme == "az" else ""
            yield Dataset(f"{_STORES[url.scheme]}://{url.bucket}{account}", url.key)
            return
        yield Dataset(
            "file", _absolute(root, str(fields.get("base_dir") or ""), local_path(_bound(config["path"], bindings)))
        )
        return
    tables = [config["table"]] if isinstance(config.get("table"), str) else list(_queried(step))
    for table in tables:
        place = _place(family, fields, root, config.get("schema"))
        name = _bound(table, bindings)
        namespace, prefix = place or (reference or "osiris", "")
        yield Dataset(namespace, _qualified(prefix, name), "table" not in config)
    if not tables:
        yield Dataset(reference or "osiris", label_of(step, connections))


def _queried(step: Fields) -> Iterator[str]:
    """Yield the tables that the query of a step names."""
    from osiris.sql import check

    for key, dialect in step["sql"].items():
        yield from sorted(check(step["config"][key], dialect, relations=None).relations)


def _place(family: str, fields: Fields, root: Path, schema: JsonValue) -> tuple[str, str] | None:
    """Return the namespace of a database, and what stands before the names of its tables; None if it is not known."""
    if family in _IN_A_FILE:
        file = next((fields[key] for key in ("path", "database", "file") if fields.get(key)), None)
        return (f"{family}://{_absolute(root, '', str(file))}", str(schema or "main")) if file else None
    if family not in _PORTS:
        return None
    if not fields.get("host") and not fields.get("database"):
        return None
    namespace = f"{family}://{fields.get('host', 'localhost')}:{fields.get('port', _PORTS[family])}"
    inside = schema or fields.get("schema")
    database = fields.get("database", "")
    if family == "mysql":
        return namespace, str(inside or database)
    return namespace, f"{database}.{inside or 'public'}"


def _qualified(prefix: str, table: str) -> str:
    """Put before a table's name what it does not say itself."""
    missing = prefix.split(".")[: -table.count(".") or None] if prefix else []
    return ".".join([*missing, table])


def _absolute(root: Path, base: str, path: str) -> str:
    return os.path.normpath(root / base / path)


def _bound(text: str, bindings: Mapping[str, str]) -> str:
    for name, value in bindings.items():
        text = text.replace(f"${{{name}}}", value)
    return text
