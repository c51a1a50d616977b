"""The table of dialects. A dialect is one row here, one grammar class and one data file of what may be called.

A package brings a dialect of its own under an entry point of the group `osiris.dialects`: its name, and the object that
is the row. It is loaded when it is first asked for, and has no say about ours: what has the name of one of ours, or is
brought by two packages, is no dialect.
"""

from __future__ import annotations

import functools
import importlib
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from osiris.distribution import NotLoadedError, installed_entries, load_foreign
from osiris.errors import fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlglot import Dialect as Grammar
    from sqlglot import exp

Trait = Literal[
    "counts several",
    "empty rows",
    "exact names",
    "exact quoted names",
    "joins without condition",
    "members are calls",
    "more text quotes",
    "named by their text",
    "qualified names",
    "several recursive parts",
    "ties",
    "types of its own",
    "upper names",
]
"""What one kind of server does and another does not.

"counts several": `count(DISTINCT a, b)`. "empty rows": `EXISTS (SELECT FROM t)`. "exact names": a name is the one that
is written, "exact quoted names": where it is quoted. "joins without condition": `a JOIN b` is a cross join. "members
are calls": `t.f` calls a function where `t` has no column of that name. "more text quotes": `E'…'` and `$tag$…$tag$`
are texts. "named by their text": a column without a name has that of its text. "qualified names": relations may be
named with their schema. "several recursive parts": each part of a recursive CTE but the first may refer to it. "ties":
`FETCH … WITH TIES`. "types of its own": a database may have types that nothing is known of. "upper names": beside
"exact quoted names", others mean those in capital letters.
"""

DIALECT_ENTRIES = "osiris.dialects"


_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)

_CHANGES = """
Alter AlterColumn AlterRename Analyze Attach Cache Command Comment Commit Copy Create Delete Detach Drop Export Grant
Insert Install Into Kill LoadData Lock Merge MultitableInserts NextValueFor Pragma Put Refresh RenameColumn Returning
Revoke Rollback Set SetItem Transaction TruncateTable Uncache Update Use
"""
_CHANGING = frozenset(_CHANGES.split())
"""Kinds of node that no dialect allows, whatever its file says."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One row: the grammar as `module:class`, the file of allowed names, and what makes its quoting special.

    The file is one in this folder; a package gives the whole path of its own.

    `system_tables` are prefixes of relations that every database of that kind has and nobody's data is in, and
    `system_schemas` those of schemas. `system_names` are words that are read as a function when they are no column, and
    `system_members` those that move a sequence behind a dot. `statements` are words that begin something else than a
    name of a relation in FROM, and `nameless` stands there for no relation at all. `path_like` are characters that no
    relation has in its name, `modifiers` the words that may stand behind SELECT. `longest_chain` is how many operators
    may follow each other before the server's stack is at its end.

    The rest says how values are written. `name_quote` and `text_quotes` stand around names and texts. `escaped` stands
    before a text in which each backslash is doubled; None if a backslash is a letter like any. `list_forms` are how a
    list of items and one of none are written, None if there are no lists; `no_rows` is a query of one column. Without
    `zones` a moment is written in UTC.
    """

    name: str
    grammar: str
    allowed: str
    system_tables: tuple[str, ...] = ()
    system_schemas: tuple[str, ...] = ()
    system_names: frozenset[str] = frozenset()
    system_members: frozenset[str] = frozenset()
    statements: frozenset[str] = frozenset()
    nameless: str | None = None
    path_like: frozenset[str] = frozenset("./\\")
    plain_name: re.Pattern[str] = re.compile(r"[^\W\d][\w$]*")
    modifiers: frozenset[str] = frozenset()
    longest_chain: int | None = None
    traits: frozenset[Trait] = frozenset()
    name_quote: str = '"'
    text_quotes: str = "'"
    escaped: str | None = None
    list_forms: tuple[str, str] | None = None
    no_rows: str = "SELECT NULL WHERE FALSE"
    zones: bool = True

    def load_grammar(self) -> type[Grammar]:
        """Return the sqlglot dialect class; imports sqlglot (about 0.1 s)."""
        module, _, name = self.grammar.partition(":")
        grammar: type[Grammar] = getattr(importlib.import_module(module), name)
        return grammar

    def fold(self, name: exp.Expr) -> str:
        """Return the spelling by which the server knows a name: quoted or not, it may be another one."""
        word = str(name.name)
        if "exact names" in self.traits:
            return word
        if "exact quoted names" in self.traits:
            return word if name.args.get("quoted") else self._plain(word)
        return lower(word)

    def _plain(self, word: str) -> str:
        """Return what a name without quotes means, where quoted ones are exact."""
        return word.translate(_UPPER) if "upper names" in self.traits else lower(word)

    def call_of(self, call: exp.Anonymous) -> str:
        """Return the name of the function that a call means. Where quotes may make it another one, it keeps them."""
        quoted = not isinstance(call.this, str) and call.this.args.get("quoted")
        if quoted and self.traits & {"exact names", "exact quoted names"}:
            return f'"{call.name}"'
        return lower(call.name)

    def homes_of(self, functions: Iterable[str]) -> dict[str, str]:
        """Return the schema of each function of the user's, by the name that `call_of` gives a call of it.

        `functions` are names with their schema, such as `extensions.unaccent`.
        """
        found = (name.rpartition(".") for name in functions)
        return {name: schema for schema, _, name in found}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a statement of one dialect may consist of: kinds of node, and functions by where they may stand.

    `types` are those of the server whose names the parser does not know, where others may be somebody's own.
    """

    nodes: frozenset[str]
    functions: frozenset[str]
    tables: frozenset[str]
    aggregates: frozenset[str]
    volatile: frozenset[str]
    internal: frozenset[str]
    types: frozenset[str]


_OURS: dict[str, Dialect] = {
    "duckdb": Dialect(
        name="duckdb",
        grammar="osiris.sql.safety.grammar:DuckDBText",
        allowed="functions/duckdb.toml",
        system_tables=("duckdb_", "information_schema", "pg_", "pragma_", "sqlite_"),
        system_names=frozenset({"current_catalog", "current_role", "current_schema", "current_user", "session_user"}),
        statements=frozenset({"CALL", "DESCRIBE", "FILE", "PRAGMA", "SHOW", "SUMMARIZE", "TABLE"}),
        path_like=frozenset("./\\:*?[]'\""),
        traits=frozenset({"more text quotes"}),
        list_forms=("[{}]", "[]"),
    ),
    "mysql": Dialect(
        name="mysql",
        longest_chain=1_000,
        grammar="osiris.sql.safety.grammar_mysql:MySQLText",
        allowed="functions/mysql.toml",
        system_tables=("#mysql50#",),
        system_schemas=("information_schema", "mysql", "performance_schema", "sys"),
        system_names=frozenset({"current_role", "current_user", "session_user", "system_user", "user"}),
        system_members=frozenset({"currval", "lastval", "nextval"}),
        nameless="dual",
        plain_name=re.compile(r"[\w$]+"),
        modifiers=frozenset({"SQL_BIG_RESULT", "SQL_NO_CACHE", "SQL_SMALL_RESULT", "STRAIGHT_JOIN"}),
        traits=frozenset(
            {
                "counts several",
                "exact names",
                "joins without condition",
                "named by their text",
                "qualified names",
                "several recursive parts",
            }
        ),
        name_quote="`",
        text_quotes="'\"",
        escaped="",
        zones=False,
    ),
    "postgres": Dialect(
        name="postgres",
        longest_chain=1_000,
        grammar="osiris.sql.safety.grammar_postgres:PostgresText",
        allowed="functions/postgres.toml",
        system_tables=("pg_",),
        system_schemas=("information_schema", "pg_"),
        system_names=frozenset(
            {"current_catalog", "current_role", "current_schema", "current_user", "session_user", "system_user", "user"}
        ),
        traits=frozenset(
            {
                "empty rows",
                "exact quoted names",
                "members are calls",
                "more text quotes",
                "qualified names",
                "ties",
                "types of its own",
            }
        ),
        escaped="E",
        list_forms=("ARRAY[{}]", "'{{}}'"),
    ),
}


class Dialects(Mapping[str, Dialect]):
    """All dialects by name: ours, and those that packages bring."""

    def __init__(self) -> None:
        self._loaded = dict(_OURS)

    def __getitem__(self, name: str) -> Dialect:
        """Return a dialect, which is loaded if need be; fails with REG001 for one that a package brings broken."""
        if name not in self._loaded:
            self._loaded[name] = _brought(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all; nothing is loaded for that."""
        brought = (name for _group, name, _target, _owner in installed_entries([DIALECT_ENTRIES]))
        yield from dict.fromkeys([*_OURS, *brought])

    def __len__(self) -> int:
        """Return how many there are."""
        return len(list(iter(self)))


