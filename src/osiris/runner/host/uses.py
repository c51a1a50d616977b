"""What a run uses, so that no other run that would disturb it runs beside it."""

from __future__ import annotations

import posixpath
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.canonical import fingerprint
from osiris.compare.lineage import label_of
from osiris.connections import leading_fields
from osiris.family_spec import family_of_connection, find_family
from osiris.path_policy import real_path
from osiris.project_lock import Use
from osiris.urls import as_names, local_path, stored_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from osiris.model import JsonValue, Manifest

    Step = Mapping[str, JsonValue]

_REFERENCE = "${"
"""Start of a reference in a path or a name that is only resolved in a run: what is before it counts."""


def uses_of(manifest: Manifest, root: Path, selected: Iterable[str] | None = None) -> list[Use]:
    """Return what steps of a plan (None: all) write, and the database files that they read, each once.

    A target is a server's table, a database file, a folder, or a file. Servers are compared by their fields as written.
    """
    connections, uses = manifest.data["connections"], dict[str, Use]()
    steps = [step for step in manifest.steps if selected is None or step["id"] in selected]
    for step in sorted(steps, key=itemgetter("mode")):  # a write comes after a read, and counts
        if step["mode"] == "write":
            use = _use(step, connections, root)
            uses[use.key] = use
        elif step["mode"] == "read" and (file := _database_file(step, connections, root)):
            uses[file.key] = file._replace(reads=True)
    return sorted(uses.values())


def _use(step: Step, connections: Mapping[str, JsonValue], root: Path) -> Use:
    """Return what a writer writes; of its whole connection, if that is not known."""
    config, connection, label = step["config"], step["connection"], label_of(step, connections)
    fields = _fields(step, connections)
    if use := _database_file(step, connections, root):
        return use
    if isinstance(config.get("path"), str):
        return _path(config["path"], connection, fields, root, label)
    server = f"{_family(step)} {fingerprint(fields) if connection else step['component']} "
    table = ".".join(str(config[key]) for key in ("schema", "table") if config.get(key)) if "table" in config else ""
    fixed, reference, _ = table.partition(_REFERENCE)
    return Use(server + find_family(_family(step)).fold(fixed), label, partial=not table or bool(reference))


def _path(path: str, connection: str | None, fields: Mapping[str, JsonValue], root: Path, label: str) -> Use:
    """Return the use of a file, or of a folder, whose path ends with a slash."""
    fixed = path.partition(_REFERENCE)[0]
    url = stored_as(path, connection, fields)
    full = str(url) if url else posixpath.join(root, as_names(str(fields.get("base_dir") or "")), local_path(path))
    key = full.removesuffix(path.removeprefix(fixed))
    if not url:
        folder, _, name = key.rpartition("/")
        key = f"{real_path(Path(folder))}/{name}"
    return Use(key, label, partial=path.endswith("/") or fixed != path)


def _database_file(step: Step, connections: Mapping[str, JsonValue], root: Path) -> Use | None:
    """Return the use of the database file of a step's connection; None if it is not a file."""
    fields = _fields(step, connections)
    names = find_family(_family(step)).file_fields
    file = next((fields[name] for name in names if isinstance(fields.get(name), str)), None)
    return Use(str(real_path(root / as_names(file))), file) if file else None


def _family(step: Step) -> str:
    connection = step["connection"]
    return family_of_connection(connection).name if connection else str(step["component"]).partition(".")[0]


def _fields(step: Step, connections: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return leading_fields(connections.get(step["connection"]) or {})
