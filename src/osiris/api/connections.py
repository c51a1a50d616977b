"""Discovers and checks connections and files: tables, keys, rows, privileges and health."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.api.workspace import pipelines
from osiris.connections import as_written, declared_at, parse_ref, resolve_ref
from osiris.errors import Diagnostic, OsirisError, diagnostic, fail, has_errors
from osiris.family_spec import find_family
from osiris.model import ConnectionRef
from osiris.urls import family_of, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from osiris.api.workspace import Workspace
    from osiris.connections import Connections
    from osiris.discovery.discover import Discovered, Source
    from osiris.discovery.store import Store
    from osiris.family_spec import FamilySpec
    from osiris.model import JsonValue
    from osiris.runner.adapter import Worker
    from osiris.runner.protocol import Secrets

_INTERNAL = ("component", "config", "native", "order", "files")

_MODES = {"read": "read", "extract": "read", "write": "write", "load": "write"}
"""Normalized modes of steps, by spelling."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """A discovered source: `target` as requested, and the connection reference for steps that read it, if any.

    `checked_at` is when its state was compared with that of a cached answer.
    """

    target: str
    reference: str | None
    found: Discovered
    checked_at: str

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        """The diagnostics of the discovery."""
        return self.found.diagnostics

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as JSON, in the form defined in `docs/decisions`."""
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
        """Return a step that reads the table, without an id; None if no declared connection reaches it."""
        if not table["config"] or (self.reference is None and not table["component"].startswith("filesystem.")):
            return None
        connection = {"connection": self.reference} if self.reference else {}
        return {"component": table["component"], "mode": "read", "config": {**connection, **table["config"]}}


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
    """Discover `target`: a connection (`@family.alias`), a path or URL, or a pattern of files.

    `tables` are names or patterns, `schema.table` for another schema. With `profile`, a sample of their rows is
    profiled, of these `columns` or all; `samples` is `none`, `masked` or `raw`. Cached answers are used only if the
    source is unchanged; `refresh` ignores them. Later compiles use the answers too. `worker` queries the source; None
    starts one. Fails with CON…, DRV…, DSC001, DSC003, DSC008, RUN001.
    """
    from osiris.discovery.discover import DiscoveryRequest, SourceWorker
    from osiris.discovery.discover import discover as run_discovery
    from osiris.discovery.store import now, open_store, store_tables
    from osiris.runner.host.adapters import query_worker

    source, reference = _source(workspace, target)
    scope = DiscoveryRequest(tuple(tables), tuple(columns), profile, samples, refresh)
    opened = nullcontext(worker) if worker else query_worker(workspace.project, workspace.config)
    with open_store(workspace.project) as store, opened as link:
        discovered = run_discovery(SourceWorker(workspace.project, workspace.config, link, source), store, scope)
        discovery = Discovery(target, reference or _declared(workspace, discovered), discovered, now())
        _feed(workspace, store, discovery)
        if discovery.reference and not tables:
            names = [table["name"] for table in discovered.tables]
            store_tables(store, discovery.reference, discovered.fingerprint, names)
    return discovery


def _source(workspace: Workspace, target: str) -> tuple[Source, str | None]:
    """Return the source of a target, and its connection reference, if any."""
    from osiris.discovery.discover import Source
    from osiris.runner.protocol import Secrets

    family = family_of(target)
    if not (family or target.startswith("@")):
        return Source("", _below_root(workspace, target), Secrets(plain=_key_fields(workspace))), None
    declared = workspace.connections()
    if family and family not in declared.declared:
        hint = "declare one in osiris_connections.yaml"
        fail("DRV007", path=printable(target), problem=f"no connection of family {family}", hint=hint)
    ref = resolve_ref(declared, ConnectionRef(family) if family else parse_ref(target))
    secrets = workspace.resolve({str(ref): as_written(declared, ref)})
    return Source(str(ref), target if family else None, secrets), str(ref)


