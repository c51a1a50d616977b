"""Findings of a complete run, compared with the last success: thresholds, and the wording for lost rows."""

import pytest
from tests.unit.aiop.conftest import Made

from osiris.history.findings import findings_of
from osiris.history.reading import Reading
from osiris.history.record import load_run
from osiris.history.row_counts import combines_rows


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)


@pytest.fixture
def kinds(tmp_path):
    """Return the kinds of findings of a run of one reader, one join and one writer, given rows before and now."""

    def call(before, now, query="SELECT a.* FROM a JOIN b USING (id)"):
        runs = []
        for number, (read, joined, written) in enumerate((before, now)):
            made = Made(tmp_path / f"{len(list(tmp_path.iterdir()))}-{number}")
            made.step("a", "read", rows=(read, read))
            made.step("joined", "transform", rows=(read, joined), reads=["a"], config={"query": query})
            made.step("out", "write", rows=(written, written), reads=["joined"])
            made.write()
            runs.append(load_run(made.folder))
        return {each.kind for each in findings_of(Reading(runs[1], runs[0], runs[0].id, None, str))}

    return call


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ((10_000, 10_000, 10_000), (4_000, 4_000, 4_000), {"shrunk"}),
        ((10_000, 10_000, 10_000), (5_000, 5_000, 5_000), {"shrunk"}),
        ((10_000, 10_000, 10_000), (5_001, 5_001, 5_001), set()),
        ((30, 30, 30), (11, 11, 11), set()),
        ((40, 40, 40), (20, 20, 20), {"shrunk"}),
        ((10_000, 9_900, 9_900), (10_000, 4_000, 4_000), {"shrunk"}),
        ((10_000, 9_900, 9_900), (10_000, 5_100, 5_100), set()),
        ((100, 100, 100), (100, 0, 0), {"all_filtered", "nothing_written", "empty_output", "shrunk"}),
        ((100, 0, 0), (100, 0, 0), {"all_filtered", "nothing_written"}),
        ((100, 100, 100), (200, 200, 200), set()),
    ],
)
def test_shrinkage_has_thresholds(kinds, before, now, expected):
    assert kinds(before, now) == expected


@pytest.mark.parametrize(
    ("sql", "combines"),
    [
        ("SELECT c, count(*) FROM t GROUP BY c", True),
        ("SELECT DISTINCT c FROM t", True),
        ("SELECT max(c) FROM t", True),
        ("SELECT a FROM t UNION SELECT a FROM u", True),
        ("SELECT a FROM t UNION ALL SELECT a FROM u WHERE a > 1", False),
        ("SELECT a.* FROM t AS a JOIN t AS b USING (id)", True),
        ("SELECT * FROM t WHERE c > 1", False),
        ("SELECT *, row_number() OVER (PARTITION BY c) AS n FROM t WHERE c > 1", False),
        ("SELECT *, max(c) OVER () AS m FROM t WHERE c > 1", False),
    ],
)
def test_filtered_is_not_said_of_what_combines(sql, combines, tmp_path):
    assert combines_rows(sql) is combines
    made = Made(tmp_path)
    made.step("t", "read", rows=(10, 10))
    made.step("q", "transform", rows=(10, 4), reads=["t"], config={"query": sql})
    rows = made.package().document["answer"]["rows"]
    (loss,) = rows["lost"]
    assert (loss["how"], loss["rows"]) == ("combined" if combines else "filtered", 6)
    cells = dict(zip(rows["steps"]["columns"], rows["steps"]["rows"][1], strict=True))
    assert (cells["filtered"], cells["combined"]) == ((0, 6) if combines else (6, 0))


@pytest.mark.parametrize(
    ("sizes", "given", "sql"),
    [
        ((10_000, 80), 8_000, "SELECT sales.* FROM sales JOIN customers USING (customer)"),
        ((3, 3), 5, "SELECT * FROM sales LEFT JOIN customers USING (customer)"),
        ((10, 3), 7, "SELECT * FROM sales WHERE customer IN (SELECT customer FROM customers)"),
        ((10, 3), 8, "SELECT * FROM sales UNION ALL SELECT * FROM customers WHERE customer > 1"),
        ((10, 3), 9, "SELECT * FROM sales, customers WHERE sales.customer = customers.customer"),
    ],
)
def test_nothing_is_filtered_where_a_row_may_be_made_of_several_inputs(made, sizes, given, sql):
    for name, size in zip(("sales", "customers"), sizes, strict=True):
        made.step(name, "read", rows=(size, size))
    made.step("both", "transform", rows=(sum(sizes), given), reads=["sales", "customers"], config={"query": sql})
    made.step("out", "write", rows=(given, given), reads=["both"])
    package = made.package()
    rows = package.document["answer"]["rows"]
    cells = dict(zip(rows["steps"]["columns"], rows["steps"]["rows"][2], strict=True))
    assert cells["filtered"] == 0
    assert cells["in"] + cells["added"] == cells["out"] + cells["rejected"] + cells["filtered"] + cells["combined"]
    assert [loss["how"] for loss in rows["lost"]] == ["combined"]


@pytest.mark.parametrize(
    ("rejects", "moved"),
    [
        ((("in", 3), ("out", 0)), "8 rows read, 3 rejected, 5 written"),
        ((("in", 0), ("out", 3)), "8 rows read, 3 rejected, 5 written"),
        ((("in", 0), ("out", 0)), "8 rows read, 8 written"),
    ],
)
def test_rows_read_are_those_of_the_source(made, rejects, moved):
    left = 8
    for (name, aside), mode in zip(rejects, ("read", "write"), strict=True):
        made.step(name, mode, rows=(left, left - aside, aside), reads=["in"] * (mode == "write"))
        left -= aside
    assert made.package().document["answer"]["verdict"]["text"].startswith(f"The run is complete: {moved}.")


@pytest.mark.parametrize(("to_end", "expected"), [(True, {"nothing_read", "shrunk", "empty_output"}), (False, set())])
def test_a_source_that_nobody_read_is_not_an_empty_one(tmp_path, to_end, expected):
    """The target had the rows of an earlier attempt: its writer reads none, and reports their number."""
    runs = []
    for number, rows in enumerate((100, 0)):
        made = Made(tmp_path / str(number))
        made.step("a", "read", rows=(rows, rows))
        made.event("step_complete", step="a", rows_in=rows, rows_out=rows, read_to_end=bool(rows) or to_end)
        made.step("out", "write", rows=(100, 100) if not to_end else (rows, rows), reads=["a"])
        made.write()
        runs.append(load_run(made.folder))
    assert {each.kind for each in findings_of(Reading(runs[1], runs[0], runs[0].id, None, str))} == expected
