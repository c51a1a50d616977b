"""The table of dialects. A dialect is one row here, one grammar class and one data file of what may be called."""

from __future__ import annotations

import functools
import importlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import Dialect as Grammar


@dataclass(frozen=True, slots=True)
class Dialect:
    """One row: the grammar as `module:class`, the file of allowed names, and what makes its quoting special.

    `system_tables` are prefixes of relations that every database of that kind has and nobody's data is in.
    `system_names` are words that are read as a function when they are no column.
    """

    name: str
    grammar: str
    allowed: str
    system_tables: tuple[str, ...] = ()
    system_names: frozenset[str] = frozenset()

    def load_grammar(self) -> type[Grammar]:
        """Return the sqlglot dialect class; imports sqlglot (about 0.1 s)."""
        module, _, name = self.grammar.partition(":")
        grammar: type[Grammar] = getattr(importlib.import_module(module), name)
        return grammar


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a statement of one dialect may consist of: kinds of node, and functions by where they may stand."""

    nodes: frozenset[str]
    functions: frozenset[str]
    tables: frozenset[str]
    aggregates: frozenset[str]
    volatile: frozenset[str]
    internal: frozenset[str]


DIALECTS: dict[str, Dialect] = {
    "duckdb": Dialect(
        name="duckdb",
        grammar="osiris.sql.grammar:DuckDBText",
        allowed="functions/duckdb.toml",
        system_tables=("duckdb_", "information_schema", "pg_", "pragma_", "sqlite_"),
        system_names=frozenset({"current_catalog", "current_role", "current_schema", "current_user", "session_user"}),
    ),
}


@functools.cache
def load_allowed(dialect: Dialect) -> Allowed:
    """Return the allow-lists of a dialect, read from its data file."""
    data = tomllib.loads((Path(__file__).parent / dialect.allowed).read_text(encoding="utf-8"))
    sets = {key: frozenset(names) for key, names in data.items()}
    return Allowed(
        nodes=sets["nodes"],
        functions=sets["scalar"] | sets["aggregate"] | sets["window"] | sets["volatile"],
        tables=sets["table"],
        aggregates=sets["aggregate"],
        volatile=sets["volatile"],
        internal=sets["internal"],
    )
