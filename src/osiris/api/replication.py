"""The tables of entries of `replicate`: as pinned in osiris.lock, or asked of their sources; and what changed there."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from osiris.api.own_targets import database_of, digest_of, targets_of_entries, targets_of_plan, writers_in
from osiris.canonical import fingerprint
from osiris.codes import CODES
from osiris.connections import as_written, parse_ref, resolve_ref
from osiris.errors import OUT_OF_REACH, Location, OsirisError, diagnostic, exit_code, fail, nearest, raise_all
from osiris.lock import PinnedEntry, PinnedTable, load_entries
from osiris.oml.replicate import (
    Catalogue,
    Entry,
    SourceTable,
    config_of,
    override_of,
    parse_pattern,
    select,
    step_id,
    unusable,
    without,
)
from osiris.secret.scrubber import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from osiris.api.own_targets import Written
    from osiris.api.workspace import Workspace
    from osiris.connections import Connections
    from osiris.errors import Diagnostic
    from osiris.model import ConnectionRef, JsonValue, Manifest, Pipeline
    from osiris.runner.adapter import Worker

T = TypeVar("T")

Asking: TypeAlias = Literal["never", "unpinned", "run", "refresh"]
"""Which sources are asked: none; those without pinned tables; all, as a run does; all, which are then pinned anew."""

_NAMED = 5
"""How many tables a message names."""

_NO_WORKER = ("RUN001", "RUN002")


@dataclass(slots=True)
class Replicated:
    """Finds the tables of a pipeline's entries. `pins` are to be saved.

    `new` are the tables that are not pinned, by the id of their writer, with their entry. `left_out` are those of them
    that are not replicated, each with the code of the reason. `worker` asks sources; None starts one.
    """

    workspace: Workspace
    asking: Asking
    worker: Worker | None = None
    pins: dict[str, PinnedEntry] = field(default_factory=dict)
    new: dict[str, tuple[Entry, SourceTable]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    _missing: list[Diagnostic] = field(default_factory=list)
    _overwritten: dict[str, tuple[Diagnostic, ...]] = field(default_factory=dict)
    _asked: dict[str, Catalogue] = field(default_factory=dict)
    _compared: set[str] = field(default_factory=set)

    @property
    def _declared(self) -> Connections:
        return self.workspace.connections()

    def catalogues(self, pipeline: str, entries: Sequence[Entry]) -> dict[str, Catalogue]:
        """Return the tables of each entry (`oml.validate.Catalogues`); fails as discovery and `load_entries`."""
        pins = load_entries(self.workspace.project)
        sources = {entry.id: _identity(self.workspace, entry) for entry in entries}
        pinned = {entry.id: _pinned_tables(pins.get((pipeline, entry.id)), sources[entry.id]) for entry in entries}
        for entry in entries:
            if self._is_asked(pinned[entry.id]) and entry.id not in self._asked:
                self._asked[entry.id] = self._ask(entry)
        chosen = self._chosen(entries, {name: tables for name, tables in pinned.items() if tables})
        written = targets_of_entries(self._declared, entries, chosen)
        for entry in (entry for entry in entries if entry.id in chosen):
            catalogue, database = chosen[entry.id], database_of(self._declared, entry.source)
            chosen[entry.id] = replace(catalogue, writers=writers_in(database, entry, catalogue, written))
            tables = tuple(_pinned(table) for table, _ in select(entry, catalogue))
            pin = PinnedEntry(pipeline, entry.id, str(entry.source), sources[entry.id], catalogue.own, tables)
            self.pins[entry.id] = pin
        return chosen

    def _ask(self, entry: Entry) -> Catalogue:
        try:
            return ask_tables(self.workspace, entry.source, entry.tables, self.worker)
        except OsirisError as error:
            at = Location(pointer=f"{entry.pointer}/from/connection")
            raise_all(item if item.location.file else replace(item, location=at) for item in error.diagnostics)

    def _is_asked(self, pinned: Catalogue | None) -> bool:
        return self.asking in ("run", "refresh") or (self.asking == "unpinned" and pinned is None)

    def _chosen(self, entries: Sequence[Entry], pinned: Mapping[str, Catalogue]) -> dict[str, Catalogue]:
        """Return the pinned tables, with new ones if the entry adds them; without the pairs' own targets."""
        kept = self._asked if self.asking == "refresh" else {**self._asked, **pinned}
        written = targets_of_entries(self._declared, entries, kept)
        all_written = targets_of_entries(self._declared, entries, kept, self._asked)
        chosen: dict[str, Catalogue] = {}
        for entry in (entry for entry in entries if entry.id in kept):
            catalogue = self._sources(entry, kept[entry.id], written)
            if entry.id in pinned:
                names = sorted({str(table) for table in pinned[entry.id].tables} - set(map(str, catalogue.tables)))
                self._overwritten[entry.id] = tuple(new_tables("LCK014", entry.id, entry.source, names))
            if self.asking == "run" and entry.id in pinned:
                now = self._sources(entry, self._asked[entry.id], all_written)
                self._compare(entry, catalogue, now)
                new = (self.new[name] for name in self.new if name not in self.left_out)
                added = (table for owner, table in new if owner.id == entry.id)
                catalogue = replace(catalogue, tables=(*catalogue.tables, *added))
            chosen[entry.id] = catalogue
        return chosen

    def _sources(self, entry: Entry, catalogue: Catalogue, written: Written) -> Catalogue:
        writers = writers_in(database_of(self._declared, entry.source), entry, catalogue, written)
        return without(entry, catalogue, writers)

    def _compare(self, entry: Entry, before: Catalogue, now: Catalogue) -> None:
        """Find what a source has and the pins have not, and the reverse, unless it was found before."""
        if entry.id in self._compared:
            return
        self._compared.add(entry.id)
        pinned = {str(table) for table in before.tables}
        existing = {str(table) for table in self._asked[entry.id].tables}
        self._missing += missing_tables(entry.id, entry.source, pinned, existing)
        for table in (table for table, _ in select(entry, now) if str(table) not in pinned):
            name = step_id(entry.id, table)
            self.new[name] = entry, table
            reason = unusable(table, config_of(entry, override_of(entry, table, now.own)))
            if reason or entry.new_tables == "report":
                self.left_out[name] = reason or ""

    def notes(self) -> list[Diagnostic]:
        """Return what differs from the pins."""
        notes = [*self._missing, *(note for each in self._overwritten.values() for note in each)]
        for entry in {owner.id: owner for owner, _ in self.new.values()}.values():
            tables = {name: str(table) for name, (owner, table) in self.new.items() if owner.id == entry.id}
            if entry.new_tables == "report":
                notes += new_tables("LCK011", entry.id, entry.source, tables.values())
                continue
            added = [tables[name] for name in tables if name not in self.left_out]
            out = [f"{tables[name]} ({self.left_out[name]})" for name in tables if name in self.left_out]
            notes += new_tables("LCK012", entry.id, entry.source, added)
            notes += new_tables("LCK013", entry.id, entry.source, out)
        return notes


