"""The table of dialects: one row here, one grammar class and one data file of allowed names for each.

A package adds a dialect with an entry point of the group `osiris.dialects`: its name, and the row object. It is loaded
on first use, and cannot override ours: a name of ours, or one that two packages provide, is rejected.
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

from osiris.distribution import NotLoadedError, installed_entries, load_foreign, registered
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
"""Differences between servers.

"counts several": `count(DISTINCT a, b)`. "empty rows": `EXISTS (SELECT FROM t)`. "exact names": names are
case-sensitive, "exact quoted names": if quoted. "joins without condition": `a JOIN b` is a cross join. "members are
calls": `t.f` calls a function if `t` has no column of that name. "more text quotes": `E'…'` and `$tag$…$tag$` are
strings. "named by their text": a column without a name gets its text as name. "qualified names": relations may be
qualified by schema. "several recursive parts": each part of a recursive CTE but the first may refer to it. "ties":
`FETCH … WITH TIES`. "types of its own": a database may have unknown types. "upper names": with "exact quoted names",
unquoted names are folded to upper case.
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
"""Node kinds that no dialect allows, whatever its file lists."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One row: the grammar as `module:class`, the file of allowed names, and its quoting rules.

    The file is one in this folder; a package gives the full path of its own.

    `system_tables` are prefixes of system relations, and `system_schemas` those of schemas. `system_names` are words
    read as a function if they are no column, and `system_members` those that advance a sequence after a dot.
    `statements` are words in FROM that start something other than a relation name, and `nameless` stands there for no
    relation. `path_like` are characters that no relation name has, `modifiers` the words allowed after SELECT.
    `longest_chain` is the number of chained operators that the server's stack supports.

    The rest describes literals. `name_quote` and `text_quotes` quote names and strings. `escaped` is the prefix of a
    string in which backslashes are doubled; None if a backslash is an ordinary character. `list_forms` are the
    templates of a list and of an empty one, None if there are no lists; `no_rows` is a query of one column. Without
    `zones` a timestamp is written in UTC.
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
        """Return a name as the server folds it, depending on its quoting."""
        word = str(name.name)
        if "exact names" in self.traits:
            return word
        if "exact quoted names" in self.traits:
            return word if name.args.get("quoted") else self._plain(word)
        return lower(word)

    def _plain(self, word: str) -> str:
        """Return what an unquoted name means where quoted ones are exact."""
        return word.translate(_UPPER) if "upper names" in self.traits else lower(word)

    def call_of(self, call: exp.Anonymous) -> str:
        """Return the name of the called function. Quotes are kept if they may change it."""
        quoted = not isinstance(call.this, str) and call.this.args.get("quoted")
        if quoted and self.traits & {"exact names", "exact quoted names"}:
            return f'"{call.name}"'
        return lower(call.name)

    def homes_of(self, functions: Iterable[str]) -> dict[str, str]:
        """Return the schema of each of the user's functions, by the name that `call_of` returns.

        `functions` are qualified names, such as `extensions.unaccent`.
        """
        parts = (name.rpartition(".") for name in functions)
        return {name: schema for schema, _, name in parts}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a statement of one dialect may contain: node kinds, and functions by where they may be used.

    `types` are those of the server that the parser does not know, where other names may be user-defined. `instead` has
    an expression for each function of other databases that this one does not have.
    """

    nodes: frozenset[str]
    functions: frozenset[str]
    scalar: frozenset[str]
    tables: frozenset[str]
    aggregates: frozenset[str]
    volatile: frozenset[str]
    internal: frozenset[str]
    types: frozenset[str]
    instead: Mapping[str, str]


_BUILTIN: dict[str, Dialect] = {
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
    """All dialects by name: ours, and those of packages."""

    def __init__(self) -> None:
        self._loaded = dict(_BUILTIN)

    def __getitem__(self, name: str) -> Dialect:
        """Return a dialect, loaded if necessary; fails with REG001 if a package's is broken."""
        if name not in self._loaded:
            self._loaded[name] = _load_foreign(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        """Yield all names; nothing is loaded."""
        brought = (name for _group, name, _target, _owner in installed_entries([DIALECT_ENTRIES]))
        yield from dict.fromkeys([*_BUILTIN, *brought])

    def __len__(self) -> int:
        """Return the number of dialects."""
        return len(list(iter(self)))


def _load_foreign(name: str) -> Dialect:
    """Load a package's dialect; raises KeyError if there is none."""
    entries = registered(DIALECT_ENTRIES, name)
    if not entries:
        raise KeyError(name)
    if len(entries) > 1:
        several = ", ".join(entry.value for entry in entries)
        fail("REG001", name=name, problem=f"several packages have a dialect of that name: {several}")
    (entry,) = entries

    def load() -> object:
        row = entry.load()
        if isinstance(row, Dialect):
            row.load_grammar()
            load_allowed(row)
        return row

    try:
        row = load_foreign(load)
    except NotLoadedError as error:
        fail("REG001", name=name, problem=f"its dialect {entry.value} does not load: {error}")
    if not isinstance(row, Dialect) or row.name != name:
        fail("REG001", name=name, problem=f"{entry.value} is not a dialect of that name")
    return row


DIALECTS: Mapping[str, Dialect] = Dialects()


def lower(word: str) -> str:
    """Return a name folded as servers do: only ASCII letters, or the Kelvin sign would become k."""
    return word.translate(_LOWER)


def any_case(word: str) -> str:
    """Return a name folded as much as any server does: MariaDB equates long s and S, dotless i and I."""
    return word.upper().lower()


@functools.cache
def load_allowed(dialect: Dialect) -> Allowed:
    """Return the allow-lists of a dialect, from its data file."""
    import tomllib

    data = tomllib.loads((Path(__file__).parent / dialect.allowed).read_text(encoding="utf-8"))
    sets = {key: frozenset(names) for key, names in data.items() if isinstance(names, list)}
    return Allowed(
        nodes=sets["nodes"] - _CHANGING,
        functions=sets["scalar"] | sets["aggregate"] | sets["window"] | sets["volatile"],
        scalar=sets["scalar"],
        tables=sets["table"],
        aggregates=sets["aggregate"],
        volatile=sets["volatile"],
        internal=sets["internal"],
        types=sets.get("types", frozenset()),
        instead=data.get("instead", {}),
    )
