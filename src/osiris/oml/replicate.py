"""`replicate`: entries that stand for one extractor and one writer per table, and their expansion into steps.

docs/decisions/0021-many-tables.md.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from osiris.canonical import canonical_bytes, sha256_hex
from osiris.connections import parse_ref
from osiris.document import join
from osiris.errors import OsirisError, diagnostic, did_you_mean, nearest
from osiris.family_spec import find_family
from osiris.json_schema import fits, validator_of
from osiris.oml.schema import KeyNames, schema_problems

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from osiris.document import Document
    from osiris.errors import Diagnostic, Fix
    from osiris.model import ConnectionRef, JsonValue
    from osiris.registry import Registry

NEEDED = "0.3.0"
"""The version of the language since which files may have `replicate`."""

FOLDER_WRITER = "filesystem.parquet_writer"
OFF = "none"
"""The value that switches a default off."""

_SWITCHED = ("cursor", "deletes")
_OF_ENTRY = ("connection", "table", "query", "schema", "path", "limit", "offset")
"""Config keys that follow from the table, or have no meaning for a whole table."""

_OF_READER, _OF_WRITER = ("cast",), ("checks",)
"""Shared config keys that both steps could have, and only one needs."""

_SNAPSHOT, _LOCK = "snapshot", "lock"
_MODE = "write_mode"
_MODE_OF_CURSOR = "write write_mode: upsert in its defaults; append, if rows are only inserted"

_OWN = "_osiris_"
"""Tables that Osiris keeps in a database begin with this."""
_NOT_BY_WILDCARD = ("partition",)
"""Kinds of tables that only an exact name selects: their rows are those of another table."""

_IS_TARGET = "leave the table out; wildcards do not match targets of the pipeline's pairs"

_IF_NEW = "; if it is new in the source, run 'osiris compile FILE --refresh'"

_LONGEST = 64
_DIGEST = 8
SOURCE = "-source"
"""What the id of an extractor has beyond that of its writer."""

_PART = re.compile(r'"((?:[^"]|"")+)"|([\w$*?-]+)')
_LEVELS = ("schema", "table")
_WILDCARD = re.compile("[*?]")
_PLAIN = re.compile(r"[\w$]+")
_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
_UNSAFE_IN_FOLDERS = re.compile(r"[^\w.-]+")
_PLACEHOLDER = re.compile(r"(?<!\$)\{([^{}]*)\}")
_TEMPLATE_PART = re.compile(r'"((?:[^"]|"")+)"|((?:[^".{}]|\{[^{}]*\})+)')


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table or view of a source: `key` identifies its rows, and is empty if it declares none.

    `kind` is table, view, partition or the like.
    """

    schema: str
    name: str
    key: tuple[str, ...] = ()
    kind: str = "table"
    readable: bool = True

    def __str__(self) -> str:
        """Return the name as it is written in `tables`."""
        return f"{_quoted(self.schema)}.{_quoted(self.name)}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Tables of a source; `own` is the schema of names without one.

    `writers` has the step that writes a table, for each to which a pair of the pipeline writes another table.
    """

    own: str
    tables: tuple[SourceTable, ...]
    writers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A valid entry of `replicate`; `pointer` is its place in the file.

    Either `table` or `folder` is given. `defaults` and `overrides` are config of the steps, the latter by table as
    written.
    """

    id: str
    pointer: str
    source: ConnectionRef
    tables: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    new_tables: Literal["report", "add"] = "report"
    snapshot: Literal["transaction", "lock"] = "transaction"
    target: ConnectionRef | None = None
    table: str | None = None
    folder: str | None = None
    defaults: Mapping[str, JsonValue] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)

    @property
    def reader(self) -> str:
        """The component that reads the tables."""
        return f"{self.source.family}.extractor"

    @property
    def writer(self) -> str:
        """The component that writes the tables."""
        return FOLDER_WRITER if self.target is None or self.table is None else f"{self.target.family}.writer"

    def to_json(self) -> dict[str, JsonValue]:
        """Return what a plan keeps of the entry: what is asked of the source, and how it is read."""
        return {
            "id": self.id,
            "connection": str(self.source),
            "tables": list(self.tables),
            "except": list(self.excluded),
            "new_tables": self.new_tables,
            "snapshot": self.snapshot,
        }


