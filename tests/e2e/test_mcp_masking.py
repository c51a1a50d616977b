"""Columns that a source computes, as agents see them: nothing personal, whatever the columns are called."""

import json

import duckdb
import pytest
from tests.e2e.agent import ask
from tests.e2e.sessions import Shop

pytestmark = pytest.mark.long

PEOPLE = [
    (1, 41731.5, 420602111222, "8001011238", "Nguyenová Thuy", "AT"),
    (2, 52962.25, 420602333444, "7552011239", "Wójcik Żaneta", "US"),
]
TEXTS = [str(value) for row in PEOPLE for value in row[1:5]] + ["41731", "52962", "Nguyen", "Wójcik"]
OML = """\
oml_version: "0.1.0"
name: staff
steps:
  - {id: people, component: duckdb.extractor, mode: read, config: {connection: "@duckdb.staff", query: QUERY}}
  - id: seen
    component: duckdb.processor
    mode: transform
    needs: [people]
    config: {query: "SELECT * FROM people ORDER BY ALL"}
  - {id: out, component: filesystem.csv_writer, mode: write, needs: [seen], config: {path: output/staff.csv}}
"""
HIDDEN = "<not followed>"
RENAMED = "SELECT id, salary AS s, phone AS p, birth_number AS b, customer AS c, country FROM people"
QUERIES = [
    # a query that a source runs itself, and how its rows are shown, in some order
    (RENAMED, [[1, "AT"], [2, "US"]]),
    ("SELECT x.id, x.salary AS s, max(x.phone) AS p FROM people AS x GROUP BY x.id, x.salary", [[1], [2]]),
    ("SELECT * FROM people", [[1, "AT"], [2, "US"]]),
    ("SELECT count(phone) AS n, count(DISTINCT salary) AS d, max(country) AS last FROM people", [[2, 2, "US"]]),
    ("SELECT salary + 0 AS s, phone // 1 AS p, upper(customer) AS c FROM people", [[], []]),
    ("SELECT s FROM (SELECT salary AS s FROM people) AS q", [[], []]),
    ("WITH q(s, p) AS (SELECT salary, phone FROM people) SELECT s, p FROM q", [[], []]),
    ("SELECT q.s FROM people AS q(i, s, p, b, c, o)", [[], []]),
    ("SELECT salary AS s FROM people UNION ALL SELECT phone FROM people", [[]] * 4),
    ("SELECT *, salary AS s FROM people", [[], []]),
    ("SELECT max(salary) OVER () AS s FROM people", [[], []]),
]


@pytest.fixture(scope="module")
def shown(osiris, tmp_path_factory):
    """The answers of one server to a preview of each query of QUERIES, and of a file without column names."""
    folder = Shop(osiris, tmp_path_factory.mktemp("masking") / "shop").folder
    (folder / "osiris_connections.yaml").write_text("connections: {duckdb: {staff: {path: data/staff.duckdb}}}\n")
    columns = "id INTEGER, salary DOUBLE, phone BIGINT, birth_number TEXT, customer TEXT, country TEXT"
    with duckdb.connect(folder / "data" / "staff.duckdb") as database:
        database.execute(f"CREATE TABLE people ({columns})")
        database.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)", PEOPLE)
    rows = "".join(",".join(map(str, row)) + "\n" for row in PEOPLE)
    (folder / "data" / "people.csv").write_text(rows)
    nameless = OML.replace("duckdb.extractor", "filesystem.csv_extractor")
    nameless = nameless.replace('connection: "@duckdb.staff", query: QUERY', "path: data/people.csv, header: false")

    @ask(folder)
    async def found(agent):
        answers = {}
        for query, oml in [*((each, OML.replace("QUERY", json.dumps(each))) for each, _ in QUERIES), ("", nameless)]:
            answers[query] = (await agent("preview", oml=oml))["data"], agent.text
        return answers

    return found


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_what_a_source_computes_is_shown_only_where_its_names_tell_what_it_is(shown, query, expected):
    data, text = shown[query]
    (table,) = data["tables"]
    rows = [[value for value in row if not str(value).startswith("<")] for row in table["rows"]]
    assert sorted(rows) == sorted(expected)
    assert table["row_count"] == len(expected)
    assert [value for value in TEXTS if value in text] == []
    assert ("hidden" in data) == any(HIDDEN in row for row in table["rows"])


def test_columns_of_a_file_without_names_are_hidden(shown):
    data, text = shown[""]
    assert data["tables"][0]["rows"] == [[HIDDEN] * 6] * 2
    assert HIDDEN in data["hidden"]
    assert [value for value in TEXTS if value in text] == []
