"""`osiris.lock`: the pinned schemas of sources, so that compiling does not need to query them.

A source is identified by what determines its schema: component, connection as written, and the step's config without
default values. The file is generated YAML, sorted, with one line per column, so that a changed source is a readable
diff. Every entry has a fingerprint over its content, so that manual edits are detected.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from osiris.canonical import canonical_bytes, fingerprint
from osiris.document import load_text, read_document
from osiris.durable import write_file
from osiris.errors import Diagnostic, InvalidInput, Location, diagnostic, fail, raise_all
from osiris.json_schema import fits
from osiris.model import Described, Field, resolve_order
from osiris.project_lock import hold_project
from osiris.types import Change, schema_changes, spelled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from osiris.document import Document
    from osiris.model import ComponentSpec, JsonValue, Order, Schema
    from osiris.project import Project

LOCK_VERSION = 2
"""A file without tables of `replicate` has version 1, which earlier versions of Osiris read."""

_HEAD = """\
# The schemas of this project's sources when they were last read. Written by `osiris compile`; commit this file.
# `osiris compile FILE --refresh` reads the sources of FILE again.
lock_version: {version}
"""
_CONFLICT = re.compile(r"(<{7}|={7}|>{7}|\|{7})( .*)?")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NOT_NULL = " not null"
_LONGEST_KEY = 1000
"""Characters of a key before a colon; YAML allows 1,024."""
_SHAPE: dict[str, type | tuple[type, ...]] = {
    "component": str,
    "config": dict,
    "pipelines": list,
    "columns": list,
    "order": str,
    "source": str,
    "fingerprint": str,
    "pinned_at": str,
}
_TEXT: JsonValue = {"type": "string"}
_TEXTS: JsonValue = {"type": "array", "items": _TEXT}
_TABLE_KEYS = {"schema": _TEXT, "name": _TEXT, "kind": _TEXT, "key": _TEXTS}
_TABLE = {"type": "object", "required": ["schema", "name"], "additionalProperties": False, "properties": _TABLE_KEYS}
_ENTRY_KEYS = (
    *("pipeline", "entry", "connection", "own", "tables"),
    *("source", "fingerprint", "pinned_at"),
)
_ENTRY: JsonValue = {
    "type": "object",
    "required": list(_ENTRY_KEYS),
    "additionalProperties": False,
    "properties": {**dict.fromkeys(_ENTRY_KEYS, _TEXT), "tables": {"type": "array", "items": _TABLE}},
}
_OPTIONAL: dict[str, type | tuple[type, ...]] = {"connection": str, "native": list}


@dataclass(frozen=True, slots=True)
class Source:
    """A source: readable fields (`config` is text by key), and its identity `key`, a SHA-256."""

    component: str
    connection: str | None
    config: Mapping[str, str]
    key: str

    def __str__(self) -> str:
        """Return a readable name: the connection, and the path, table, query or URL."""
        where = next((self.config[name] for name in ("path", "table", "query", "url") if name in self.config), None)
        return " ".join(part for part in (self.connection, where) if part) or self.component


@dataclass(frozen=True, slots=True)
class Pin:
    """The schema of a source; `pinned_at` (UTC, ISO 8601) and `pipelines` are not part of the fingerprint."""

    source: Source
    schema: Schema
    order: Order
    native: tuple[str, ...] | None = None
    pinned_at: str = ""
    pipelines: tuple[str, ...] = ()

    @property
    def described(self) -> Described:
        """The pin as the description of its source."""
        return Described(self.schema, self.order, native=self.native)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the source and its schema."""
        return fingerprint(
            {
                "component": self.source.component,
                "connection": self.source.connection,
                "config": dict(self.source.config),
                "source": self.source.key,
                "columns": [column.to_json() for column in self.schema],
                "order": self.order,
                "native": None if self.native is None else list(self.native),
            }
        )


Lock = dict[str, Pin]
"""Pins by source key."""


@dataclass(frozen=True, slots=True)
class PinnedTable:
    """A table of an entry of `replicate`, with the columns of its key."""

    schema: str
    name: str
    kind: str = "table"
    key: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields that are not empty or usual."""
        optional = {"kind": self.kind if self.kind != "table" else None, "key": list(self.key) or None}
        return {"schema": self.schema, "name": self.name, **{key: each for key, each in optional.items() if each}}


@dataclass(frozen=True, slots=True)
class PinnedEntry:
    """The tables of an entry of `replicate` of a pipeline, sorted.

    `source` is a digest of what was asked: the connection as written and the patterns. `own` is the schema of names
    without one. `pinned_at` is not part of the fingerprint.
    """

    pipeline: str
    entry: str
    connection: str
    source: str
    own: str
    tables: tuple[PinnedTable, ...]
    pinned_at: str = ""

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the entry and its tables."""
        tables = [table.to_json() for table in self.tables]
        return fingerprint([self.pipeline, self.entry, self.connection, self.source, self.own, tables])