def _key_fields(workspace: Workspace) -> dict[str, dict[str, JsonValue]]:
    """Return, by reference, the connection fields that name files with keys, which must not be discovered."""
    keys: dict[str, dict[str, JsonValue]] = {}
    for reference, fields in workspace.declared().items():
        spec = workspace.registry.family(parse_ref(reference).family)
        properties = spec.fields.get("properties", {}) if spec else {}
        keys[reference] = {k: fields[k] for k, schema in properties.items() if "x-content" in schema and k in fields}
    return keys


def _below_root(workspace: Workspace, text: str) -> str:
    """Return a path or pattern as written in steps: relative to the project, if it lies in it.

    Paths are relative to the working directory, else to the project.
    """
    here = Path(os.path.abspath(text))  # noqa: PTH100  links stay as they are
    if "://" in text:
        return text
    if not _exists(here) and _exists(workspace.root / text):
        return text
    return here.relative_to(workspace.root).as_posix() if here.is_relative_to(workspace.root) else str(here)


def _exists(path: Path) -> bool:
    matched = glob.iglob(str(path), recursive=True)  # noqa: PTH207  a Path takes no absolute pattern
    return os.path.lexists(path) or any(matched)


def _declared(workspace: Workspace, source: Discovered) -> str | None:
    """Return the declared connection of the database file whose tables these are; None if there is none."""
    places = {
        (str(table["component"]).partition(".")[0], *table["files"]) for table in source.tables if table["config"]
    }
    family, *files = places.pop() if len(places) == 1 else ("",)
    spec = find_family(family)
    if not family or spec.local_files or not files:
        return None
    here = os.path.realpath(files[0])
    aliases = workspace.connections().declared.get(family, {})
    same = (alias for alias, fields in sorted(aliases.items()) if here in _files_of(workspace, fields, spec))
    return next((f"@{family}.{alias}" for alias in same), None)


def _files_of(workspace: Workspace, fields: Mapping[str, JsonValue], family: FamilySpec) -> list[str]:
    """Return the real paths of the database files named by a connection's fields."""
    paths = (fields.get(name) for name in family.may_name_file)
    return [os.path.realpath(workspace.root / path) for path in paths if isinstance(path, str)]


def _feed(workspace: Workspace, store: Store, discovery: Discovery) -> None:
    """Cache the schemas of these tables for later compiles."""
    from osiris.discovery.schema_cache import store_schema

    reference = discovery.reference
    fields = as_written(workspace.connections(), parse_ref(reference)) if reference else None
    for table in discovery.found.tables:
        spec = workspace.registry.find(table["component"]) if discovery.step(table) else None
        if spec:
            step = {"config": table["config"], "connection": reference}
            store_schema(store, discovery.found, table, step, spec, fields)


