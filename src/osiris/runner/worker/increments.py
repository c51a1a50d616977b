"""What the runs of pairs read and record: states are loaded from targets before sources are read.

The extractors of an entry share one state of their source where that is possible. The states of all its pairs are
loaded before it, so that no pair writes what is older than its state.
"""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from osiris.canonical import fingerprint
from osiris.errors import Location, OsirisError, fail
from osiris.model import schema_from_json
from osiris.replication import Cursor, Increment, Pair
from osiris.runner.worker.job_context import make_ready
from osiris.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from osiris.driver import Shared
    from osiris.model import JsonValue, Schema
    from osiris.replication import Rows, State
    from osiris.runner.worker.job_context import JobContext, Ready

    Step = Mapping[str, JsonValue]

T = TypeVar("T")

_NAMED = 20
_SHOWN = 300
"""How many characters of a query a message shows."""

_HOW = re.compile("description|default|timeout|ssl|tls|keepalive|cert|compress|retries|user")
"""Fields that say how a source is reached, not which one it is."""

_AT = Location(pointer="/config/cursor")
_WHAT = {"cursor": "its cursor", "query": "what it reads"}


@dataclass(slots=True)
class _Entry:
    """The extractors of an entry: their increments or errors by step, what they share, and how many are left."""

    left: int
    increments: dict[str, Increment | OsirisError | None] = field(default_factory=dict)
    shared: Shared | OsirisError | None = None
    stack: ExitStack = field(default_factory=ExitStack)


class Increments:
    """The increments of a job's pairs, by writer, and the snapshots of its entries."""

    def __init__(self, job_ctx: JobContext) -> None:
        self._job_ctx = job_ctx
        self._steps = {step["id"]: step for step in job_ctx.job.steps if step["id"] not in job_ctx.job.skip}
        self._writers = {step["state"]["reader"]: step for step in self._steps.values() if "state" in step}
        self._by_writer: dict[str, Increment] = {}
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self._deletes_later: set[str] = set()

    def delete_later(self, writers: Iterable[str]) -> None:
        """Have these writers leave the rows that they are to delete to another delivery."""
        self._deletes_later.update(writers)

    def of_writer(self, step: str) -> Increment | None:
        """Return the increment whose rows a writer gets, if its extractor has started."""
        return self._by_writer.get(step)

    def prepare(self, reader: Ready, *, alone: bool) -> None:
        """Complete the context of an extractor: its increment, and the state of the source that its entry shares.

        `alone`: it reads in a snapshot of its own, as after a failure. Fails with STA002, STA003, and as loading fails.
        """
        step, entry = reader.data, reader.data.get("entry")
        if entry is None or alone or self._job_ctx.job.kind != "run":
            increment, shared = self._load(reader), None
        else:
            with self._lock:
                home = self._entries.get(entry) or self._open(entry)
            increment, shared = _or_raise(home.increments[step["id"]]), _or_raise(home.shared)
        if increment:
            self._by_writer[self._writers[step["id"]]["id"]] = increment
        is_in_it = shared is not None and (reader.config.schema, reader.config.table) in shared.tables
        reader.context = replace(reader.context, increment=increment, shared=shared if is_in_it else None)

    def end(self, step: Step) -> None:
        """Release what an entry shares when its last extractor has ended."""
        with self._lock:
            home = self._entries.get(step.get("entry", ""))
            if home and step["id"] in home.increments:
                home.left -= 1
                if not home.left:
                    home.stack.close()

    def close(self) -> None:
        """Release everything."""
        for home in self._entries.values():
            home.stack.close()

    def _open(self, entry: str) -> _Entry:
        readers = [step for step in self._steps.values() if step["mode"] == "read" and step.get("entry") == entry]
        ready = [make_ready(self._job_ctx, step) for step in readers]
        home = self._entries[entry] = _Entry(len(readers))
        for each in ready:
            try:
                home.increments[each.data["id"]] = self._load(each)
            except OsirisError as error:
                home.increments[each.data["id"]] = error
        try:
            shared = ready[0].driver.shared([each.config for each in ready], ready[0].context)
            home.shared = now = home.stack.enter_context(shared)
            self._emit_shared(entry, ready, now)
        except OsirisError as error:
            home.shared = error
        return home

    def _emit_shared(self, entry: str, ready: Sequence[Ready], shared: Shared | None) -> None:
        """Report which tables of an entry are read in one state of their source."""
        names = [(each.config.schema, each.config.table) for each in ready]
        apart = [str(table) for schema, table in names if shared is None or (schema, table) not in shared.tables]
        fields = {"entry": entry, "tables": len(names) - len(apart), "apart": len(apart), "apart_first": apart[:_NAMED]}
        ready[0].context.emit("snapshot_shared", fields)

    def _load(self, reader: Ready) -> Increment | None:
        """Return the increment of an extractor with a cursor; None if it has none, or if nothing is delivered."""
        cursor, job = Cursor.of(reader.data["config"]), self._job_ctx.job
        writer = self._writers.get(reader.data["id"])
        if cursor is None or not writer or job.kind != "run" or writer["id"] in job.discard:
            return None
        ready = make_ready(self._job_ctx, writer)
        schema, deletes = schema_of(writer, self._steps), ready.context.deletes
        pair = Pair.of(writer, self._steps)
        source = source_digest(reader.context.connection)
        before, repeated = load_fitting(ready, schema, pair, source)
        appends = writer["config"].get("write_mode") != "upsert"
        target = ready.driver.keys(ready.config, schema, ready.context) if deletes and not deletes.column else None
        later = writer["id"] in self._deletes_later
        return Increment(
            pair, cursor, before, repeated, appends, source, deletes=deletes, target=target, deletes_later=later
        )


def schema_of(writer: Step, steps: Mapping[str, Step]) -> Schema:
    """Return the schema of the rows that a writer gets."""
    (parent,) = writer["inputs"].values()
    return schema_from_json(steps[parent]["schema"])


def load_fitting(writer: Ready, schema: Schema, pair: Pair, source: str) -> tuple[State | None, Rows]:
    """Return the state of a pair and its repeated rows; fails as loading them, STA002 or STA003 if they do not fit."""
    before, repeated = writer.driver.state(writer.config, schema, writer.context)
    if before is not None:
        _expect_same("STA002", [_change(name, pair, before) for name in _changes(pair.form, before.form)], pair)
        _expect_same("STA003", ["its connection"] if before.source not in (None, source) else [], pair)
    return before, repeated


def _or_raise(answer: T | OsirisError) -> T:
    if isinstance(answer, OsirisError):
        raise answer
    return answer


def source_digest(connection: Mapping[str, JsonValue]) -> str:
    """Return the SHA-256, in hex, of a connection's resolved fields that say which source it is, without secrets."""
    fields = ((name, value) for name, value in connection.items() if not isinstance(value, Secret))
    return fingerprint({name: value for name, value in fields if not _HOW.search(name)})


def _changes(form: Mapping[str, str], before: Mapping[str, str] | None) -> list[str]:
    return [] if before is None else [name for name in form if form[name] != before.get(name)]


def _change(name: str, pair: Pair, before: State) -> str:
    """Return what of the form changed, from what to what; states of earlier versions do not say that."""
    old, new = (texts.get(name, "")[:_SHOWN] for texts in (before.texts, pair.texts))
    return f"{_WHAT[name]} changed{f' from {old} to {new}' if old and old != new else ''}"


def _expect_same(code: str, changes: Sequence[str], pair: Pair) -> None:
    if changes:
        fail(code, at=_AT, what=" and ".join(changes), source=pair.source)
