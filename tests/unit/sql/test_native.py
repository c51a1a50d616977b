"""The engine's own parser as a second opinion."""

from __future__ import annotations

from pathlib import Path

import pytest

from osiris.errors import OsirisError
from osiris.sql import check
from osiris.sql.binding.engine import open_engine
from osiris.sql.safety.duckdb_crosscheck import assert_native

QUERIES = (Path(__file__).parent / "data" / "queries.sql").read_text(encoding="utf-8").splitlines()
RELATIONS = ("orders", "customers", "prices", "staff", "docs")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    opened = open_engine(tmp_path_factory.mktemp("native"), memory=64 << 20, threads=1)
    yield opened
    opened.close()


@pytest.mark.parametrize("sql", QUERIES)
def test_both_parsers_agree(sql, engine):
    assert_native(engine, check(sql, "duckdb", relations=RELATIONS).canonical, RELATIONS)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT read_text('x')", "SQL005"),
        ("SELECT x.current_setting() FROM orders AS x", "SQL005"),
        ("SELECT * FROM read_text('x')", "SQL005"),
        ("SELECT * FROM repeat(1, 2)", "SQL005"),
        ("SELECT * FROM other", "SQL006"),
        ("SELECT * FROM main.orders", "SQL006"),
        ("SELECT * FROM 'x.csv'", "SQL006"),
        ("SELECT 1; SELECT 2", "SQL004"),
        ("DELETE FROM orders", "SQL004"),
        ("SELECT FROM", "SQL004"),
    ],
)
def test_the_second_opinion_can_refuse(sql, code, engine):
    with pytest.raises(OsirisError) as caught:
        assert_native(engine, sql, RELATIONS)
    assert code in {found.code for found in caught.value.diagnostics}