def with_new_tables(replicated: Replicated, compiled: Callable[[], T]) -> T:
    """Return a plan with all new tables that can be replicated; the others are left out.

    Why a table cannot be replicated may be known from the file alone, from the source, or from the target. So the plan
    is compiled with halves of the tables, until those to leave out are found. Fails as compiling without new tables,
    and if a database is out of reach.
    """

    def divided(plan: T, names: list[str]) -> T:
        half = len(names) // 2
        for part in (names[:half], names[half:]) if half else ():
            before = replicated.left_out
            replicated.left_out = {name: code for name, code in before.items() if name not in part}
            try:
                plan = compiled()
            except OsirisError as error:
                replicated.left_out = before | dict.fromkeys(part, _reason(error))
                plan = divided(plan, part)
        return plan

    try:
        return compiled()
    except OsirisError as error:
        names = [name for name in replicated.new if name not in replicated.left_out]
        if not names:
            raise
        replicated.left_out |= dict.fromkeys(names, _reason(error))
    return divided(compiled(), names)


def _reason(error: OsirisError) -> str:
    """Return the code of the error of new tables; raises it if it is not one of theirs."""
    codes = [item.code for item in error.diagnostics if item.severity == "error"]
    if error.exit_code == OUT_OF_REACH or codes[0] in _NO_WORKER:
        raise error
    return codes[0]