def _brought(name: str) -> Dialect:
    """Load what packages bring under a name; raises KeyError if it is nothing."""
    from importlib.metadata import entry_points

    found = {entry.value: entry for entry in entry_points(group=DIALECT_ENTRIES, name=name)}
    if not found:
        raise KeyError(name)
    if len(found) > 1:
        fail("REG001", name=name, problem=f"several packages have a dialect of that name: {', '.join(sorted(found))}")
    ((value, entry),) = found.items()

    def load() -> object:
        row = entry.load()
        if isinstance(row, Dialect):
            row.load_grammar()
            load_allowed(row)
        return row

    try:
        row = load_foreign(load)
    except NotLoadedError as error:
        fail("REG001", name=name, problem=f"its dialect {value} does not load: {error}")
    if not isinstance(row, Dialect) or row.name != name:
        fail("REG001", name=name, problem=f"{value} is not a dialect of that name")
    return row


DIALECTS: Mapping[str, Dialect] = Dialects()


def lower(word: str) -> str:
    """Return a name as servers fold it: letters outside of ASCII stay, or the sign of the kelvin would be a k."""
    return word.translate(_LOWER)


def any_case(word: str) -> str:
    """Return a name as a server may compare it at most: MariaDB takes a long s for an S, a dotless i for an I."""
    return word.upper().lower()


@functools.cache
def load_allowed(dialect: Dialect) -> Allowed:
    """Return the allow-lists of a dialect, read from its data file."""
    import tomllib

    data = tomllib.loads((Path(__file__).parent / dialect.allowed).read_text(encoding="utf-8"))
    sets = {key: frozenset(names) for key, names in data.items()}
    return Allowed(
        nodes=sets["nodes"] - _CHANGING,
        functions=sets["scalar"] | sets["aggregate"] | sets["window"] | sets["volatile"],
        tables=sets["table"],
        aggregates=sets["aggregate"],
        volatile=sets["volatile"],
        internal=sets["internal"],
        types=sets.get("types", frozenset()),
    )
