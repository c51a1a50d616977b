"""Which table columns a query returns: by its text alone, and None if that is not enough."""

import pytest

from osiris.sql.plain_query import COUNT, plain_columns
from osiris.sql.safety.dialects import DIALECTS

QUERIES = [
    ("SELECT salary AS s, p.phone, (id) FROM staff.people AS p WHERE id IN (SELECT 1)", ["salary", "phone", "id"]),
    ("SELECT DISTINCT a.x AS y FROM a JOIN b ON a.x = b.x LEFT JOIN c ON c.x = b.x", ["x"]),
    ("SELECT x, count(*) AS n, CAST(sum(y) AS DECIMAL(18, 2)) AS t FROM a GROUP BY x LIMIT 3", ["x", COUNT, "y"]),
    ("SELECT * FROM a", ["c0", "c1"]),
    ("SELECT t.* FROM a AS t", ["c0"]),
    ("SELECT *, x FROM a", [None, None]),
    ("SELECT * FROM a JOIN b ON a.x = b.x", [None, None]),
    ("SELECT * FROM a AS t(x, y)", [None, None]),
    ("SELECT x + 1, lower(x), 'x', max(x) OVER () FROM a", [None] * 4),
    ("SELECT a, t.t FROM a JOIN b AS t ON a.x = t.x", [None, None]),
    ("SELECT s FROM (SELECT x AS s FROM a) AS q", [None]),
    ("WITH q AS (SELECT x AS s FROM a) SELECT s FROM q", [None]),
    ("SELECT x FROM a UNION ALL SELECT y FROM b", [None]),
    ("SELECT 1", [None]),
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_columns_are_followed_only_where_the_text_tells(dialect, query, expected):
    names = [f"c{number}" for number in range(len(expected))]
    assert list(plain_columns(query, dialect, names).values()) == expected