def confirm_targets(replicated: Replicated, manifest: Manifest, pipeline: Pipeline) -> None:
    """Fail if the target of a new table does not accept its rows; one that is out of reach is left to the run."""
    added = replicated.new.keys() - replicated.left_out.keys()
    if not added:
        return
    from osiris.runner.host.describe import confirmable_targets, problems_of, query_targets

    workspace = replicated.workspace
    steps = [step for step in confirmable_targets(manifest, workspace.registry) if step["id"] in added]
    answers = query_targets(workspace.project, manifest, workspace.config, steps, workspace.environ)
    problems = [item for answer in answers.values() for item in problems_of(workspace.root, pipeline, answer)]
    if lasting := [item for item in problems if exit_code([item]) not in (0, OUT_OF_REACH)]:
        raise_all(lasting)


def report_tables(workspace: Workspace, manifest: Manifest, worker: Worker | None) -> list[Diagnostic]:
    """Return what a plan's sources of `replicate` have that the plan has not, and the reverse.

    A source that cannot be asked is left to the run.
    """
    notes: list[Diagnostic] = []
    written, connections = targets_of_plan(manifest), manifest.data["connections"]
    for kept in manifest.data["pipeline"].get("replicate", ()):
        source, tables = parse_ref(kept["connection"]), tuple(kept["tables"])
        entry = Entry(kept["id"], "", source, tables, tuple(kept["except"]))
        with suppress(OsirisError):
            now = ask_tables(workspace, source, tables, worker)
            database = digest_of(source, connections.get(kept["connection"], {}))
            sources = without(entry, now, writers_in(database, entry, now, written))
            planned = _planned(manifest, entry.id, now.own)
            existing = {str(table) for table in now.tables}
            new = [str(table) for table, _ in select(entry, sources) if str(table) not in planned]
            notes += missing_tables(entry.id, source, planned, existing)
            notes += new_tables("LCK011", entry.id, source, new)
    return notes


def _planned(manifest: Manifest, entry: str, own: str) -> set[str]:
    """Return the names of the tables that a plan reads for an entry."""
    steps = (step for step in manifest.steps if step.get("entry") == entry and step["mode"] == "read")
    return {str(SourceTable(step["config"].get("schema", own), step["config"]["table"])) for step in steps}


def missing_tables(entry: str, source: ConnectionRef, pinned: set[str], existing: set[str]) -> Iterator[Diagnostic]:
    """Yield a warning if pinned tables no longer exist, with the tables that may have their rows under a new name."""
    if names := sorted(pinned - existing):
        others = {name.rpartition(".")[2]: name for name in sorted(existing - pinned)}
        near = {name: nearest(name.rpartition(".")[2], others) for name in names[:_NAMED]}
        renamed = [f"{name}: did you mean {others[new]}? " for name, new in near.items() if new]
        hint = "".join([*renamed, CODES["LCK010"].hint or ""])
        yield diagnostic("LCK010", entry=entry, source=source, tables=_listed(names), hint=hint)


def new_tables(code: str, entry: str, source: ConnectionRef, tables: Iterable[str]) -> Iterator[Diagnostic]:
    """Yield a note with a code if there are new tables."""
    if names := [*tables]:
        yield diagnostic(code, entry=entry, source=source, tables=_listed(names))


def tables_without_cursor(plan: Manifest, is_meant: Callable[..., bool]) -> Iterator[Diagnostic]:
    """Yield a note for each entry with tables that are read whole; `is_meant` tells it of a writer and its reader."""
    steps = {step["id"]: step for step in plan.steps}
    tables: dict[str, list[str]] = defaultdict(list)
    for step in plan.steps:
        if "entry" not in step or step["mode"] != "write" or "state" in step:
            continue
        reader = steps[step["needs"][0]]
        if is_meant(step, reader):
            name = [reader["config"][key] for key in ("schema", "table") if key in reader["config"]]
            tables[step["entry"]].append(".".join(name))
    for entry, names in tables.items():
        yield diagnostic("STA047", entry=entry, tables=_listed(names))


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
    if any(MASK in name for table in tables for name in (table.schema, table.name, *table.key)):
        fail("CON079", what=f"a schema, table or key column of {ref}")
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


def _pinned_tables(pin: PinnedEntry | None, source: str) -> Catalogue | None:
    """Return the pinned tables of an entry; None if there are none, or if they were asked of another source."""
    return Catalogue(pin.own, tuple(map(_table, pin.tables))) if pin is not None and pin.source == source else None


def _pinned(table: SourceTable) -> PinnedTable:
    return PinnedTable(table.schema, table.name, table.kind, table.key)


def _table(pin: PinnedTable) -> SourceTable:
    return SourceTable(pin.schema, pin.name, pin.key, pin.kind)