@dataclass(frozen=True, slots=True)
class Pattern:
    """A name of a table with wildcards; without a `schema` it is in that of the connection."""

    schema: re.Pattern[str] | None
    name: re.Pattern[str]
    exact: bool

    def matches(self, table: SourceTable, own: str) -> bool:
        """Return whether a table is meant."""
        if not self.exact and table.kind in _NOT_BY_WILDCARD:
            return False
        in_schema = table.schema == own if self.schema is None else self.schema.fullmatch(table.schema)
        return bool(in_schema and self.name.fullmatch(table.name))


Text: TypeAlias = "dict[str, JsonValue]"
"""A step as it could be written in a file, with the id of its `entry`."""


@cache
def parse_pattern(text: str) -> Pattern | None:
    """Return the pattern of `table` or `schema.table`; None if it has another form."""
    parts = _parts(text, _PART)
    if parts is None:
        return None
    exact = not any(not quoted and _WILDCARD.search(part) for part, quoted in parts)
    *schema, name = (_compiled(part, quoted) for part, quoted in parts)
    return Pattern(schema[0] if schema else None, name, exact)


def _parts(text: str, form: re.Pattern[str]) -> list[tuple[str, bool]] | None:
    """Return the parts of `table` or `schema.table`, each with whether it is quoted; None if it has another form."""
    parts: list[tuple[str, bool]] = []
    end = 0
    while match := form.match(text, end):
        parts.append((match[1].replace('""', '"'), True) if match[1] else (match[2], False))
        end = match.end() + 1
        if text[match.end() : end] != ".":
            break
    return parts if end == len(text) + 1 and 1 <= len(parts) <= len(_LEVELS) else None


