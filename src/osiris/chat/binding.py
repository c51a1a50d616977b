"""The columns of a SELECT before anything is compiled: bound by the engine, against inputs that have no rows."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from osiris.chat.expressions import Misfit
from osiris.errors import OsirisError, raise_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection

    from osiris.model import Schema

_MEMORY = 256 << 20


@lru_cache(maxsize=512)
def bound(text: str, inputs: tuple[tuple[str, Schema], ...]) -> Schema:
    """Return the schema of a SELECT over steps with these schemas; raises `Misfit` if it has none."""
    from osiris.sql import check
    from osiris.sql.safety.names import relation_names

    schemas = dict(inputs)
    owners = relation_names({name: name for name in schemas})
    known = {label: schemas[names[0]] for label, names in owners.items() if len(names) == 1}
    try:
        verdict = check(text, "duckdb", relations=list(known))
        if verdict.canonical is None:
            raise_all([item for item in verdict.diagnostics if item.severity == "error"])
        return _bind(verdict.canonical, {name: known[name] for name in verdict.relations})
    except OsirisError as error:
        found = error.diagnostics[0]
        raise Misfit("", f"cannot be computed: {found.message}", found.hint) from error


def _bind(canonical: str, inputs: Mapping[str, Schema]) -> Schema:
    import pyarrow as pa

    from osiris.sql.binding.bind import check_input, schema_of_relation
    from osiris.sql.binding.bind_errors import misfit
    from osiris.sql.binding.problems import ENGINE_ERRORS
    from osiris.types import arrow_schema

    cursor = _engine().cursor()
    try:
        for name, schema in inputs.items():
            check_input(name, schema)
            cursor.register(name, pa.RecordBatchReader.from_batches(arrow_schema(schema), []))
        return schema_of_relation(cursor.sql(canonical), canonical, inputs)
    except ENGINE_ERRORS as error:
        raise_all([misfit(error, canonical, inputs, 0)])
    finally:
        cursor.close()


@cache
def _engine() -> DuckDBPyConnection:
    """Return an engine that is kept: to open one takes longer than to bind a hundred statements."""
    from osiris.sql.binding.engine import open_engine

    return open_engine(None, memory=_MEMORY, threads=1)