Entries = dict[tuple[str, str], PinnedEntry]
"""Pinned entries by pipeline and entry."""


def source_of(step: Mapping[str, JsonValue], spec: ComponentSpec, fields: Mapping[str, JsonValue] | None) -> Source:
    """Return the source of a read step of a manifest; `fields` are those of its connection as written, if any.

    Of the reserved config keys, `cast` affects a schema, and `cursor` what is checked in the source.
    """
    properties = spec.config.get("properties", {})
    config = {
        key: value
        for key, value in step["config"].items()
        if key in ("cast", "cursor") or (key in properties and value != properties[key].get("default"))
    }
    identity = {"component": spec.name, "connection": step["connection"], "fields": fields, "config": config}
    shown = {key: value if isinstance(value, str) else canonical_bytes(value).decode() for key, value in config.items()}
    return Source(spec.name, step["connection"], shown, fingerprint(identity))


def pin_of(source: Source, described: Described) -> Pin:
    """Return the pin of a source that was just described."""
    return Pin(source, described.schema or (), resolve_order(described.order, ()), described.native)


def pin_changes(old: Pin, new: Pin) -> list[Change]:
    """Return the changes between two pins of one source; `native` is reported only if nothing else changed."""
    changes = schema_changes(old.schema, new.schema)
    if old.order != new.order:
        changes.append(Change("order", None, old.order, new.order))
    if not changes and old.native != new.native:
        changes.append(Change("native", None, *(_names_text(pin.native) for pin in (old, new))))
    return changes


def _names_text(names: tuple[str, ...] | None) -> str:
    return "unknown" if names is None else ", ".join(names) or "none"


def save_lock(
    project: Project, pipeline: str, pins: Collection[Pin], *, refreshed: bool, entries: Collection[PinnedEntry] = ()
) -> None:
    """Add the pins of a pipeline's sources to the lock, atomically; an unchanged lock is not rewritten.

    An unchanged pin keeps its time. Other sources are not changed; but if the pipeline was `refreshed`, it is removed
    from sources that it no longer reads, and sources without readers are removed. `entries` are all of the pipeline's
    entries of `replicate`. Fails as `load_lock`.
    """
    with hold_project(project):
        before, entries_before = _load(project)
        after = dict(before)
        for pin in pins:
            after[pin.source.key] = _pinned(pin, before.get(pin.source.key), pipeline)
        if refreshed:
            read = {pin.source.key for pin in pins}
            after = {key: pin for key, pin in _released(after, pipeline, read).items() if pin.pipelines}
        entries_after = {key: entry for key, entry in entries_before.items() if key[0] != pipeline}
        entries_after |= {(pipeline, each.entry): _kept_time(each, entries_before) for each in entries}
        if (after, entries_after) != (before, entries_before):
            write_file(project.lock_file, lock_text(after, entries_after).encode(), private=False)


def _kept_time(entry: PinnedEntry, before: Entries) -> PinnedEntry:
    old = before.get((entry.pipeline, entry.entry))
    return old if old is not None and old.fingerprint == entry.fingerprint else replace(entry, pinned_at=_now())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _pinned(pin: Pin, before: Pin | None, pipeline: str) -> Pin:
    same = before is not None and before.fingerprint == pin.fingerprint
    readers = {pipeline, *(before.pipelines if before else ())}
    return replace(pin, pinned_at=before.pinned_at if before and same else _now(), pipelines=tuple(sorted(readers)))


def _released(lock: Lock, pipeline: str, read: set[str]) -> Lock:
    def released(pin: Pin) -> Pin:
        return replace(pin, pipelines=tuple(name for name in pin.pipelines if name != pipeline))

    return {key: pin if key in read else released(pin) for key, pin in lock.items()}


def lock_text(lock: Lock, entries: Entries | None = None) -> str:
    """Return the text of a lock file."""
    pins = sorted(lock.values(), key=lambda pin: (pin.source.component, str(pin.source), pin.source.key))
    lines = [_HEAD.format(version=LOCK_VERSION if entries else 1), "sources:\n" if pins else "sources: []\n"]
    lines += [line for pin in pins for line in _lines(pin)]
    lines += ["replicate:\n"] if entries else []
    lines += [line for _, entry in sorted((entries or {}).items()) for line in _entry_lines(entry)]
    return "".join(lines)