def _compiled(part: str, quoted: bool) -> re.Pattern[str]:
    text = re.escape(part)
    return re.compile(text if quoted else text.replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def read_entries(
    document: Document, written: JsonValue, schema: Mapping[str, JsonValue], registry: Registry
) -> tuple[list[Entry], list[Diagnostic]]:
    """Return the valid entries of a file, and the problems of the others.

    `written` is the file's `replicate` with parameters substituted; violations of its `schema` are reported elsewhere.
    """
    scan = _Scan(document, registry)
    entries: list[Entry] = []
    for number, item in enumerate(written if isinstance(written, list) else ()):
        if fits(item, schema) or validator_of(schema).is_valid(item):
            before = len(scan.problems)
            entry = scan.entry(item, f"/replicate/{number}")
            entries += [entry] if entry is not None and len(scan.problems) == before else []
    return entries, scan.problems


class _Scan:
    """Reads entries and collects `problems`."""

    def __init__(self, document: Document, registry: Registry) -> None:
        self.problems: list[Diagnostic] = []
        self._document, self._registry = document, registry

    def entry(self, written: Mapping[str, JsonValue], pointer: str) -> Entry | None:
        source, target = written["from"], written["to"]
        reads = self._connection(source["connection"], f"{pointer}/from/connection")
        writes = self._connection(target.get("connection"), f"{pointer}/to/connection")
        if "connection" not in target and "table" in target:
            self._add("OML003", f"{pointer}/to", key="connection", where="'to'")
        self._check_patterns(written, pointer)
        if reads is None or (writes is None and "connection" in target):
            return None
        entry = Entry(
            id=written["id"],
            pointer=pointer,
            source=reads,
            tables=tuple(source["tables"]),
            excluded=tuple(source.get("except", ())),
            new_tables=source.get("new_tables", "report"),
            snapshot=source.get("snapshot", "transaction"),
            target=writes,
            table=target.get("table"),
            folder=target.get("folder"),
            defaults=written.get("defaults", {}),
            overrides=written.get("tables", {}),
        )
        self._check_target(entry)
        self._check_configs(entry)
        return entry

    def _connection(self, text: JsonValue, pointer: str) -> ConnectionRef | None:
        try:
            return None if text is None else parse_ref(str(text))
        except OsirisError:
            self._add("CON006", pointer, text=f"'{str(text)[:60]}'")
            return None

    def _check_patterns(self, written: Mapping[str, JsonValue], pointer: str) -> None:
        for key in ("tables", "except"):
            for number, text in enumerate(written["from"].get(key, ())):
                self._check_pattern(text, f"{pointer}/from/{key}/{number}")
        for name in written.get("tables", {}):
            self._check_pattern(name, join(f"{pointer}/tables", name), exact=True)

    def _check_pattern(self, text: str, pointer: str, *, exact: bool = False) -> None:
        pattern = parse_pattern(text)
        if pattern is None:
            self._add("OML050", pointer, name=text[:60], problem="is not schema.table or table")
        elif exact and not pattern.exact:
            hint = "write one name per table; defaults apply to all tables"
            self._add("OML050", pointer, hint=hint, name=text[:60], problem="has a wildcard, and must be one table")

    def _check_target(self, entry: Entry) -> None:
        """Report a template with unknown placeholders, or with more parts than the target has."""
        key, template = ("folder", entry.folder) if entry.table is None else ("table", entry.table)
        pointer = f"{entry.pointer}/to/{key}"
        for name in {*_PLACEHOLDER.findall(template or "")}.difference(_LEVELS):
            near = nearest(name, _LEVELS)
            hint = f"did you mean '{{{near}}}'?" if near else None
            self._add("OML051", pointer, hint=hint, key=key, problem=f"has the unknown placeholder {{{name[:60]}}}")
        self._check_families(entry)
        if entry.table is not None:
            self._check_parts(entry, pointer)

    def _check_families(self, entry: Entry) -> None:
        """Report a connection to or from which no component reads or writes tables."""
        for what, component in (("from", entry.reader), ("to", entry.writer)):
            spec = self._registry.find(component)
            if spec is None or (component != FOLDER_WRITER and "table" not in spec.config["properties"]):
                verb = "read" if what == "from" else "written"
                self._add("OML059", f"{entry.pointer}/{what}/connection", family=component.partition(".")[0], verb=verb)
            elif what == "from" and entry.snapshot == _LOCK and _SNAPSHOT not in spec.config["properties"]:
                self._add("OML061", f"{entry.pointer}/from/{_SNAPSHOT}", family=spec.family)

    def _check_parts(self, entry: Entry, pointer: str) -> None:
        parts = _template_parts(entry.table or "")
        spec = self._registry.find(entry.writer)
        if parts is None:
            self._add("OML051", pointer, key="table", problem="is not table or schema.table")
        elif len(parts) > 1 and spec is not None and "schema" not in spec.config["properties"]:
            problem = f"names a schema, and {spec.family} has none"
            self._add("OML051", pointer, hint='write for example "{schema}_{table}"', key="table", problem=problem)

    def _check_configs(self, entry: Entry) -> None:
        """Check the config of an entry against those of its extractor and its writer."""
        reads, writes = (_properties(self._registry, component) for component in (entry.reader, entry.writer))
        if not reads or not writes:
            return
        schema = {"type": "object", "additionalProperties": False, "properties": {**reads, **writes}}
        places = {f"{entry.pointer}/defaults": entry.defaults}
        places |= {join(f"{entry.pointer}/tables", name): config for name, config in entry.overrides.items()}
        names = KeyNames({"primary_key": ("key", "keys", "upsert_keys"), "write_mode": ("mode",)})
        before = len(self.problems)
        for pointer, config in places.items():
            self.problems += schema_problems(schema, _without_off(config), self._document, pointer, names)
        if len(self.problems) == before and _MODE in writes and _MODE not in entry.defaults:
            self._check_modes(entry)

    def _check_modes(self, entry: Entry) -> None:
        """Report tables without a write mode: the default would append all rows again with each run."""
        given = [_parts(name, _PART) for name, config in entry.overrides.items() if _MODE in config]
        if without := [text for text in entry.tables if _parts(text, _PART) not in given]:
            hint = _MODE_OF_CURSOR if "cursor" in _without_off(entry.defaults) else None
            tables = ", ".join(without[:3]) + (f" and {len(without) - 3} more" if len(without) > 3 else "")
            self._add("OML060", f"{entry.pointer}/defaults", hint=hint, entry=entry.id, tables=tables)

    def _add(self, code: str, pointer: str, *, hint: str | None = None, fix: Fix = (), **params: object) -> None:
        self.problems.append(diagnostic(code, at=self._document.where(pointer), hint=hint, fix=fix, **params))


def _properties(registry: Registry, component: str) -> dict[str, JsonValue]:
    """Return the schemas of the config keys that entries may give a component; empty if it is not installed."""
    spec = registry.find(component)
    if spec is None:
        return {}
    once = _OF_READER if "write" in spec.modes else _OF_WRITER
    properties = {**spec.config["properties"], **registry.shared_config(component)}
    left_out = (*_OF_ENTRY, *once)
    return {key: schema for key, schema in properties.items() if key not in left_out and "x-internal" not in schema}


def _without_off(config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {key: value for key, value in config.items() if key not in _SWITCHED or value != OFF}


def _template_parts(template: str) -> list[str] | None:
    """Return the parts of a target's name, without quotes; None if it is not `table` or `schema.table`."""
    parts = _parts(template, _TEMPLATE_PART)
    return None if parts is None else [part for part, _ in parts]


def select(entry: Entry, catalogue: Catalogue) -> list[tuple[SourceTable, int]]:
    """Return the tables that an entry means, sorted, each with the number of the first pattern that matches it.

    Without a schema, `tables` are in that of the connection, and `except` leaves out tables of every schema.
    """
    included, excluded = ([*map(parse_pattern, texts)] for texts in (entry.tables, entry.excluded))
    selected: list[tuple[SourceTable, int]] = []
    for table in sorted(catalogue.tables, key=lambda each: (each.schema, each.name)):
        number = _first_match(included, table, catalogue.own)
        is_ours = table.name.lower().startswith(_OWN)
        if number is not None and not is_ours and _first_match(excluded, table, table.schema) is None:
            selected.append((table, number))
    return selected


def _first_match(patterns: Sequence[Pattern | None], table: SourceTable, own: str) -> int | None:
    matches = (number for number, pattern in enumerate(patterns) if pattern and pattern.matches(table, own))
    return next(matches, None)


def expand(
    entry: Entry, catalogue: Catalogue, registry: Registry, document: Document
) -> tuple[dict[str, Text], list[Diagnostic]]:
    """Return the steps of an entry, two per table, by id, each with the `pointer` of its place; and all problems."""
    selected = select(entry, catalogue)
    work = _Expansion(entry, catalogue, registry, document)
    work.check_matches()
    for table, number in selected:
        work.add(table, f"{entry.pointer}/from/tables/{number}")
    work.check_overrides([table for table, _ in selected])
    work.check_targets()
    return work.steps, work.problems


class _Expansion:
    """The expansion of one entry: collects `steps` and `problems`."""

    def __init__(self, entry: Entry, catalogue: Catalogue, registry: Registry, document: Document) -> None:
        self.steps: dict[str, Text] = {}
        self.problems: list[Diagnostic] = []
        self._entry, self._catalogue, self._document = entry, catalogue, document
        self._reads, self._writes = (_properties(registry, each) for each in (entry.reader, entry.writer))
        specs = [registry.find(component) for component in (entry.reader, entry.writer)]
        self._schemas = ["schema" in spec.config["properties"] if spec else False for spec in specs]
        self._targets: dict[str, list[SourceTable]] = defaultdict(list)

    def check_matches(self) -> None:
        """Report each pattern that matches no table."""
        names = [str(table) for table in self._catalogue.tables]
        names += [_quoted(table.name) for table in self._catalogue.tables if table.schema == self._catalogue.own]
        for number, text in enumerate(self._entry.tables):
            pattern = parse_pattern(text)
            if not any(pattern and pattern.matches(table, self._catalogue.own) for table in self._catalogue.tables):
                at = f"{self._entry.pointer}/from/tables/{number}"
                self._add("OML052", at, hint=did_you_mean(text, names), pattern=text, source=self._entry.source)

    def check_overrides(self, tables: Sequence[SourceTable]) -> None:
        """Report config of tables that the entry does not have."""
        used = {override_of(self._entry, table, self._catalogue.own) for table in tables}
        for name in self._entry.overrides:
            if name not in used:
                at = join(f"{self._entry.pointer}/tables", name)
                hint = f"{did_you_mean(name, map(str, tables)) or 'remove it'}{_IF_NEW}"
                self._add("OML056", at, hint=hint, table=name, entry=self._entry.id)

    def check_targets(self) -> None:
        """Report tables that would be written to one target."""
        key = "folder" if self._entry.table is None else "table"
        for target, tables in self._targets.items():
            if len(tables) > 1:
                first, second, *_ = tables
                self._add("OML053", f"{self._entry.pointer}/to/{key}", first=first, second=second, target=target)

    def add(self, table: SourceTable, pointer: str) -> None:
        """Add the two steps of a table, or its problem at a pointer."""
        override = override_of(self._entry, table, self._catalogue.own)
        place = self._entry.pointer if override is None else join(f"{self._entry.pointer}/tables", override)
        config = config_of(self._entry, override)
        if problem := unusable(table, config):
            self._add(problem, pointer if override is None else place, table=table, kind=_article(table.kind))
            return
        if writer := self._catalogue.writers.get(str(table)):
            step, path = step_id(self._entry.id, table) + SOURCE, f"table '{table}' of {self._entry.source}"
            self._add("CMP017", pointer, hint=_IS_TARGET, step=step, writer=writer, path=path)
            return
        target = self._target(table)
        if target is None:
            return
        if config.get("write_mode") == "upsert":
            config.setdefault("primary_key", list(table.key))
        source: Text = {"connection": str(self._entry.source), "table": table.name}
        if self._schemas[0]:
            source["schema"] = table.schema
        if self._entry.snapshot == _LOCK:
            source[_SNAPSHOT] = _LOCK
        self._add_pair(table, place, source | _picked(config, self._reads), target | _picked(config, self._writes))

    def _add_pair(self, table: SourceTable, place: str, source: Text, target: Text) -> None:
        name, reader, writer = step_id(self._entry.id, table), self._entry.reader, self._entry.writer
        shared = {"entry": self._entry.id, "pointer": place}
        self.steps |= {
            name + SOURCE: {**shared, **_step(name + SOURCE, reader, "read", [], source)},
            name: {**shared, **_step(name, writer, "write", [name + SOURCE], target)},
        }

    def _target(self, table: SourceTable) -> Text | None:
        """Return the config that names the target of a table; None if there is none, which is reported."""
        connection = {} if self._entry.target is None else {"connection": str(self._entry.target)}
        if self._entry.table is None:
            path = _filled(self._entry.folder or "", _folder_name(table.schema), _folder_name(table.name))
            path = path if path.endswith("/") else f"{path}/"
            self._targets[path.lower()].append(table)
            return {**connection, "path": path}
        parts = target_parts(self._entry, table)
        if self._schemas[1] and len(parts) == 1 and "." in parts[0]:
            problem = f"gives table {table} the name '{parts[0]}', whose dot would separate a schema"
            self._add(
                "OML051", f"{self._entry.pointer}/to/table", hint="write schema.{table}", key="table", problem=problem
            )
            return None
        family = find_family(self._entry.target.family if self._entry.target else "")
        self._targets[family.fold(".".join(map(_quoted, parts)))].append(table)
        return {**connection, **dict(zip(_LEVELS[-len(parts) :], parts, strict=True))}

    def _add(self, code: str, pointer: str, *, hint: str | None = None, fix: Fix = (), **params: object) -> None:
        self.problems.append(diagnostic(code, at=self._document.where(pointer), hint=hint, fix=fix, **params))


def target_parts(entry: Entry, table: SourceTable) -> list[str]:
    """Return the name of the table that a table is written to, perhaps after its schema; nothing for a folder."""
    return [_filled(part, table.schema, table.name) for part in _template_parts(entry.table or "") or ()]


def without(entry: Entry, catalogue: Catalogue, tables: Container[str]) -> Catalogue:
    """Return a catalogue without some tables, by name; those that an entry names without a wildcard stay."""
    named = [pattern for pattern in map(parse_pattern, entry.tables) if pattern and pattern.exact]
    kept = tuple(
        table
        for table in catalogue.tables
        if str(table) not in tables or any(pattern.matches(table, catalogue.own) for pattern in named)
    )
    return replace(catalogue, tables=kept)


def unusable(table: SourceTable, config: Mapping[str, JsonValue]) -> str | None:
    """Return the code of the reason why a table cannot be replicated with a config; None if it can."""
    if not table.readable:
        return "OML055"
    if "${" in table.schema + table.name:
        return "OML057"
    is_upsert = config.get("write_mode") == "upsert"
    return "OML054" if is_upsert and not (table.key or config.get("primary_key")) else None


def override_of(entry: Entry, table: SourceTable, own: str) -> str | None:
    """Return the name, as written, under which an entry has config of a table; None if it has none."""
    patterns = ((name, parse_pattern(name)) for name in entry.overrides)
    return next((name for name, pattern in patterns if pattern and pattern.matches(table, own)), None)


def config_of(entry: Entry, override: str | None) -> dict[str, JsonValue]:
    """Return the config of a table's steps: the defaults, each key replaced by that of the override."""
    return _without_off({**entry.defaults, **(entry.overrides[override] if override is not None else {})})


def _step(name: str, component: str, mode: str, needs: list[str], config: Text) -> Text:
    return {"id": name, "component": component, "mode": mode, "needs": needs, "config": config}


def _picked(config: Mapping[str, JsonValue], keys: Container[str]) -> Text:
    return {key: value for key, value in config.items() if key in keys}


def _filled(template: str, schema: str, table: str) -> str:
    names = {"schema": schema, "table": table}
    return _PLACEHOLDER.sub(lambda match: names[match[1]], template)


def _article(kind: str) -> str:
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def step_id(entry: str, table: SourceTable) -> str:
    """Return the id of a table's writer: `<entry>-<schema>-<table>`, made safe, with a digest if that changed it.

    A hyphen in a name counts as a change: the parts could not be told apart.
    """
    parts = [_UNSAFE.sub("_", part) for part in (table.schema, table.name)]
    name = "-".join([entry, *parts])
    longest = _LONGEST - len(SOURCE)
    if parts == [table.schema, table.name] and len(name) <= longest:
        return name
    return f"{name[: longest - _DIGEST - 1]}-{_digest(entry, table.schema, table.name)}"


def _folder_name(name: str) -> str:
    safe = _UNSAFE_IN_FOLDERS.sub("_", name)
    return name if safe == name and not name.startswith(".") else f"{safe.lstrip('.')}-{_digest(name)}"


def _digest(*texts: str) -> str:
    return sha256_hex(canonical_bytes(list(texts)))[:_DIGEST]


def duplicate_ids(entries: Iterable[Entry], ids: Iterable[str], document: Document) -> Iterator[Diagnostic]:
    """Yield each entry whose id a step or another entry has."""
    first = dict.fromkeys(ids, "")
    for entry in entries:
        if entry.id in first:
            at = document.where(f"{entry.pointer}/id")
            yield diagnostic("OML058", at=at, id=entry.id)
        first[entry.id] = entry.pointer
