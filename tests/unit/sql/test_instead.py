"""The suggested replacement for a function of another database is valid."""

import json
import re

import duckdb
import pytest

from osiris.sql.safety.dialects import DIALECTS, load_allowed

ALLOWED = load_allowed(DIALECTS["duckdb"])
READ = "SELECT json_serialize_sql(?)"
PARAMETER, PLACEHOLDER_TYPE = re.compile(r"\$\{[a-z_.]+\}"), "AS type)"


@pytest.mark.parametrize(("name", "advised"), sorted(ALLOWED.instead.items()))
def test_what_is_advised_is_understood_and_allowed(name, advised):
    text = PARAMETER.sub("CAST('2025-01-01' AS timestamp)", advised).replace(PLACEHOLDER_TYPE, "AS integer)")
    (tree,) = duckdb.connect().execute(READ, [f"SELECT {text} FROM t"]).fetchone()
    assert json.loads(tree)["error"] is False
    assert set(re.findall(r"\b([a-z_]+)\(", text)) <= ALLOWED.functions | {"decimal"}


def test_only_what_is_missing_is_replaced():
    """A function that DuckDB has is not reported as missing."""
    own = {name for (name,) in duckdb.connect().execute("SELECT function_name FROM duckdb_functions()").fetchall()}
    assert ALLOWED.instead.keys() & (own | ALLOWED.functions) == set()
