"""The tables of entries of `replicate`: as pinned in osiris.lock, or asked of their sources; and what changed there."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from osiris.canonical import fingerprint
from osiris.connections import as_written, parse_ref, resolve_ref
from osiris.errors import OsirisError, diagnostic
from osiris.lock import PinnedEntry, PinnedTable, load_entries
from osiris.oml.replicate import Catalogue, Entry, SourceTable, config_of, override_of, parse_pattern, select, unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import ConnectionRef, JsonValue, Manifest
    from osiris.runner.adapter import Worker

Asking: TypeAlias = Literal["never", "unpinned", "run", "refresh"]
"""Which sources are asked: none; those without pinned tables; all, as a run does; all, which are then pinned anew."""

_NAMED = 5
"""How many tables a message names."""


@dataclass(slots=True)
class Replicated:
    """Finds the tables of a pipeline's entries. `pins` are to be saved; `notes` say what differs from those before.

    `worker` asks sources; None starts one.
    """

    workspace: Workspace
    asking: Asking
    worker: Worker | None = None
    pins: dict[str, PinnedEntry] = field(default_factory=dict)
    notes: list[Diagnostic] = field(default_factory=list)

    def catalogues(self, pipeline: str, entries: Sequence[Entry]) -> dict[str, Catalogue]:
        """Return the tables of each entry (`oml.validate.Catalogues`); fails as discovery and `load_entries`."""
        before = load_entries(self.workspace.project)
        catalogues: dict[str, Catalogue] = {}
        for entry in entries:
            pin = before.get((pipeline, entry.id))
            source = _identity(self.workspace, entry)
            pin = pin if pin is not None and pin.source == source else None
            catalogue = self._tables(entry, pin)
            if catalogue is not None:
                catalogues[entry.id] = catalogue
                tables = tuple(_pinned(table) for table, _ in select(entry, catalogue))
                reference = str(entry.source)
                self.pins[entry.id] = PinnedEntry(pipeline, entry.id, reference, source, catalogue.own, tables)
        return catalogues

    def _tables(self, entry: Entry, pin: PinnedEntry | None) -> Catalogue | None:
        pinned = None if pin is None else Catalogue(pin.own, tuple(map(_table, pin.tables)))
        if self.asking == "never" or (self.asking == "unpinned" and pinned):
            return pinned
        now = ask_tables(self.workspace, entry.source, entry.tables, self.worker)
        return now if pinned is None or self.asking == "refresh" else self._compared(entry, pinned, now)

    def _compared(self, entry: Entry, before: Catalogue, now: Catalogue) -> Catalogue:
        """Return the pinned tables, with new ones if the entry adds them; notes what differs."""
        pinned = {str(table) for table in before.tables}
        new = [table for table, _ in select(entry, now) if str(table) not in pinned]
        self.notes += missing_tables(entry.id, entry.source, sorted(pinned - {str(table) for table in now.tables}))
        if entry.new_tables == "report":
            self.notes += new_tables("LCK011", entry.id, entry.source, new)
            return before
        usable = [table for table in new if not unusable(table, config_of(entry, override_of(entry, table, now.own)))]
        self.notes += new_tables("LCK012", entry.id, entry.source, usable)
        self.notes += new_tables("LCK013", entry.id, entry.source, [table for table in new if table not in usable])
        return replace(before, tables=(*before.tables, *usable))


def report_tables(workspace: Workspace, manifest: Manifest, worker: Worker | None) -> list[Diagnostic]:
    """Return what a plan's sources of `replicate` have that the plan has not, and the reverse.

    A source that cannot be asked is left to the run.
    """
    notes: list[Diagnostic] = []
    for kept in manifest.data["pipeline"].get("replicate", ()):
        source, tables = parse_ref(kept["connection"]), tuple(kept["tables"])
        entry = Entry(kept["id"], "", source, tables, tuple(kept["except"]))
        with suppress(OsirisError):
            now = ask_tables(workspace, source, tables, worker)
            planned = _planned(manifest, entry.id, now.own)
            existing = {str(table) for table in now.tables}
            new = [table for table, _ in select(entry, now) if str(table) not in planned]
            notes += missing_tables(entry.id, source, sorted(planned - existing))
            notes += new_tables("LCK011", entry.id, source, new)
    return notes


def _planned(manifest: Manifest, entry: str, own: str) -> set[str]:
    """Return the names of the tables that a plan reads for an entry."""
    steps = (step for step in manifest.steps if step.get("entry") == entry and step["mode"] == "read")
    return {str(SourceTable(step["config"].get("schema", own), step["config"]["table"])) for step in steps}


def missing_tables(entry: str, source: ConnectionRef, names: Sequence[str]) -> Iterator[Diagnostic]:
    """Yield a warning if pinned tables no longer exist."""
    if names:
        yield diagnostic("LCK010", entry=entry, source=source, tables=_listed(names))


def new_tables(code: str, entry: str, source: ConnectionRef, tables: Iterable[SourceTable]) -> Iterator[Diagnostic]:
    """Yield a note with a code if there are new tables."""
    names = [str(table) for table in tables]
    if names:
        yield diagnostic(code, entry=entry, source=source, tables=_listed(names))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def ask_tables(
    workspace: Workspace, reference: ConnectionRef, patterns: Sequence[str], worker: Worker | None
) -> Catalogue:
    """Return all tables of the schemas of patterns, with keys; fails as discovery does."""
    from osiris.discovery.discover import Source, SourceWorker
    from osiris.runner.host.adapters import query_worker

    declared = workspace.connections()
    ref = resolve_ref(declared, reference)
    secrets = workspace.resolve({str(ref): as_written(declared, ref)})
    schemas = sorted({_schema_of(text) for text in patterns})
    opened = nullcontext(worker) if worker else query_worker(workspace.project, workspace.config)
    with opened as link:
        source = SourceWorker(workspace.project, workspace.config, link, Source(str(ref), None, secrets))
        events = source.query("keys", tables=schemas)
    answers = [event for event in events if event["event"] == "keys"]
    tables = [
        SourceTable(event["schema"], name, tuple(key), kind, readable)
        for event in answers
        for name, kind, readable, key in event["tables"]
    ]
    return Catalogue(next((event["own"] for event in answers), ""), tuple(tables))


def _schema_of(text: str) -> str:
    """Return the regular expression of a pattern's schema; empty for that of the connection."""
    pattern = parse_pattern(text)
    return pattern.schema.pattern if pattern and pattern.schema else ""


def _identity(workspace: Workspace, entry: Entry) -> str:
    """Return a digest of what the tables of an entry depend on: the connection as written, and the patterns."""
    declared = workspace.connections()
    fields = as_written(declared, resolve_ref(declared, entry.source))
    question: JsonValue = [str(entry.source), fields, list(entry.tables), list(entry.excluded)]
    return fingerprint(question)


def _pinned(table: SourceTable) -> PinnedTable:
    return PinnedTable(table.schema, table.name, table.kind, table.key)


def _table(pin: PinnedTable) -> SourceTable:
    return SourceTable(pin.schema, pin.name, pin.key, pin.kind)