@dataclass(slots=True)
class Examined:
    """One checked connection: the modes in which pipelines use it, the doctor's report, and located problems.

    `health` is None if the connection does not work or was not checked.
    """

    connection: str
    uses: Sequence[str]
    health: dict[str, JsonValue] | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def works(self) -> bool | None:
        """Whether it works; None if it was not checked."""
        return False if has_errors(self.diagnostics) else None if self.health is None else True

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as JSON, with the codes of diagnostics only."""
        codes = [item.code for item in self.diagnostics]
        health = {"grade": None, "reasons": [], "facts": {}, "scripts": {}, "user": None, **(self.health or {})}
        uses = list(self.uses)
        return {"reference": self.connection, "works": self.works, "uses": uses, **health, "codes": codes}


def examine_connections(workspace: Workspace, names: Sequence[str] = ()) -> list[Examined]:
    """Check the named connections (`@family.alias`), or all declared ones, concurrently.

    Problems of a connection are in its entry. Raises CON002 to CON004 and CON006 for an invalid name.
    """
    declared = workspace.connections()
    refs = [resolve_ref(declared, parse_ref(name)) for name in names] or workspace.references()
    uses = _uses(workspace, declared)
    reports = {str(ref): Examined(str(ref), sorted(uses[str(ref)])) for ref in refs}
    secrets = _resolved(workspace, declared, reports)
    if secrets.plain:
        _ask(workspace, {name: reports[name] for name in secrets.plain}, secrets)
    for each in reports.values():
        each.diagnostics = [_located(declared, each.connection, item) for item in each.diagnostics]
    return list(reports.values())


def _resolved(workspace: Workspace, declared: Connections, reports: Mapping[str, Examined]) -> Secrets:
    """Return the fields of complete connections; the problems of others are added to their entries."""
    from osiris.runner.protocol import Secrets

    resolved = Secrets()
    for name, examined in reports.items():
        try:
            own = workspace.resolve({name: as_written(declared, parse_ref(name))})
        except OsirisError as error:
            examined.diagnostics += error.diagnostics
        else:
            resolved.plain.update(own.plain)
            resolved.secret.update(own.secret)
            resolved.stored.extend(own.stored)
    return resolved


def _ask(workspace: Workspace, reports: Mapping[str, Examined], secrets: Secrets) -> None:
    from osiris.runner.adapter import WorkerDied
    from osiris.runner.host.adapters import query_worker
    from osiris.runner.host.passing_job import passing_job

    waiting = dict(reports)

    def take(event: dict[str, JsonValue]) -> None:
        examined = waiting.pop(event["connection"])
        examined.health = event["fields"] or None
        examined.diagnostics += map(Diagnostic.from_json, event["diagnostics"])

    uses = {name: list(examined.uses) for name, examined in reports.items()}
    try:
        with (
            passing_job(workspace.project, workspace.config, "doctor", uses=uses) as job,
            query_worker(workspace.project, workspace.config) as link,
        ):
            end = link.ask(job, secrets, take)
        missed = [Diagnostic.from_json(item) for item in end["diagnostics"]]
    except WorkerDied as died:
        missed = [diagnostic("RUN001", status=died.status, during="doctor", hint="run the same command again")]
    for examined in waiting.values():
        examined.diagnostics += missed


def _located(declared: Connections, name: str, item: Diagnostic) -> Diagnostic:
    """Return a diagnostic located in the connections file, at a field or at the connection."""
    at = declared_at(declared, parse_ref(name), item.location.pointer, item.code)
    return replace(item, location=at) if at else item


def _uses(workspace: Workspace, declared: Connections) -> defaultdict[str, set[str]]:
    """Return the modes in which the steps of `pipelines/` use each connection; unreadable files are skipped."""
    from osiris.oml.parse import load_document

    uses = defaultdict[str, set[str]](set)
    for path in pipelines(workspace, strict=False):
        try:
            document = load_document(path, workspace.root)
        except OsirisError:
            continue
        for name, mode in _used_by(workspace, declared, _written_steps(document.data)):
            uses[name].add(mode)
    return uses


def _written_steps(data: Mapping[str, JsonValue]) -> Iterator[JsonValue]:
    """Yield the steps of a file, and for each entry of `replicate` what it reads and writes, as steps."""
    steps, entries = (data.get(key) for key in ("steps", "replicate"))
    yield from steps if isinstance(steps, list) else ()
    for entry in entries if isinstance(entries, list) else ():
        for key, mode in (("from", "read"), ("to", "write")):
            yield {"mode": mode, "config": entry.get(key) if isinstance(entry, dict) else None}


def _used_by(workspace: Workspace, declared: Connections, steps: Iterable[JsonValue]) -> Iterator[tuple[str, str]]:
    for step in steps:
        mode = _MODES.get(str(step.get("mode"))) if isinstance(step, dict) else None
        reference = mode and _connection_of(workspace, step)
        if not mode or not reference:
            continue
        with suppress(OsirisError):
            yield str(resolve_ref(declared, parse_ref(reference))), mode


def _connection_of(workspace: Workspace, step: Mapping[str, JsonValue]) -> str | None:
    """Return the connection that a step names, or its family's default if it requires one."""
    config = step.get("config")
    written = config.get("connection") if isinstance(config, dict) else None
    if written is not None:
        return written if isinstance(written, str) else None
    spec = workspace.registry.find(str(step.get("component")))
    return f"@{spec.family}" if spec and spec.connection == "required" else None
