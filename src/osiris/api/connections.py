"""What connections and files have, and whether connections work: tables, keys, rows, rights and health."""

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
"""Modes of steps, and what they are called here."""


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
    from osiris.discovery.discover import Asking, Wanted
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
    """Return of each declared connection what names files with keys, which are not looked into, by its reference."""
    found: dict[str, dict[str, JsonValue]] = {}
    for reference, fields in workspace.declared().items():
        spec = workspace.registry.family(parse_ref(reference).family)
        known = spec.fields.get("properties", {}) if spec else {}
        found[reference] = {k: fields[k] for k, told in known.items() if "x-content" in told and k in fields}
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
    family, *files = places.pop() if len(places) == 1 else ("",)
    spec = find_family(family)
    if not family or spec.local_files or not files:
        return None
    here = os.path.realpath(files[0])
    aliases = workspace.connections().declared.get(family, {})
    same = (alias for alias, fields in sorted(aliases.items()) if here in _files_of(workspace, fields, spec))
    return next((f"@{family}.{alias}" for alias in same), None)


def _files_of(workspace: Workspace, fields: Mapping[str, JsonValue], family: FamilySpec) -> list[str]:
    """Return the real files that the fields of a connection to a database in a file name."""
    named = (fields.get(name) for name in family.may_name_file)
    return [os.path.realpath(workspace.root / path) for path in named if isinstance(path, str)]


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


@dataclass(slots=True)
class Examined:
    """One connection: the modes in which pipelines use it, what its doctor says, and what is wrong, with places.

    `health` is None where the connection does not work, or was not tried.
    """

    connection: str
    uses: Sequence[str]
    health: dict[str, JsonValue] | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def works(self) -> bool | None:
        """Whether it works; None if it was not tried."""
        return False if has_errors(self.diagnostics) else None if self.health is None else True

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as plain data; of diagnostics the codes."""
        codes = [item.code for item in self.diagnostics]
        known = {"grade": None, "reasons": [], "facts": {}, "scripts": {}, "user": None, **(self.health or {})}
        uses = list(self.uses)
        return {"reference": self.connection, "works": self.works, "uses": uses, **known, "codes": codes}


def examine_connections(workspace: Workspace, names: Sequence[str] = ()) -> list[Examined]:
    """Try the named connections (`@family.alias`), all that are declared if none is named; none keeps others waiting.

    What is wrong with a connection stands in its answer. Raises CON002 to CON004 and CON006 for a name that means none.
    """
    declared = workspace.connections()
    asked = [resolve_ref(declared, parse_ref(name)) for name in names] or workspace.references()
    uses = _uses(workspace, declared)
    found = {str(ref): Examined(str(ref), sorted(uses[str(ref)])) for ref in asked}
    secrets = _resolved(workspace, declared, found)
    if secrets.plain:
        _ask(workspace, {name: found[name] for name in secrets.plain}, secrets)
    for each in found.values():
        each.diagnostics = [_placed(declared, each.connection, item) for item in each.diagnostics]
    return list(found.values())


def _resolved(workspace: Workspace, declared: Connections, found: Mapping[str, Examined]) -> Secrets:
    """Return the fields of the connections that have all they need; what the others lack is put into their answers."""
    from osiris.runner.protocol import Secrets

    whole = Secrets()
    for name, examined in found.items():
        try:
            own = workspace.resolve({name: as_written(declared, parse_ref(name))})
        except OsirisError as error:
            examined.diagnostics += error.diagnostics
        else:
            whole.plain.update(own.plain)
            whole.secret.update(own.secret)
    return whole


def _ask(workspace: Workspace, asked: Mapping[str, Examined], secrets: Secrets) -> None:
    from osiris.runner.adapter import WorkerDied
    from osiris.runner.host.adapters import asked_worker
    from osiris.runner.host.passing_job import passing_job

    waiting = dict(asked)

    def take(event: dict[str, JsonValue]) -> None:
        examined = waiting.pop(event["connection"])
        examined.health = event["fields"] or None
        examined.diagnostics += map(Diagnostic.from_json, event["diagnostics"])

    uses = {name: list(examined.uses) for name, examined in asked.items()}
    try:
        with (
            passing_job(workspace.project, workspace.config, "doctor", uses=uses) as job,
            asked_worker(workspace.project, workspace.config) as link,
        ):
            end = link.ask(job, secrets, take)
        missed = [Diagnostic.from_json(item) for item in end["diagnostics"]]
    except WorkerDied as died:
        missed = [diagnostic("RUN001", status=died.status, during="doctor", hint="run the same command again")]
    for examined in waiting.values():
        examined.diagnostics += missed


def _placed(declared: Connections, name: str, item: Diagnostic) -> Diagnostic:
    """Return a diagnostic with its place in the file of connections: that of a field, or of the connection."""
    at = declared_at(declared, parse_ref(name), item.location.pointer)
    return replace(item, location=at) if at else item


def _uses(workspace: Workspace, declared: Connections) -> defaultdict[str, set[str]]:
    """Return the modes in which the steps of `pipelines/` use each connection; files that cannot be read have none."""
    from osiris.oml.parse import load_document

    uses = defaultdict[str, set[str]](set)
    for path in pipelines(workspace, strict=False):
        try:
            document = load_document(path, workspace.root)
        except OsirisError:
            continue
        steps = document.data.get("steps") if isinstance(document.data, dict) else None
        for name, mode in _used_by(workspace, declared, steps if isinstance(steps, list) else ()):
            uses[name].add(mode)
    return uses


def _used_by(workspace: Workspace, declared: Connections, steps: Iterable[JsonValue]) -> Iterator[tuple[str, str]]:
    for step in steps:
        mode = _MODES.get(str(step.get("mode"))) if isinstance(step, dict) else None
        wanted = mode and _wanted(workspace, step)
        if not mode or not wanted:
            continue
        with suppress(OsirisError):
            yield str(resolve_ref(declared, parse_ref(wanted))), mode


def _wanted(workspace: Workspace, step: Mapping[str, JsonValue]) -> str | None:
    """Return the connection that a step names, or its family's default where it must have one."""
    config = step.get("config")
    written = config.get("connection") if isinstance(config, dict) else None
    if written is not None:
        return written if isinstance(written, str) else None
    spec = workspace.registry.find(str(step.get("component")))
    return f"@{spec.family}" if spec and spec.connection == "required" else None
