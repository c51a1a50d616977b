"""Inputs in the engine: files that it reads by itself, streams that the query reads once, or else loaded first."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.sql.binding.bind import explain, schema_of_relation
from osiris.sql.binding.duck_types import quote_name
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from osiris.model import JsonValue
    from osiris.sql.check_text import Verdict
    from osiris.table import Relation, RowStream

_SHOWN = 5
_OTHERWISE = ("LIMIT", "TOP_N", "JOIN", "PRODUCT", "CTE")
"""Parts of the names of operators that may have enough before their inputs end, or begin them again."""


class InputStream:
    """Rows that show their schema as often as they are asked, and are given once.

    Only Arrow's C interface is offered: the engine can choose columns, but it has no scanner to push its filters into,
    whose comparisons would be another library's.
    """

    def __init__(self, rows: RowStream) -> None:
        self.schema = rows.schema
        self._rows = rows

    def __arrow_c_schema__(self) -> object:
        return arrow_schema(self.schema).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.__arrow_c_stream__(requested_schema)


def load_inputs(
    engine: DuckDBPyConnection,
    text: str,
    verdict: Verdict,
    names: Mapping[str, str],
    inputs: Mapping[str, RowStream],
    values: Mapping[str, JsonValue],
) -> None:
    """Make the inputs readable under the names by which a query reads them.

    `names` maps those names to keys of `inputs`. An input with a relation becomes a view of it. One without becomes a
    stream if the text names it once and the engine's own plan does too; the others are loaded into temporary tables,
    which spill to disk.
    """
    used: dict[str, list[str]] = defaultdict(list)
    reads: Counter[str] = Counter()
    for name, times in verdict.relations.items():
        used[names[name]].append(name)
        reads[names[name]] += times
    streamed = set[str]()
    for key, called in used.items():
        if inputs[key].relation:
            _view(engine, inputs[key], called)
        elif reads[key] == 1:
            streamed.add(key)
            engine.register(called[0], InputStream(inputs[key]))
        else:
            _load(engine, inputs[key], called)
    schemas = {name: inputs[key].schema for name, key in names.items()}
    if _scans(explain(engine, text, values, schemas)) > len(streamed):
        _load_streams(engine, inputs, {key: used[key] for key in streamed})


def _view(engine: DuckDBPyConnection, source: RowStream, names: Collection[str]) -> None:
    """Make views of what the engine reads by itself; fails with DAT011 if it sees other types than planned."""
    for name in map(quote_name, names):
        engine.execute(f"CREATE TEMP VIEW {name} AS {source.relation.text if source.relation else ''}")
        found = schema_of_relation(engine.sql(f"FROM {name}"))
        if [column.type for column in found] != [column.type for column in source.schema]:
            fail("DAT011", step=name, problem="the engine reads other types from its files")


def tell_reads(engine: DuckDBPyConnection, inputs: Mapping[str, RowStream]) -> None:
    """Tell the inputs that the engine read by itself how many rows and bytes it counted, after the statement.

    Fails with DAT055 if those are other rows than the files have.
    """
    relations = [source.relation for source in inputs.values() if source.relation]
    if not relations:
        return
    # The profile of a statement that metadata alone answered has no operators.
    scans = list(_operators(json.loads(engine.get_profiling_information()).get("operator", ())))
    for relation in relations:
        _tell_read(engine, relation, scans)


def _tell_read(engine: DuckDBPyConnection, relation: Relation, scans: Collection[JsonValue]) -> None:
    names = _names_shown(relation.files)
    read = [node for node in scans if node.get("extra_info", {}).get("Filename(s)") == names]
    counted = {node["rows_scanned"] for node in read if _reads_all(node, scans)}
    counted = counted or set(engine.execute(f"SELECT count(*) FROM ({relation.text})").fetchone() or ())
    # The most, not the sum: the engine may read files twice, or another input may have the same ones.
    relation.on_read(counted, max((node["bytes_scanned"] for node in read), default=0))


def _reads_all(scan: JsonValue, operators: Collection[JsonValue]) -> bool:
    """Tell whether a scan gives every row of its files: nothing is filtered there, and it is read once, to its end.

    The rows of one that does not are counted by asking, which reads what the files say of themselves.
    """
    if {"Filters", "Dynamic Filters"} & scan["extra_info"].keys():
        return False
    return not any(word in node["name"] for node in operators for word in _OTHERWISE)


def _names_shown(files: Sequence[Path]) -> str:
    """Return what the engine's profile calls files: no more than five of them."""
    shown = ", ".join(str(path) for path in files[:_SHOWN])
    return shown if len(files) <= _SHOWN else f"{shown}, ..."


def _load_streams(
    engine: DuckDBPyConnection, inputs: Mapping[str, RowStream], used: Mapping[str, Collection[str]]
) -> None:
    """Load what was to be streamed: the engine would read one of them twice."""
    for key, names in used.items():
        for name in names:
            engine.unregister(name)
        _load(engine, inputs[key], names)


def _load(engine: DuckDBPyConnection, source: RowStream, names: Collection[str]) -> None:
    """Load an input into a temporary table of the first of its names; the others are views of it."""
    first, *others = map(quote_name, names)
    engine.register("osiris_loading", InputStream(source))
    engine.execute(f"CREATE TEMP TABLE {first} AS SELECT * FROM osiris_loading")
    engine.unregister("osiris_loading")
    for other in others:
        engine.execute(f"CREATE TEMP VIEW {other} AS SELECT * FROM {first}")


def _scans(plan: JsonValue) -> int:
    """Return how many Arrow streams a plan reads."""
    return sum(node["name"].endswith("ARROW_SCAN") for node in _operators(plan))


def _operators(plan: JsonValue) -> Iterator[JsonValue]:
    waiting = list(plan)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.get("children", ())
