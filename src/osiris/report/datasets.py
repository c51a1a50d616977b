"""What steps read and write, by the names that OpenLineage gives to datasets.

Sources: the naming rules of the specification (postgres, mysql, file), and those of its dbt integration (duckdb). Hosts
and folders are in these names, because they are how tools tell datasets apart; nothing secret is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from osiris.compare.lineage import label_of
from osiris.family_spec import family_of_connection, find_family
from osiris.urls import local_path, stored_as

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.family_spec import FamilySpec
    from osiris.model import JsonValue

Fields = Mapping[str, "JsonValue"]


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
    family = family_of_connection(reference) if reference else find_family(step["component"].partition(".")[0])
    family = find_family(family.protocol_of) if family.protocol_of else family
    fields = connections.get(reference, {})
    if isinstance(config.get("path"), str) and not (family.port or family.file_fields):
        yield _file(_bound(config["path"], bindings), reference, fields, root)
        return
    tables = [config["table"]] if isinstance(config.get("table"), str) else list(_queried(step))
    for table in tables:
        place = _place(family, fields, root, config.get("schema"))
        name = _bound(table, bindings)
        namespace, prefix = place or (reference or "osiris", "")
        yield Dataset(namespace, _qualified(prefix, name), "table" not in config)
    if not tables:
        yield Dataset(reference or "osiris", label_of(step, connections))


def _file(path: str, reference: str | None, fields: Fields, root: Path) -> Dataset:
    """Return the dataset of a file, or of an object in a store."""
    if url := stored_as(path, reference, fields):
        namespace = find_family(url.family).openlineage.get("namespace", f"{url.scheme}://{url.bucket}")
        return Dataset(namespace.format_map({"account": None, **fields, "bucket": url.bucket}), url.key)
    return Dataset("file", _absolute(root, str(fields.get("base_dir") or ""), local_path(path)))


def _queried(step: Fields) -> Iterator[str]:
    """Yield the tables that the query of a step names."""
    from osiris.sql import check

    for key, dialect in step["sql"].items():
        yield from sorted(check(step["config"][key], dialect, relations=None).relations)


def _place(family: FamilySpec, fields: Fields, root: Path, schema: JsonValue) -> tuple[str, str] | None:
    """Return the namespace of a database, and what stands before the names of its tables; None if it is not known."""
    named = family.file_fields or (("host", "database") if family.port else ())
    found = next((fields[key] for key in named if fields.get(key)), None)
    if not found or not family.openlineage:
        return None
    file = _absolute(root, "", str(found)) if family.file_fields else ""
    known = {"host": "localhost", "port": family.port, "database": "", **fields, "file": file}
    own = family.openlineage["schema"].format_map(known)
    inside = {**known, "schema": schema or fields.get("schema") or own}
    return family.openlineage["namespace"].format_map(known), family.openlineage["name"].format_map(inside)


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
