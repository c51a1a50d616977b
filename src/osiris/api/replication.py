"""The tables of entries of `replicate`: as pinned in osiris.lock, or asked of their sources; and what changed there."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from osiris.canonical import fingerprint
from osiris.connections import as_written, resolve_ref
from osiris.errors import diagnostic
from osiris.lock import PinnedEntry, PinnedTable, load_entries
from osiris.oml.replicate import Catalogue, SourceTable, config_of, override_of, parse_pattern, select, unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import ConnectionRef, JsonValue
    from osiris.oml.replicate import Entry
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
        found: dict[str, Catalogue] = {}
        for entry in entries:
            pin = before.get((pipeline, entry.id))
            source = _identity(self.workspace, entry)
            pin = pin if pin is not None and pin.source == source else None
            catalogue = self._tables(entry, pin)
            if catalogue is not None:
                found[entry.id] = catalogue
                tables = tuple(_pinned(table) for table, _ in select(entry, catalogue))
                reference = str(entry.source)
                self.pins[entry.id] = PinnedEntry(pipeline, entry.id, reference, source, catalogue.own, tables)
        return found

    def _tables(self, entry: Entry, pin: PinnedEntry | None) -> Catalogue | None:
        known = None if pin is None else Catalogue(pin.own, tuple(map(_table, pin.tables)))
        if self.asking == "never" or (self.asking == "unpinned" and known):
            return known
        now = ask_tables(self.workspace, entry.source, entry.tables, self.worker)
        return now if known is None or self.asking == "refresh" else self._compared(entry, known, now)

    def _compared(self, entry: Entry, known: Catalogue, now: Catalogue) -> Catalogue:
        """Return the pinned tables, with new ones if the entry adds them; notes what differs."""
        names = {str(table): table for table, _ in select(entry, now)}
        pinned = {str(table) for table in known.tables}
        new = [table for name, table in names.items() if name not in pinned]
        usable = [table for table in new if not unusable(table, config_of(entry, override_of(entry, table, now.own)))]
        self.notes += missing_tables(entry.id, entry.source, sorted(pinned - {str(table) for table in now.tables}))
        if entry.new_tables == "report":
            self.notes += new_tables("LCK011", entry.id, entry.source, new)
            return known
        self.notes += new_tables("LCK012", entry.id, entry.source, usable)
        self.notes += new_tables("LCK013", entry.id, entry.source, [table for table in new if table not in usable])
        return replace(known, tables=(*known.tables, *usable))


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
    compiled = [pattern for text in patterns if (pattern := parse_pattern(text))]
    schemas = sorted({pattern.schema.pattern if pattern.schema else "" for pattern in compiled})
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


def _identity(workspace: Workspace, entry: Entry) -> str:
    """Return a digest of what the tables of an entry depend on: the connection as written, and the patterns."""
    declared = workspace.connections()
    fields = as_written(declared, resolve_ref(declared, entry.source))
    asked: JsonValue = [str(entry.source), fields, list(entry.tables), list(entry.excluded)]
    return fingerprint(asked)


def _pinned(table: SourceTable) -> PinnedTable:
    return PinnedTable(table.schema, table.name, table.kind, table.key)


def _table(pin: PinnedTable) -> SourceTable:
    return SourceTable(pin.schema, pin.name, pin.key, pin.kind)
