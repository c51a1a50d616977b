"""Every query of TPC-H and TPC-DS on real PostgreSQL and MariaDB: the checked text gives the rows of the original.

The texts are DuckDB's, translated for each server. Features that a query needs and a server lacks are listed below.
"""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from tests.corpora.servers import HERE, check, fill, place

SUITES = {"tpch": 22, "tpcds": 99}
NEEDS = {
    "FULL JOIN": re.compile(r"FULL OUTER JOIN", re.IGNORECASE),
    "GROUPING()": re.compile(r"\bGROUPING\s*\(", re.IGNORECASE),
    "ORDER BY behind ROLLUP": re.compile(r"\bROLLUP\s*\(.*ORDER BY", re.IGNORECASE | re.DOTALL),
}
"""What MariaDB does not have."""
IN_MYSQL = (
    (r"total_cnt DESC NULLS FIRST", "total_cnt DESC"),
    (r"(\S+)\s+DESC\s+NULLS FIRST", r"\1 IS NULL DESC, \1 DESC"),
    (r"\s+NULLS (FIRST|LAST)", ""),
    (r"\b(CAST|SUM|AVG|COUNT|MIN|MAX|SUBSTRING|SUBSTR|COALESCE|RANK|STDDEV_SAMP)\s+\(", r"\1("),
    (r"\bAS\s+(INTEGER|INT|BIGINT)\)", "AS SIGNED)"),
    (r"\bAS\s+(VARCHAR|TEXT)\)", "AS CHAR)"),
    (r"('[^']*'|\w+)\s*\|\|\s*('[^']*'|\w+)(?:\s*\|\|\s*('[^']*'|\w+))?", r"CONCAT(\1, \2, \3)"),
    (r", \)", ")"),
    (r"\) CATALOG\b", ") catalog"),
    (r",\s*\*(\s+FROM (\w+)\))", r", \2.*\1"),
    (r"INTERVAL (\d+) days?", r"INTERVAL \1 DAY"),
)


def words_of(dialect, text):
    """Return a text translated for a server."""
    for pattern, words in IN_MYSQL if dialect == "mysql" else ():
        text = re.sub(pattern, words, text, flags=re.IGNORECASE)
    return text.strip().rstrip(";")


def queries(dialect, suite):
    texts = {path.stem: path.read_text("utf-8") for path in sorted((HERE / suite).glob("*.sql"))}
    assert len(texts) == SUITES[suite]
    missing = NEEDS.values() if dialect == "mysql" else ()
    return {
        name: words_of(dialect, text) for name, text in texts.items() if not any(need.search(text) for need in missing)
    }


@pytest.mark.parametrize("suite", ["tpch", pytest.param("tpcds", marks=pytest.mark.long)])
@pytest.mark.parametrize("dialect", ["postgres", "mysql"])
def test_the_checked_text_gives_the_rows_of_the_original(dialect, suite, request, tmp_path):
    texts = queries(dialect, suite)
    server = request.getfixturevalue("postgres" if dialect == "postgres" else "mariadb")
    with place(dialect, server) as made:
        fill(made, suite)
        catalogue = tmp_path / "catalogue.json"
        catalogue.write_text(json.dumps(made.learn().columns))
        verdicts = check(dialect, list(texts.values()), catalogue)
        assert [(name, v) for name, v in zip(texts, verdicts, strict=True) if not v["ok"]] == []
        wrong, answers = [], Counter()
        for (name, text), verdict in zip(texts.items(), verdicts, strict=True):
            written = made.run(text)
            slow = isinstance(written, str) and re.search("timeout|max_statement_time", written)
            answers["slow" if slow else "same"] += 1
            if not slow and (isinstance(written, str) or made.run(verdict["canonical"]) != written):
                wrong.append(f"{name}: {str(written)[:300]}")
    assert not wrong, "\n".join(wrong)
    assert not answers["slow"], answers