def _entry_lines(entry: PinnedEntry) -> Iterator[str]:
    yield f"  - pipeline: {_quoted(entry.pipeline)}\n"
    yield f"    entry: {_quoted(entry.entry)}\n"
    yield f"    connection: {_quoted(entry.connection)}\n"
    yield f"    own: {_quoted(entry.own)}\n"
    yield "    tables:\n" if entry.tables else "    tables: []\n"
    for table in entry.tables:
        fields = {
            key: _listed(each) if isinstance(each, list) else _quoted(each) for key, each in table.to_json().items()
        }
        yield f"      - {{{', '.join(f'{key}: {each}' for key, each in fields.items())}}}\n"
    yield f"    source: {_quoted(entry.source)}\n"
    yield f"    fingerprint: {_quoted(entry.fingerprint)}\n"
    yield f"    pinned_at: {_quoted(entry.pinned_at)}\n"


def _lines(pin: Pin) -> Iterator[str]:
    source = pin.source
    yield f"  - component: {_quoted(source.component)}\n"
    if source.connection:
        yield f"    connection: {_quoted(source.connection)}\n"
    yield "    config:\n" if source.config else "    config: {}\n"
    yield from (f"      {_quoted(key)}: {_quoted(text)}\n" for key, text in sorted(source.config.items()))
    yield f"    pipelines: {_listed(pin.pipelines)}\n"
    yield "    columns:\n" if pin.schema else "    columns: []\n"
    yield from (f"      - {_pair(column.name, spelled(column))}\n" for column in pin.schema)
    yield f"    order: {_quoted(pin.order)}\n"
    if pin.native is not None:
        yield f"    native: {_listed(pin.native)}\n"
    yield f"    source: {_quoted(source.key)}\n"
    yield f"    fingerprint: {_quoted(pin.fingerprint)}\n"
    yield f"    pinned_at: {_quoted(pin.pinned_at)}\n"


def _pair(key: str, text: str) -> str:
    """Return a key and its text; a key that is longer than YAML reads before a colon begins with a question mark."""
    quoted = _quoted(key)
    return f"{quoted}: {_quoted(text)}" if len(quoted) <= _LONGEST_KEY else f"? {quoted}\n        : {_quoted(text)}"


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(_quoted(text) for text in texts)}]"


def _quoted(text: str) -> str:
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def load_lock(project: Project) -> Lock:
    """Return the project's lock, empty if there is none.

    Fails with LCK001 (malformed), LCK002 (merge conflict), LCK003 (edited by hand), LCK004 (another version) and LCK005
    (duplicate source), each with its line.
    """
    return _load(project)[0]


def load_entries(project: Project) -> Entries:
    """Return the pinned tables of entries of `replicate`; fails as `load_lock`."""
    return _load(project)[1]


def _load(project: Project) -> tuple[Lock, Entries]:
    path = project.lock_file
    if not path.exists():
        return {}, {}
    lock, entries = _parsed(_load_text(path), path.name)
    return dict(lock), dict(entries)


@lru_cache(maxsize=1)
def _parsed(text: str, name: str) -> tuple[Lock, Entries]:
    """Return what a lock file has; remembered, as a command reads the file for each of its questions."""
    document = _read(text, name)
    sources = _sources(document)
    pins = [_pin(document, f"/sources/{number}", entry) for number, entry in enumerate(sources)]
    problems = [problem for each in pins if isinstance(each, list) for problem in each]
    problems += _repeated(document, pins)
    entries, more = _read_entries(document)
    if problems or more:
        raise_all([*problems, *more])
    return {pin.source.key: pin for pin in pins if isinstance(pin, Pin)}, entries


def _read_entries(document: Document) -> tuple[Entries, list[Diagnostic]]:
    written = document.data.get("replicate", [])
    entries = [_entry(document, f"/replicate/{number}", each) for number, each in enumerate(written)]
    problems = [each for each in entries if isinstance(each, Diagnostic)]
    return {(each.pipeline, each.entry): each for each in entries if isinstance(each, PinnedEntry)}, problems


