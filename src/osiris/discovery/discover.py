"""Looks at a source, or recalls what was found when nothing has changed since: its state is always asked."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.canonical import canonical_bytes, sha256_hex
from osiris.discovery.store import now
from osiris.errors import Diagnostic, did_you_mean, fail, has_errors, raise_all
from osiris.runner.adapter import WorkerDied
from osiris.runner.host.passing_job import passing_job
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.config import Config
    from osiris.discovery.store import Entry, Store
    from osiris.model import JsonValue
    from osiris.project import Project
    from osiris.runner.adapter import Worker
    from osiris.runner.protocol import Secrets

PROFILED = 20
"""The most tables whose rows are looked at by one command."""


LONGEST = 120.0
"""Seconds that a source has to tell what it is and what tables it has."""

ROWS = 20.0
"""Seconds that the rows of one table may take."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a source: tables by name or pattern, columns, a profile, samples (none, masked, raw)."""

    tables: Sequence[str] = ()
    columns: Sequence[str] = ()
    profile: bool = False
    samples: str = "none"
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """An answer, when it was given, and whether it was given before this command."""

    answer: JsonValue
    made_at: str
    recalled: bool


@dataclass(slots=True)
class Discovered:
    """A source, the SHA-256 of what tells it from others, its state, its tables, and what their rows are like."""

    label: str
    product: str
    key: str
    fingerprint: str
    catalogue: Found
    rows: dict[str, Found] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def tables(self) -> list[dict[str, JsonValue]]:
        """The tables, by their JSON."""
        tables: list[dict[str, JsonValue]] = self.catalogue.answer["tables"]
        return tables


def discover(asking: Asking, store: Store, wanted: Wanted) -> Discovered:
    """Return what is wanted of a source; fails as its extractor does, and with DSC001, DSC003, DSC008 or DRV012.

    What is recalled was true of the state that the source has now; of rows only their tables' state is known.
    """
    (state,) = (event for event in asking.look("state") if event["event"] == "source")
    key = sha256_hex(canonical_bytes([asking.source.name.partition(".")[0], state["identity"]]))
    looking = _Looking(asking, store, wanted, key, state["fingerprint"])
    store.put(["state", key], state["fingerprint"], None)
    found = Discovered(state["label"], state["product"], key, state["fingerprint"], looking.catalogue())
    if wanted.profile or wanted.samples != "none":
        names = [table["name"] for table in found.tables]
        if len(names) > PROFILED:
            fail("DSC003", count=len(names), most=PROFILED)
        columns = [column["name"] for table in found.tables for column in table["columns"] or ()]
        _check_columns(wanted.columns, columns, found.label)
        found.rows = looking.rows(names)
    found.diagnostics = [*store.notes, *looking.notes]
    return found


def _check_columns(wanted: Sequence[str], known: Sequence[str], where: str) -> None:
    """Fail with DAT005 for a column that no table has."""
    for name in wanted:
        if name not in known:
            fail("DAT005", column=name, where=where, hint=did_you_mean(name, set(known)))


@dataclass(slots=True)
class _Looking:
    """One look at a source in one state."""

    asking: Asking
    store: Store
    wanted: Wanted
    key: str
    fingerprint: str
    notes: list[Diagnostic] = field(default_factory=list)

    def catalogue(self) -> Found:
        """Return the tables that are wanted."""
        name = ["tables", self.key, sorted(self.wanted.tables)]
        if known := self._recalled(name):
            return known
        told = self.asking.look("tables", tables=list(self.wanted.tables))
        (schemas,) = (event for event in told if event["event"] == "schemas")
        (closed,) = (event for event in told if event["event"] == "closed")
        tables = [{key: event[key] for key in event if key != "event"} for event in told if event["event"] == "table"]
        answer = {"schemas": schemas["schemas"], "own": schemas["own"], "closed": closed["tables"], "tables": tables}
        return Found(answer, self.store.put(name, self.fingerprint, answer), recalled=False)

    def rows(self, tables: Sequence[str]) -> dict[str, Found]:
        """Return what the rows of tables are like; rows as they are are never kept."""
        found = {table: known for table in tables if (known := self._recalled(self._rows_name(table)))}
        missing = [table for table in tables if table not in found]
        found |= self._asked(missing) if missing else {}
        return {table: found[table] for table in tables if table in found}

    def _asked(self, tables: Sequence[str]) -> dict[str, Found]:
        """Ask what the rows of tables are like, and keep what is told."""
        wanted = self.wanted
        more = {"columns": list(wanted.columns), "profile": wanted.profile, "samples": wanted.samples}
        told = self.asking.look("rows", (ROWS + 10) * len(tables) + 30, tables=tables, **more)
        self.notes += [Diagnostic.from_json(item) for event in told for item in event.get("diagnostics", ())]
        rows = [event for event in told if event["event"] == "rows" and event["told"]]
        return {event["table"]: self._kept(event["table"], event["told"]) for event in rows}

    def _rows_name(self, table: str) -> JsonValue:
        wanted = self.wanted
        return ["rows", self.key, table, list(wanted.columns), wanted.profile, wanted.samples]

    def _kept(self, table: str, told: JsonValue) -> Found:
        if self.wanted.samples == "raw":
            return Found(told, now(), recalled=False)
        return Found(told, self.store.put(self._rows_name(table), self.fingerprint, told), recalled=False)

    def _recalled(self, name: JsonValue) -> Found | None:
        entry: Entry | None = None if self.wanted.refresh else self.store.get(name)
        if entry is None or entry.fingerprint != self.fingerprint:
            return None
        return Found(entry.answer, entry.made_at, recalled=True)


@dataclass(frozen=True, slots=True)
class Source:
    """A connection (`@family.alias`, with its fields), or a path."""

    name: str
    path: str | None
    secrets: Secrets


@dataclass(frozen=True, slots=True)
class Asking:
    """A worker that is asked about a source."""

    project: Project
    config: Config
    link: Worker
    source: Source

    def look(self, look: str, limit: float = LONGEST, **more: JsonValue) -> list[dict[str, JsonValue]]:
        """Return what the worker tells within `limit` seconds; `more` is as `runner.discover.Asked` has it.

        Raises what is wrong, or RUN001 or DSC008.
        """
        told: list[dict[str, JsonValue]] = []
        asked = {"look": look, "source": self.source.name, "path": self.source.path, "seconds": ROWS, **more}
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.link.cancel()

        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        timer.start()
        try:
            with passing_job(self.project, self.config, "discover", discover=asked) as job:
                end = self.link.ask(job, self.source.secrets, told.append)
        except WorkerDied as died:
            self._fail_late(late, limit)
            fail("RUN001", status=died.status, during="discover", hint="run the same command again")
        finally:
            timer.cancel()
        self._fail_late(late, limit)
        found = [Diagnostic.from_json(item) for event in [*told, end] for item in event.get("diagnostics", ())]
        if has_errors(found):
            raise_all(found)
        return told

    def _fail_late(self, late: threading.Event, seconds: float) -> None:
        if late.is_set():
            fail("DSC008", source=self.source.name or self.source.path, seconds=duration_text(seconds))
