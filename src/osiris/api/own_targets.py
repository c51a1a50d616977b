"""Tables that pairs of a pipeline write into the databases of its sources: no wildcard of an entry means them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

from osiris.canonical import fingerprint
from osiris.connections import as_written, leading_fields, parse_ref
from osiris.errors import OsirisError
from osiris.family_spec import find_family
from osiris.oml.replicate import select, step_id, target_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from osiris.connections import Connections
    from osiris.model import ConnectionRef, JsonValue, Manifest
    from osiris.oml.replicate import Catalogue, Entry

Name: TypeAlias = tuple[str, ...]
"""A database and the folded name of a table in it, perhaps after its schema."""

Written: TypeAlias = "Mapping[Name, dict[Name, str]]"
"""Tables that pairs write: for each, the tables that are written to it, with the ids of the writers."""


def targets_of_entries(
    declared: Connections, entries: Iterable[Entry], *catalogues: Mapping[str, Catalogue]
) -> Written:
    """Return the tables that the pairs of entries write, with all tables of catalogues that the entries mean."""
    written: Written = defaultdict(dict)
    for entry in entries:
        if entry.target is None or entry.table is None:
            continue
        source, target = database_of(declared, entry.source), database_of(declared, entry.target)
        sources = (each[entry.id] for each in catalogues if entry.id in each)
        for table in (table for catalogue in sources for table, _ in select(entry, catalogue)):
            name = map(find_family(entry.target.family).fold, target_parts(entry, table))
            written[target, *name][source, table.schema, table.name] = step_id(entry.id, table)
    return written


def targets_of_plan(manifest: Manifest) -> Written:
    """Return the tables that the pairs of a plan write."""
    steps, connections = {step["id"]: step for step in manifest.steps}, manifest.data["connections"]
    written: Written = defaultdict(dict)
    for step in steps.values():
        if step["mode"] == "write" and "entry" in step and "table" in step["config"]:
            (name,), config, target = step["inputs"].values(), step["config"], parse_ref(step["connection"])
            reader = steps[name]
            source = digest_of(parse_ref(reader["connection"]), connections[reader["connection"]])
            parts = [find_family(target.family).fold(config[key]) for key in ("schema", "table") if config.get(key)]
            table = source, str(reader["config"].get("schema")), reader["config"]["table"]
            written[digest_of(target, connections[step["connection"]]), *parts][table] = step["id"]
    return written


def writers_in(database: str, entry: Entry, catalogue: Catalogue, written: Written) -> dict[str, str]:
    """Return the tables of the source of an entry to which pairs write other tables, each with the id of the writer."""
    fold, writers = find_family(entry.source.family).fold, dict[str, str]()
    for table in catalogue.tables:
        schema, name = fold(table.schema), fold(table.name)
        names = [(database, schema, name), *([(database, name)] if table.schema == catalogue.own else [])]
        pairs = [pair for each in names for pair in written.get(each, {}).items()]
        writers |= {str(table): step for source, step in pairs if source != (database, table.schema, table.name)}
    return writers


def database_of(declared: Connections, reference: ConnectionRef) -> str:
    """Return a digest of a database, equal for connections with the same fields; empty if it is not declared."""
    try:
        return digest_of(reference, as_written(declared, reference))
    except OsirisError:
        return ""


def digest_of(reference: ConnectionRef, fields: Mapping[str, JsonValue]) -> str:
    """Return the digest of a database by the fields of its connection."""
    return fingerprint([reference.family, leading_fields(fields)])
