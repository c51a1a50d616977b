"""Discover a source, or return cached answers if it has not changed since; its state is always queried."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.canonical import canonical_bytes, sha256_hex
from osiris.discovery.store import now
from osiris.errors import Diagnostic, diagnostic, did_you_mean, fail, has_errors, raise_all
from osiris.runner.adapter import WorkerDied
from osiris.runner.host.passing_job import passing_job
from osiris.secret import Scrubber, Secret
from osiris.secret.scrubber import MASK, SHORTEST
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
"""The maximum number of tables whose rows one command reads."""

LONGEST = 120.0
"""Timeout in seconds of queries for a source's state and tables."""

_OF_OSIRIS = ("event", "component", "kind", "order", "native", "fingerprint", "identity")
"""Fields of events with words of Osiris, which a value may equal, and what is only hashed."""

_SEPARATORS = re.compile(r"([\s/\\:@,]+)")

ROWS = 20.0
"""Timeout in seconds of reading the rows of one table."""


@dataclass(frozen=True, slots=True)
class DiscoveryRequest:
    """What to discover of a source: tables by name or pattern, columns, a profile, samples (none, masked, raw)."""

    tables: Sequence[str] = ()
    columns: Sequence[str] = ()
    profile: bool = False
    samples: str = "none"
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, when it was given (UTC, ISO 8601), and whether it comes from the cache."""

    answer: JsonValue
    made_at: str
    recalled: bool


@dataclass(slots=True)
class Discovered:
    """A source; `key` is the SHA-256 of its identity, `fingerprint` its state, `rows` are profiles by table."""

    label: str
    product: str
    key: str
    fingerprint: str
    catalogue: Answer
    rows: dict[str, Answer] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def tables(self) -> list[dict[str, JsonValue]]:
        """The tables as JSON objects."""
        tables: list[dict[str, JsonValue]] = self.catalogue.answer["tables"]
        return tables


def discover(worker: SourceWorker, store: Store, request: DiscoveryRequest) -> Discovered:
    """Discover a source; fails as its extractor does, and with DSC001, DSC003, DSC008 or DRV012.

    Cached answers are those of the source's current state; changes of rows alone may not change that state.
    """
    (state,) = (event for event in worker.query("state") if event["event"] == "source")
    # "masked" tells these entries from those of earlier versions, in which names were not.
    key = sha256_hex(canonical_bytes([worker.source.name.partition(".")[0], state["identity"], "masked"]))
    discovery = _Discovery(worker, store, request, key, state["fingerprint"])
    store.put(["state", key], state["fingerprint"], None)
    discovered = Discovered(state["label"], state["product"], key, state["fingerprint"], discovery.catalogue())
    if request.profile or request.samples != "none":
        names = discovery.profiled([table["name"] for table in discovered.tables])
        columns = [column["name"] for table in discovered.tables for column in table["columns"] or ()]
        _check_columns(request.columns, columns, discovered.label)
        discovered.rows = discovery.rows(names)
    discovered.diagnostics = [*store.notes, *discovery.notes]
    return discovered


def _check_columns(requested: Sequence[str], existing: Sequence[str], label: str) -> None:
    """Fail with DAT005 for a column that no table has."""
    for name in requested:
        if name not in existing:
            fail("DAT005", column=name, where=label, hint=did_you_mean(name, set(existing)))


@dataclass(slots=True)
class _Discovery:
    """The discovery of a source in one state."""

    worker: SourceWorker
    store: Store
    request: DiscoveryRequest
    key: str
    fingerprint: str
    notes: list[Diagnostic] = field(default_factory=list)

    def catalogue(self) -> Answer:
        """Return the requested tables."""
        name = ["tables", self.key, sorted(self.request.tables)]
        if cached := self._recalled(name):
            return cached
        events = self.worker.query("tables", tables=list(self.request.tables))
        (schemas,) = (event for event in events if event["event"] == "schemas")
        (closed,) = (event for event in events if event["event"] == "closed")
        tables = [{key: event[key] for key in event if key != "event"} for event in events if event["event"] == "table"]
        answer = {"schemas": schemas["schemas"], "own": schemas["own"], "closed": closed["tables"], "tables": tables}
        return Answer(answer, self.store.put(name, self.fingerprint, answer), recalled=False)

    def profiled(self, tables: Sequence[str]) -> list[str]:
        """Return the tables that can be asked for by name: not masked ones; fails with DSC003 if they are too many."""
        named = [name for name in tables if MASK not in name]
        if len(named) > PROFILED:
            fail("DSC003", count=len(named), most=PROFILED)
        reason = "its name has a secret in it"
        self.notes += [diagnostic("DSC005", table=name, reason=reason) for name in tables if name not in named]
        return named

    def rows(self, tables: Sequence[str]) -> dict[str, Answer]:
        """Return profiles and samples of the rows of tables; raw samples are never cached."""
        answers = {table: cached for table in tables if (cached := self._recalled(self._rows_name(table)))}
        missing = [table for table in tables if table not in answers]
        answers |= self._query_rows(missing) if missing else {}
        return {table: answers[table] for table in tables if table in answers}

    def _query_rows(self, tables: Sequence[str]) -> dict[str, Answer]:
        """Query profiles and samples of the rows of tables, and cache them."""
        request = self.request
        options = {"columns": list(request.columns), "profile": request.profile, "samples": request.samples}
        events = self.worker.query("rows", (ROWS + 10) * len(tables) + 30, tables=tables, **options)
        self.notes += [Diagnostic.from_json(item) for event in events for item in event.get("diagnostics", ())]
        rows = [event for event in events if event["event"] == "rows" and event["told"]]
        return {event["table"]: self._cache(event["table"], event["told"]) for event in rows}

    def _rows_name(self, table: str) -> JsonValue:
        request = self.request
        return ["rows", self.key, table, list(request.columns), request.profile, request.samples]

    def _cache(self, table: str, profile: JsonValue) -> Answer:
        if self.request.samples == "raw":
            return Answer(profile, now(), recalled=False)
        return Answer(profile, self.store.put(self._rows_name(table), self.fingerprint, profile), recalled=False)

    def _recalled(self, name: JsonValue) -> Answer | None:
        entry: Entry | None = None if self.request.refresh else self.store.get(name)
        if entry is None or entry.fingerprint != self.fingerprint:
            return None
        return Answer(entry.answer, entry.made_at, recalled=True)


@dataclass(frozen=True, slots=True)
class Source:
    """A connection (`@family.alias`, with its fields), or a path."""

    name: str
    path: str | None
    secrets: Secrets


@dataclass(frozen=True, slots=True)
class SourceWorker:
    """A worker that answers queries about a source."""

    project: Project
    config: Config
    link: Worker
    source: Source

    def query(self, subject: str, limit: float = LONGEST, **options: JsonValue) -> list[dict[str, JsonValue]]:
        """Return the worker's events about a source's `state`, `tables` or `rows`, within `limit` seconds.

        Secrets are masked, except in the `identity` of a state, which is only hashed.
        `options` are those of `runner.worker.discover`. Fails with the worker's errors, RUN001 or DSC008.
        """
        events: list[dict[str, JsonValue]] = []
        job_options = {
            "look": subject,
            "source": self.source.name,
            "path": self.source.path,
            "seconds": ROWS,
            **options,
        }
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.link.cancel()

        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        timer.start()
        try:
            with passing_job(self.project, self.config, "discover", discover=job_options) as job:
                end = self.link.ask(job, self.source.secrets, events.append)
        except WorkerDied as died:
            self._fail_late(late, limit)
            fail("RUN001", status=died.status, during="discover", hint="run the same command again")
        finally:
            timer.cancel()
        self._fail_late(late, limit)
        diagnostics = [Diagnostic.from_json(item) for event in [*events, end] for item in event.get("diagnostics", ())]
        if has_errors(diagnostics):
            raise_all(diagnostics)
        return [_without_secrets(event, self.source.secrets) for event in events]

    def _fail_late(self, late: threading.Event, seconds: float) -> None:
        if late.is_set():
            fail("DSC008", source=self.source.name or self.source.path, seconds=duration_text(seconds))


def _without_secrets(event: dict[str, JsonValue], secrets: Secrets) -> dict[str, JsonValue]:
    """Return an event without secrets, but short ones that no store has: they may be common words.

    Files may be named by them, so they are left out, as is the config of a step that would not work masked.
    """
    hidden = {*secrets.stored, *(text for text in secrets.texts() if len(text) >= SHORTEST)}
    if not hidden:
        return event
    scrubber = Scrubber(map(Secret, sorted(hidden)), pieces=bool(secrets.stored))
    clean = {key: value if key in _OF_OSIRIS else scrubber.json(value) for key, value in event.items()}
    if "label" in event:
        clean["label"] = "".join(map(scrubber.text, _SEPARATORS.split(clean["label"])))
    if event.get("files") and (secrets.stored or clean["files"] != event["files"]):
        clean["files"] = None
    if event["event"] == "table" and _read_by_step(clean) != _read_by_step(event):
        clean["config"] = {}
    return clean


def _read_by_step(table: dict[str, JsonValue]) -> JsonValue:
    columns = [(column["name"], column["type"]) for column in table["columns"] or ()]
    return [table["config"], columns, table["primary_key"]]
