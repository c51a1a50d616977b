"""Shows what a connection, a file or files have: tables, columns, keys, and on request what their rows are like."""

from __future__ import annotations

import glob
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.connections import as_written, parse_ref, resolve_ref
from osiris.errors import fail
from osiris.family_spec import find_family
from osiris.model import ConnectionRef
from osiris.urls import family_of, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.api.workspace import Workspace
    from osiris.discovery.ask import Source
    from osiris.discovery.discover import Discovered
    from osiris.discovery.store import Store
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.per_job_worker import Worker


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found: a source as it was asked for, and the reference of the connection that steps read it by, if any.

    `checked_at` is when its state was compared with that of which the answer is true.
    """

    target: str
    reference: str | None
    found: Discovered
    checked_at: str

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        """What was set aside, and what was not profiled."""
        return self.found.diagnostics

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as plain data, in the form that `docs/decisions` promises."""
        answer = self.found.catalogue.answer
        return {
            "source": {"target": self.target, "connection": self.reference, "label": self.found.label},
            "product": self.found.product,
            "fingerprint": self.found.fingerprint,
            "looked_at": self.found.catalogue.made_at,
            "checked_at": self.checked_at,
            "recalled": self.found.catalogue.recalled,
            "schema": answer["own"],
            "schemas": answer["schemas"],
            "detail": "columns" if any(table["columns"] for table in self.found.tables) else "names",
            "closed": answer["closed"],
            "tables": [self._table(table) for table in self.found.tables],
        }

    def _table(self, table: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        shown = {name: value for name, value in table.items() if name not in _INTERNAL}
        rows = self.found.rows.get(str(table["name"]))
        profile = None
        if rows:
            profile = {**rows.answer, "made_at": rows.made_at, "recalled": rows.recalled}
        return {**shown, "step": self.step(table), "profile": profile}

    def step(self, table: Mapping[str, JsonValue]) -> dict[str, JsonValue] | None:
        """Return a step that reads the table, but for its id; None if no declared connection leads there."""
        if not table["config"] or (self.reference is None and not table["component"].startswith("filesystem.")):
            return None
        connection = {"connection": self.reference} if self.reference else {}
        return {"component": table["component"], "mode": "read", "config": {**connection, **table["config"]}}


_INTERNAL = ("component", "config", "native", "order", "files")


def discover(
    workspace: Workspace,
    target: str,
    tables: Sequence[str] = (),
    *,
    columns: Sequence[str] = (),
    profile: bool = False,
    samples: str = "none",
    refresh: bool = False,
    worker: Worker | None = None,
) -> Discovery:
    """Return what `target` has: a connection (`@family.alias`), a path or URL, or a pattern of files.

    `tables` are names or patterns, of another schema as `schema.table`. With `profile` a sample of their rows is looked
    at, of these `columns` or of all; `samples` are `none`, `masked` or `raw`. What is known is only recalled if the
    source is as it was; `refresh` asks for everything anew. What is found also answers for later compiles. A worker,
    this one if given, asks the source.
    Fails with CON…, DRV…, DSC001, DSC003, DSC008, RUN001.
    """
    from osiris.discovery.ask import Asking
    from osiris.discovery.discover import Wanted
    from osiris.discovery.discover import discover as look
    from osiris.discovery.store import now, open_store
    from osiris.runner.host.adapters import asked_worker

    source, reference = _source(workspace, target)
    wanted = Wanted(tuple(tables), tuple(columns), profile, samples, refresh)
    asked = nullcontext(worker) if worker else asked_worker(workspace.project, workspace.config)
    with open_store(workspace.project) as store, asked as link:
        found = look(Asking(workspace.project, workspace.config, link, source), store, wanted)
        discovery = Discovery(target, reference or _declared(workspace, found), found, now())
        _feed(workspace, store, discovery)
    return discovery


def _source(workspace: Workspace, target: str) -> tuple[Source, str | None]:
    """Return where a target leads, and the reference of the connection that it is."""
    from osiris.discovery.ask import Source
    from osiris.runner.credentials import resolve_secrets
    from osiris.runner.protocol import Secrets

    family = family_of(target)
    if not (family or target.startswith("@")):
        return Source("", _below_root(workspace, target), Secrets(plain=_key_fields(workspace))), None
    declared = workspace.connections()
    if family and family not in declared.declared:
        hint = "declare one in osiris_connections.yaml"
        fail("DRV007", path=printable(target), problem=f"no connection of the family {family} leads there", hint=hint)
    ref = resolve_ref(declared, ConnectionRef(family) if family else parse_ref(target))
    secrets = resolve_secrets(
        workspace.root, {str(ref): as_written(declared, ref)}, (), workspace.registry, workspace.environ
    )
    return Source(str(ref), target if family else None, secrets), str(ref)


def _key_fields(workspace: Workspace) -> dict[str, dict[str, JsonValue]]:
    """Return of each declared connection what names files with keys, which are not looked into, by its reference."""
    found: dict[str, dict[str, JsonValue]] = {}
    for family, aliases in workspace.connections().declared.items():
        spec = workspace.registry.family(family)
        named = (
            [name for name, told in spec.fields.get("properties", {}).items() if "x-content" in told] if spec else []
        )
        found |= {
            f"@{family}.{alias}": {k: fields[k] for k in named if k in fields} for alias, fields in aliases.items()
        }
    return found


def _below_root(workspace: Workspace, text: str) -> str:
    """Return a path or pattern as steps write it: relative to the project, where it lies in it.

    What is typed is relative to the working directory; what is not there is looked for in the project.
    """
    here = Path(os.path.abspath(text))  # noqa: PTH100  links stay as they are
    if "://" in text:
        return text
    if not _is_there(here) and _is_there(workspace.root / text):
        return text
    return here.relative_to(workspace.root).as_posix() if here.is_relative_to(workspace.root) else str(here)


def _is_there(path: Path) -> bool:
    matched = glob.iglob(str(path), recursive=True)  # noqa: PTH207  a Path takes no absolute pattern
    return os.path.lexists(path) or any(matched)


def _declared(workspace: Workspace, found: Discovered) -> str | None:
    """Return the connection that is declared for the database in a file whose tables these are; None if there is none.

    Where there are files beside it they are none of its tables.
    """
    places = {(str(table["component"]).partition(".")[0], *table["files"]) for table in found.tables if table["config"]}
    if len(places) != 1:
        return None
    family, *files = places.pop()
    spec = find_family(family)
    if not family or spec.local_files or not files:
        return None
    aliases = workspace.connections().declared.get(family, {})
    paths = ((alias, fields.get(name)) for alias, fields in sorted(aliases.items()) for name in spec.may_name_file)
    here = os.path.realpath(files[0])
    same = (a for a, path in paths if isinstance(path, str) and os.path.realpath(workspace.root / path) == here)
    return next((f"@{family}.{alias}" for alias in same), None)


def _feed(workspace: Workspace, store: Store, discovery: Discovery) -> None:
    """Keep for later compiles what steps that read these tables would say."""
    from osiris.discovery.feed import feed

    reference = discovery.reference
    fields = as_written(workspace.connections(), parse_ref(reference)) if reference else None
    for table in discovery.found.tables:
        spec = workspace.registry.find(table["component"]) if discovery.step(table) else None
        if spec:
            step = {"config": table["config"], "connection": reference}
            feed(store, discovery.found, table, step, spec, fields)
