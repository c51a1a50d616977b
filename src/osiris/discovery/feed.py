"""What discovery gives to compiling: the schemas of sources that it has seen, by the identity that osiris.lock has.

So a pipeline over a table or file that was discovered is compiled without asking for it, and pinned. An answer is given
only while no later look has found the source in another state, and while a file is what it was.
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
class Seen:
    """What a source said of itself, and when; `primary_key` are the columns that name its rows, if it declares them."""

    described: Described
    seen_at: str
    primary_key: tuple[str, ...] = ()


def feed(
    store: Store,
    found: Discovered,
    table: Mapping[str, JsonValue],
    step: Mapping[str, JsonValue],
    spec: ComponentSpec,
    fields: Mapping[str, JsonValue] | None,
) -> None:
    """Keep what a step that reads a table would say; `fields` are those of its connection as written."""
    columns = table["columns"]
    if columns is None or table["closed"] or not columns or any(column["type"] is None for column in columns):
        return
    source = source_of(step, spec, fields)
    schema = [{name: column[name] for name in ("name", "type", "nullable")} for column in columns]
    answer = {
        "schema": schema,
        "order": table["order"],
        "rows": table["rows"],
        "state": None,
        "native": table["native"],
    }
    told = {
        "described": answer,
        "source": found.key,
        "files": _state(table["files"]),
        "primary_key": table["primary_key"],
    }
    store.put(["feed", source.key], found.fingerprint, told)


def recall(project: Project, keys: Collection[str]) -> dict[str, Seen]:
    """Return what is known of sources, by the key that osiris.lock has for them."""
    if not keys or not store_path(project).exists():
        return {}
    with open_store(project) as store:
        return {key: seen for key in keys if (seen := _recalled(store, key))}


def _recalled(store: Store, key: str) -> Seen | None:
    entry = store.get(["feed", key])
    latest = entry and store.get(["state", entry.answer["source"]])
    if not entry or not latest or latest.fingerprint != entry.fingerprint:
        return None
    told = entry.answer
    if told["files"] != _state([path for path, *_ in told["files"]]):
        return None
    return Seen(Described.from_json(told["described"]), entry.made_at, tuple(told.get("primary_key") or ()))


def _state(paths: Sequence[str]) -> list[list[JsonValue]]:
    found: list[list[JsonValue]] = []
    for path in paths:
        try:
            seen = Path(path).stat()
            found.append([path, seen.st_size, seen.st_mtime_ns])
        except OSError:
            found.append([path, None, None])
    return found
