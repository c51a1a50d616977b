"""Where rows are to go, in words: paths, formats, connections, tables, modes and keys; also where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.chat.rules.cursor import column_mention, mention
from osiris.chat.rules.lexicon import Candidate, key_of
from osiris.chat.rules.query import Mention
from osiris.chat.rules.tokens import split_name
from osiris.chat.rules.vocabulary import EMPTY, FAMILIES, FORMATS, MODE_OF, word_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.chat.choices import Choices
    from osiris.chat.rules.cursor import Cursor

_BEFORE_FORMAT = frozenset(["as", "to", "into", "in", "a", "an", "the", "using", "format"])
_BEHIND_FORMAT = frozenset(["file", "files", "format", "output", "lines", "export", "exports", "extract", "dump"])
_BEHIND_PLACE = frozenset(["database", "db", "connection", "warehouse", "schema", "instance"])
_FORMATS = {(word,): ending for word, ending in FORMATS.items()} | {
    ("comma", "separated"): "csv",
    ("comma", "-", "separated"): "csv",
    ("newline", "delimited", "json"): "json",
    ("newline", "-", "delimited", "json"): "json",
}
_DATABASES = frozenset(["database", "db", "warehouse", "dwh"])
_FROM = frozenset(["from", "of", "out"])
_NOISE = word_set("""
    whatever what s is are already there existing exist exists current old previous contents content rows data
    any all anything table it the in that which has have on everything them there's records entries was inside
    currently new mode be should please if they or ones and
    """)
_MODES = {
    ("update", "existing"): "upsert",
    ("updating", "existing"): "upsert",
    ("update", "the", "existing"): "upsert",
    ("update", "or", "insert"): "upsert",
    ("updating", "or", "inserting"): "upsert",
    ("insert", "or", "update"): "upsert",
    ("inserting", "or", "updating"): "upsert",
    ("insert", "new", "and", "update", "existing"): "upsert",
    ("update", "existing", "and", "insert", "new"): "upsert",
    ("insert", "and", "update"): "upsert",
    ("truncate", "and", "load"): "replace",
    ("truncate", "and", "reload"): "replace",
    ("drop", "and", "recreate"): "replace",
    ("full", "refresh"): "replace",
    ("full", "reload"): "replace",
    ("full", "load"): "replace",
    ("start", "fresh"): "replace",
    ("from", "scratch"): "replace",
    ("keep", "existing"): "append",
    ("keeping", "existing"): "append",
    ("keeping", "the", "existing"): "append",
    ("on", "top", "of"): "append",
} | {(word,): mode for word, mode in MODE_OF.items()}
_KEYS = {
    ("keyed", "by"): True,
    ("keyed", "on"): True,
    ("with", "key"): True,
    ("with", "the", "key"): True,
    ("primary", "key"): True,
    ("unique", "key"): True,
    ("merge", "key"): True,
    ("upsert", "key"): True,
    ("key",): True,
    ("key", "is"): True,
    ("matching", "on"): True,
    ("matching", "by"): True,
    ("match", "on"): True,
    ("matched", "on"): True,
    ("matched", "by"): True,
    ("based", "on"): True,
    ("using",): False,
    ("by",): False,
    ("on",): False,
}
"""What opens a key, and whether it can open nothing else."""


@dataclass(frozen=True, slots=True)
class Places:
    """Names of connections by their keys, their references, and files that can be read by their names."""

    aliases: dict[str, str]
    references: frozenset[str]
    files: dict[str, Candidate]


def places(choices: Choices) -> Places:
    """Return what the choices have of connections and files."""
    references = {reference for writer in choices.writers for reference in writer.connections}
    references |= {relation.connection for relation in choices.relations if relation.connection}
    aliases = {key_of(split_name(each.partition(".")[2])): each.partition(".")[2] for each in sorted(references)}
    files = {}
    for relation in choices.relations:
        if relation.connection is None:
            files[relation.id.lower()] = files[relation.table.lower()] = Candidate(relation)
            files.setdefault(relation.table.lower().rpartition("/")[2], Candidate(relation))
    return Places(aliases, frozenset(each.lower() for each in references), files)


def goal(cursor: Cursor, known: Places) -> bool:
    """Read something of where rows go or come from; tells whether anything was read."""
    start = cursor.at
    for read in (_mode, _key, _path, _reference, _table, _place, _format):
        if read(cursor, known):
            return True
        cursor.at = start
    return False


def _mode(cursor: Cursor, _: Places) -> bool:
    start = cursor.at
    cursor.skip(("and", ",", "then"))
    word = cursor.text()
    mode = cursor.phrase(_MODES)
    if mode is None:
        cursor.at = start
        return False
    if word in ("add", "adding", "added", "insert", "on") and _adds_columns(cursor):
        cursor.at = start
        return False
    if not (mode == "append" and "upsert" in cursor.said.goal.modes):
        cursor.said.goal.modes.append(mode)
    elif word in ("insert", "inserting", "add", "adding"):
        cursor.skip(("the", "new", "missing", "ones", "rows", "records", "others", "rest"))
    if mode != "append" or word in ("keep", "keeping"):
        cursor.skip(_NOISE - {"the"} if mention(_probe(cursor)) else _NOISE)
        if mode == "upsert" and cursor.take_one(("insert", "inserting", "add", "adding")):
            cursor.skip(_NOISE)
    return True


def _probe(cursor: Cursor) -> Cursor:
    from dataclasses import replace

    return replace(cursor)


def _adds_columns(cursor: Cursor) -> bool:
    """Tell whether `add` speaks of a column of the result."""
    probe = _probe(cursor)
    found = mention(probe)
    return found is not None and bool(found.columns) and not found.tables and probe.text() not in ("to", "into")


def _key(cursor: Cursor, _: Places) -> bool:
    sure = cursor.phrase(_KEYS)
    aim = cursor.said.goal
    if sure is None or aim.key or (not sure and "upsert" not in aim.modes):
        return False
    cursor.skip(("the", "key", "is", "column", "columns", "of", ":", "(", "its", "their", "primary", "on", "by"))
    found = column_mention(cursor)
    while found is not None:
        aim.key.append(found)
        before = cursor.at
        cursor.skip(("and", ",", "column"))
        found = column_mention(cursor) if cursor.at > before else None
        if found is None:
            cursor.at = before
    cursor.skip((")", "as", "the", "key", "column") if cursor.text(1) in ("key", "the") or cursor.text() == ")" else ())
    return bool(aim.key)


def _path(cursor: Cursor, known: Places) -> bool:
    before = cursor.text(-1)
    cursor.skip(("named", "called", "to", "into", "in", "as", "at", "file", "the", "a", ":", "under"))
    quoted = cursor.kind() == "string" and (
        "/" in cursor.text() or cursor.text().endswith((".csv", ".parquet", ".jsonl"))
    )
    if cursor.kind() != "path" and not quoted:
        return False
    opened = cursor.text(-1)
    text = cursor.tokens[cursor.at].raw.strip("\"'\u201c\u201d\u2018\u2019`")
    cursor.at += 1
    source = known.files.get(text.lower())
    if source and opened not in ("to", "into", "as"):
        cursor.said.tables.append(Mention(text, tables=(source,)))
    elif before in _FROM and opened == before:
        cursor.said.unread.append(text)
    else:
        cursor.said.goal.paths.append(text)
    return True


def _reference(cursor: Cursor, _: Places) -> bool:
    before = cursor.text(-1)
    preposition = cursor.take_one(("from", "of", "to", "into", "in", "on"))
    cursor.skip(("the", "table"))
    if cursor.kind() != "ref":
        return False
    raw = cursor.tokens[cursor.at].raw.rstrip(".")
    cursor.at += 1
    reference, _slash, table = raw.partition("/")
    if (preposition or before) in _FROM:
        cursor.said.sources.append(reference)
        if table:
            cursor.said.tables.append(_table_named(cursor, reference, table))
        return True
    cursor.said.goal.places.append(("ref", reference))
    if table:
        cursor.said.goal.table = table
    else:
        _table_behind(cursor)
    return True


def _table_named(cursor: Cursor, reference: str, table: str) -> Mention:
    found = [
        each
        for candidates in cursor.names.tables.values()
        for each in candidates
        if each.relation.connection == reference and each.relation.table.lower() == table.lower()
    ]
    return Mention(f"{reference}/{table}", tables=tuple(found[:1]))


def _table(cursor: Cursor, known: Places) -> bool:
    """Read `into the staff table`, `into staff of the warehouse`, `into warehouse.staff`, `a table called staff`."""
    called = cursor.take_one(("to", "into", "in", "as", "create", "with"))
    cursor.skip(("the", "a", "an", "new", "my", "our", "its"))
    if cursor.kind() == "dotted" and cursor.text(-1) not in _FROM:
        return _dotted_table(cursor, known)
    if cursor.take("table"):
        cursor.skip(("called", "named", ":", "is", "should", "be"))
        return _table_word(cursor) and (called is None or _placed(cursor, known))
    if called not in ("to", "into", "as") or cursor.kind() not in ("word", "string"):
        return False
    name = cursor.tokens[cursor.at]
    if name.text in EMPTY | set(FORMATS) | set(FAMILIES) or key_of(split_name(name.raw)) in known.aliases:
        return False
    cursor.at += 1
    cursor.skip(("table",) if cursor.text() == "table" else ())
    placed = (cursor.text(-1) == "table" and called != "as") or (
        cursor.text() in ("of", "in", "on", "at", "inside") and _place_ahead(cursor, known)
    )
    if placed:
        cursor.said.goal.table = _spelled(name.raw)
    return placed


def _placed(cursor: Cursor, known: Places) -> bool:
    """Read `of the warehouse` behind a table that is written, if it comes."""
    start = cursor.at
    opened = cursor.take_one(("of", "in", "on", "at", "inside"))
    cursor.skip(("the", "my", "our", "a"))
    place = _place_here(cursor, known, "into") if opened else None
    if place is None:
        cursor.at = start
        return True
    cursor.skip(_BEHIND_PLACE)
    if place not in cursor.said.goal.places:
        cursor.said.goal.places.append(place)
    return True


def _spelled(raw: str) -> str:
    return raw.strip("\"'\u201c\u201d\u2018\u2019`")


def _table_word(cursor: Cursor) -> bool:
    if cursor.kind() not in ("word", "string") or cursor.text() in EMPTY or cursor.said.goal.table:
        return False
    cursor.said.goal.table = _spelled(cursor.tokens[cursor.at].raw)
    cursor.at += 1
    return True


def _place_ahead(cursor: Cursor, known: Places) -> bool:
    for ahead in range(1, 4):
        if _reference_at(cursor, ahead, known) or _alias_at(cursor, ahead, known) or cursor.text(ahead) in FAMILIES:
            return True
        if cursor.text(ahead) not in ("the", "my", "our"):
            return cursor.text(ahead) in ("database", "db", "warehouse")
    return False


def _dotted_table(cursor: Cursor, known: Places) -> bool:
    if _reference_at(cursor, 0, known):
        return False
    first, _, table = cursor.tokens[cursor.at].raw.partition(".")
    alias = known.aliases.get(key_of(split_name(first)))
    if alias is None and first.lower() not in FAMILIES:
        return False
    cursor.said.goal.places.append(("alias", alias) if alias else ("family", FAMILIES[first.lower()]))
    cursor.said.goal.table = table
    cursor.at += 1
    return True


def _reference_at(cursor: Cursor, ahead: int, known: Places) -> str | None:
    """Return the reference that comes at a place, be it without its sign: `@sqlite.app`, `sqlite.app`."""
    at = cursor.at + ahead
    token = cursor.tokens[at] if at < len(cursor.tokens) else None
    if token is None or "/" in token.raw:
        return None
    if token.kind == "ref":
        return token.raw.rstrip(".")
    bare = f"@{token.text}"
    return bare if token.kind == "dotted" and bare in known.references else None


def _alias_at(cursor: Cursor, ahead: int, known: Places) -> tuple[str, int] | None:
    """Return the alias whose words come at a place, and how many they are."""
    at = cursor.at + ahead
    for size in (3, 2, 1):
        span: Sequence[str] = [token.raw for token in cursor.tokens[at : at + size] if token.kind == "word"]
        key = key_of([part for word in span for part in split_name(word)])
        if len(span) == size and key in known.aliases:
            return known.aliases[key], size
    return None


def _place(cursor: Cursor, known: Places) -> bool:
    before = cursor.text(-1)
    preposition = cursor.take_one(("from", "of", "to", "into", "in", "on", "out", "at", "inside"))
    cursor.skip(("of", "the", "my", "our", "a", "an", "local", "other"))
    found = _place_here(cursor, known, preposition)
    if found is None:
        return False
    kind, name = found
    named_table = (
        kind == "alias" and preposition is None and cursor.names.find("tables", cursor.tokens, cursor.at - 1)[1]
    )
    if named_table and cursor.text() not in _BEHIND_PLACE:
        return False
    cursor.skip(_BEHIND_PLACE)
    if (preposition or before) in _FROM:
        cursor.said.sources.append(name)
        return True
    aim = cursor.said.goal
    if (kind, name) not in aim.places:
        aim.places.append((kind, name))
    _table_behind(cursor)
    return True


def _place_here(cursor: Cursor, known: Places, preposition: str | None) -> tuple[str, str] | None:
    if reference := _reference_at(cursor, 0, known):
        cursor.at += 1
        return "ref", reference
    if found := _alias_at(cursor, 0, known):
        cursor.at += found[1]
        return "alias", found[0]
    if word := cursor.take_one(FAMILIES):
        more = _alias_at(cursor, 0, known) or _alias_at(cursor, 1, known)
        if more and cursor.text() != "table":
            cursor.at += more[1] + (0 if _alias_at(cursor, 0, known) else 1)
            return "alias", more[0]
        return "family", FAMILIES[word]
    if preposition in ("to", "into") and (cursor.take_one(_DATABASES) or cursor.take("data", "warehouse")):
        return "any", "database"
    return None


def _table_behind(cursor: Cursor) -> None:
    """Read `table staff`, `as staff`, `(table staff)` behind a connection."""
    start = cursor.at
    cursor.skip((",", "(", "as", "in", "into", "under", "the", "a", "new"))
    opened = cursor.take("table") or cursor.text(-1) == "as"
    cursor.skip(("named", "called", "name"))
    opened = opened or cursor.text(-1) in ("named", "called")
    if opened and cursor.kind() in ("word", "string") and cursor.text() not in EMPTY | set(MODE_OF):
        cursor.said.goal.table = _spelled(cursor.tokens[cursor.at].raw)
        cursor.at += 1
        cursor.skip((")", "table"))
        return
    cursor.at = start


def _is_of_source(cursor: Cursor) -> bool:
    """Tell whether a format is that of a file that was just named, and another one follows: `trips csv to parquet`."""
    tables = cursor.said.tables
    if cursor.text() not in FORMATS or cursor.at != cursor.table_end or not tables:
        return False
    relation = tables[-1].tables[0].relation
    rest = cursor.tokens[cursor.at + 1 :]
    own = relation.connection is None and relation.table.lower().endswith(f".{cursor.text()}")
    return own and any(each.text in FORMATS or each.kind == "path" for each in rest)


def _format(cursor: Cursor, _: Places) -> bool:
    if _is_of_source(cursor):
        cursor.at += 1
        return True
    cursor.skip(_BEFORE_FORMAT)
    found = cursor.phrase(_FORMATS)
    if found is None:
        return False
    cursor.skip(("values", "value") if found == "csv" else ())
    cursor.skip(_BEHIND_FORMAT)
    if found not in cursor.said.goal.formats:
        cursor.said.goal.formats.append(found)
    if cursor.text() in ("named", "called") and cursor.kind(1) == "word" and cursor.text(1) not in EMPTY:
        cursor.said.goal.name, cursor.at = cursor.text(1), cursor.at + 2
    return True