def _entry(document: Document, pointer: str, written: JsonValue) -> PinnedEntry | Diagnostic:
    at = document.where(pointer)
    if not fits(written, _ENTRY):
        return diagnostic("LCK001", at=at, problem="an entry of 'replicate' has another form")
    tables = (PinnedTable(**{**table, "key": tuple(table.get("key", ()))}) for table in written["tables"])
    texts = {key: written[key] for key in ("pipeline", "entry", "connection", "source", "own", "pinned_at")}
    entry = PinnedEntry(**texts, tables=tuple(tables))
    if entry.fingerprint == written["fingerprint"]:
        return entry
    return diagnostic("LCK003", at=at, source=f"entry '{entry.entry}' of pipeline '{entry.pipeline}'")


def _load_text(path: Path) -> str:
    with _as_malformed(path.name):
        return load_text(path, path.name)


def _read(text: str, name: str) -> Document:
    for number, line in enumerate(text.splitlines(), 1):
        if _CONFLICT.fullmatch(line):
            fail("LCK002", at=Location(name, number))
    with _as_malformed(name):
        return read_document(text, name)


@contextmanager
def _as_malformed(name: str) -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise_all(
            diagnostic("LCK001", at=d.location, problem=d.message.removeprefix(f"{name}: ")) for d in error.diagnostics
        )


def _sources(document: Document) -> list[JsonValue]:
    data = document.data
    if not isinstance(data, dict) or "lock_version" not in data:
        fail("LCK001", at=document.where(""), problem="it has no lock_version")
    if data["lock_version"] not in range(1, LOCK_VERSION + 1):
        at = document.where("/lock_version")
        fail("LCK004", at=at, found=data["lock_version"], known=f"1 to {LOCK_VERSION}")
    unknown = [key for key in data if key not in ("lock_version", "sources", "replicate")]
    if unknown:
        fail("LCK001", at=document.where_key(f"/{unknown[0]}"), problem=f"unknown key '{unknown[0]}'")
    for key in ("sources", *(("replicate",) if "replicate" in data else ())):
        if not isinstance(data.get(key), list):
            fail("LCK001", at=document.where(f"/{key}"), problem=f"'{key}' must be a list")
    sources: list[JsonValue] = data["sources"]
    return sources


def _pin(document: Document, pointer: str, entry: JsonValue) -> Pin | list[Diagnostic]:
    at = document.where(pointer)
    problem = _shape_problem(entry)
    if problem:
        return [diagnostic("LCK001", at=at, problem=problem)]
    source = Source(entry["component"], entry.get("connection"), entry["config"], entry["source"])
    native = entry.get("native")
    pin = Pin(
        source,
        tuple(_column(name, text) for column in entry["columns"] for name, text in column.items()),
        "fixed" if entry["order"] == "fixed" else "free",
        None if native is None else tuple(native),
        entry["pinned_at"],
        tuple(entry["pipelines"]),
    )
    if pin.fingerprint == entry["fingerprint"] and entry["order"] == pin.order:
        return pin
    return [diagnostic("LCK003", at=at, source=source)]


def _shape_problem(entry: JsonValue) -> str | None:
    """Return what is malformed in an entry; None if nothing is."""
    if not isinstance(entry, dict):
        return "a source must be a mapping"
    types = _SHAPE | _OPTIONAL
    missing = [key for key in _SHAPE if key not in entry]
    if missing:
        return f"'{missing[0]}' of a source is missing"
    wrong = [key for key in entry if key not in types or not isinstance(entry[key], types[key])]
    if wrong:
        return f"'{wrong[0]}' of a source is unknown or of another type"
    others = {type(text) for text in _texts_of(entry)} - {str}
    return "a source has something in it that is no text" if others else None


def _texts_of(entry: dict[str, JsonValue]) -> Iterator[JsonValue]:
    """Yield all values of an entry that must be text; None for a column that is not a name with a type."""
    yield from (*entry["config"].values(), *entry["pipelines"], *entry.get("native", ()))
    for column in entry["columns"]:
        yield from column.values() if isinstance(column, dict) and len(column) == 1 else (None,)


def _column(name: str, text: str) -> Field:
    return Field(name, text.removesuffix(_NOT_NULL), not text.endswith(_NOT_NULL))


def _repeated(document: Document, pins: list[Pin | list[Diagnostic]]) -> Iterator[Diagnostic]:
    first_lines: dict[str, int | None] = {}
    for number, pin in enumerate(pins):
        at = document.where(f"/sources/{number}")
        if isinstance(pin, Pin) and pin.source.key in first_lines:
            yield diagnostic("LCK005", at=at, source=pin.source, first=first_lines[pin.source.key])
        elif isinstance(pin, Pin):
            first_lines[pin.source.key] = at.line
