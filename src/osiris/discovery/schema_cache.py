"""Cache the schemas of discovered sources, so that pipelines are compiled and pinned without querying the source.

A schema is used only if no later discovery has found the source in another state, and if its files are unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.discovery.store import open_store, store_path
from osiris.lock import source_of
from osiris.model import Described

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from osiris.discovery.discover import Discovered
    from osiris.discovery.store import Store
    from osiris.model import ComponentSpec, JsonValue
    from osiris.project import Project


@dataclass(frozen=True, slots=True)
class KnownSchema:
    """A source's cached schema, and when it was read (UTC, ISO 8601); `primary_key` is empty if it declares none."""

    described: Described
    seen_at: str
    primary_key: tuple[str, ...] = ()


def store_schema(
    store: Store,
    source: Discovered,
    table: Mapping[str, JsonValue],
    step: Mapping[str, JsonValue],
    spec: ComponentSpec,
    fields: Mapping[str, JsonValue] | None,
) -> None:
    """Cache the schema that a step reading a table would have; `fields` are its connection's, placeholders included."""
    columns = table["columns"]
    if (
        columns is None
        or table["files"] is None
        or table["closed"]
        or not columns
        or any(column["type"] is None for column in columns)
    ):
        return
    pinned = source_of(step, spec, fields)
    schema = [{name: column[name] for name in ("name", "type", "nullable")} for column in columns]
    answer = {
        "schema": schema,
        "order": table["order"],
        "rows": table["rows"],
        "state": None,
        "native": table["native"],
    }
    entry = {
        "described": answer,
        "source": source.key,
        "files": _state(table["files"]),
        "primary_key": table["primary_key"],
    }
    store.put(["feed", pinned.key], source.fingerprint, entry)


def recall(project: Project, keys: Collection[str]) -> dict[str, KnownSchema]:
    """Return the cached schemas of sources, by their key in osiris.lock."""
    if not keys or not store_path(project).exists():
        return {}
    with open_store(project) as store:
        return {key: schema for key in keys if (schema := _recalled(store, key))}


def _recalled(store: Store, key: str) -> KnownSchema | None:
    entry = store.get(["feed", key])
    latest = entry and store.get(["state", entry.answer["source"]])
    if not entry or not latest or latest.fingerprint != entry.fingerprint:
        return None
    answer = entry.answer
    if answer["files"] != _state([path for path, *_ in answer["files"]]):
        return None
    return KnownSchema(Described.from_json(answer["described"]), entry.made_at, tuple(answer.get("primary_key") or ()))


def _state(paths: Sequence[str]) -> list[list[JsonValue]]:
    states: list[list[JsonValue]] = []
    for path in paths:
        try:
            status = Path(path).stat()
            states.append([path, status.st_size, status.st_mtime_ns])
        except OSError:
            states.append([path, None, None])
    return states
