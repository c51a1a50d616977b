"""Cross-check with DuckDB's own parser: it must see nothing that the check has not allowed.

The parser that will execute the text lists the calls and relations it sees. If the two disagree, the statement does not
run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from osiris.errors import diagnostic, raise_all
from osiris.sql.safety.dialects import DIALECTS, load_allowed, lower

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import duckdb

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue


def assert_native(engine: duckdb.DuckDBPyConnection, text: str, relations: Collection[str]) -> None:
    """Fail with SQL004, SQL005 or SQL006 unless DuckDB reads `text` as one query with allowed calls and relations."""
    answer = engine.execute("SELECT json_serialize_sql(?)", [text]).fetchall()
    parsed: JsonValue = json.loads(answer[0][0])
    if parsed["error"] or len(parsed["statements"]) != 1:
        raise_all([diagnostic("SQL004", what="a statement that DuckDB reads differently")])
    problems = list(_problems(parsed["statements"], {lower(name) for name in relations}))
    if problems:
        raise_all(problems)


def _problems(tree: JsonValue, relations: set[str]) -> Iterator[Diagnostic]:
    allowed = load_allowed(DIALECTS["duckdb"])
    nodes = list(_objects(tree))
    ctes = {lower(entry["key"]) for node in nodes for entry in node.get("cte_map", {}).get("map", ())}
    for node in nodes:
        if "function_name" in node:
            name = lower(node["function_name"])
            if not node.get("is_operator") and name not in allowed.functions | allowed.internal | allowed.tables:
                yield diagnostic("SQL005", name=name)
        elif node.get("type") == "TABLE_FUNCTION":
            if lower(node["function"]["function_name"]) not in allowed.tables:
                yield diagnostic("SQL005", name=node["function"]["function_name"])
        elif node.get("type") == "BASE_TABLE":
            yield from _bad_table(node, relations | ctes)


def _bad_table(node: JsonValue, names: set[str]) -> Iterator[Diagnostic]:
    if node["schema_name"] or node["catalog_name"] or lower(node["table_name"]) not in names:
        yield diagnostic("SQL006", name=node["table_name"])


def _objects(tree: JsonValue) -> Iterator[JsonValue]:
    """Yield every object of a JSON value, at any depth."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
