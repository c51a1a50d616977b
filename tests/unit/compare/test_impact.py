"""What a source affects, through one plan and the next."""

from osiris.compare.lineage import SourceColumn, find_source, known_sources, read_plan, trace_impact, trace_origins


def reader(plans, path, name="load", columns=("total float64", "other utf8"), **more):
    return plans.step(name, "reader", columns=columns, config={"path": path}, **more)


def follower(plans, path="output/report.csv", target="output/last.csv"):
    """Return a plan that copies what another one wrote."""
    writer = plans.step("save", "writer", inputs=["load"], config={"path": target})
    return plans.plan(reader(plans, path), writer, name="follower", fingerprint="b" * 64)


def told(found):
    return {
        pipeline.name: {step.step: (dict(step.columns), step.rows) for step in pipeline.steps} for pipeline in found
    }


def test_a_column_is_followed_to_its_targets(plans):
    found = told(trace_impact([read_plan(plans.shop())], "data/orders.csv", "amount"))
    assert found["p"]["orders"] == ({"amount": "copy"}, False)
    assert found["p"]["joined"] == ({"total": "aggregate", "largest": "aggregate"}, False)
    assert found["p"]["report"] == ({"total": "aggregate", "largest": "aggregate"}, False)
    assert found["p"]["boxes"] == ({"size": "unknown", "note": "unknown"}, True)
    assert "people" not in found["p"]


def test_a_column_that_only_decides_rows_reaches_them(plans):
    found = told(trace_impact([read_plan(plans.shop())], "data/orders.csv", "customer"))
    assert found["p"]["report"] == ({}, True)


def test_a_whole_source_is_all_of_its_columns_and_its_rows(plans):
    found = told(trace_impact([read_plan(plans.shop())], "data/people.csv", None))
    assert found["p"]["people"] == ({"id": "copy", "name": "copy"}, True)
    assert found["p"]["report"] == ({"name": "copy"}, True)


def test_a_target_that_another_plan_reads_carries_on(plans):
    both = [read_plan(follower(plans)), read_plan(plans.shop())]
    found = told(trace_impact(both, "data/orders.csv", "amount"))
    assert found["follower"]["save"] == ({"total": "aggregate"}, False)
    assert told(trace_impact(both, "data/orders.csv", "customer"))["follower"]["save"] == ({}, True)
    assert set(told(trace_impact(both, "output/report.csv", "other"))) == {"follower"}


def test_plans_that_read_each_other_end(plans):
    first = follower(plans, "a.csv", "b.csv")
    second = follower(plans, "b.csv", "a.csv")
    found = trace_impact([read_plan(first), read_plan(second)], "a.csv", "total")
    assert [dict(step.columns) for pipeline in found for step in pipeline.steps] == [{"total": "copy"}] * 4


def test_a_pattern_reads_the_files_that_it_names(plans):
    day = read_plan(follower(plans, "data/day-*.csv"))
    deep = read_plan(follower(plans, "data/**/*.csv"))
    assert find_source([day], "data/day-1.csv#total") == ("data/day-1.csv", "total")
    assert find_source([day], "data/day-*.csv") == ("data/day-*.csv", None)
    assert find_source([day], "data/x/day-1.csv") is None
    assert find_source([day], "old/data/day-1.csv") is None
    assert find_source([deep], "data/x/day-1.csv#other") == ("data/x/day-1.csv", "other")
    assert told(trace_impact([day], "data/day-1.csv", "total"))["follower"]["save"] == ({"total": "copy"}, False)


def test_a_table_of_an_embedded_database_is_one_in_any_case(plans):
    def flow(name, mark, source, target):
        load = reader(plans, "", columns=["Id int64"] if mark == "b" else ["ID int64"])
        load |= {"config": {"table": source}, "connection": "@duckdb.w"}
        save = plans.step("save", "writer", inputs=["load"], config={"table": target}, connection="@duckdb.w")
        return read_plan(plans.plan(load, save, name=name, fingerprint=mark * 64))

    both = [flow("one", "a", "Source", "Middle"), flow("two", "b", "MIDDLE", "last")]
    assert find_source(both, "@duckdb.w.sOurce.id") == ("@duckdb.w.sOurce", "id")
    assert find_source(both, "@duckdb.W.source") is None
    found = told(trace_impact(both, "@duckdb.w.sOurce", "id"))
    assert found["one"]["save"] == ({"ID": "copy"}, False)
    assert found["two"]["save"] == ({"Id": "copy"}, False)
    lake = plans.step("load", "reader", columns=["x int64"], config={"table": "T"}, connection="@lake.main")
    assert find_source([read_plan(plans.plan(lake))], "@lake.main.t") is None


def test_names_with_dots_and_marks_are_found(plans):
    table = plans.step(
        "load", "reader", columns=["a.b int64"], config={"table": "o.rders", "schema": "s"}, connection="@lake.main"
    )
    odd = reader(plans, "data/a#1.csv", name="odd", columns=["x#y int64"])
    known = [read_plan(plans.plan(table, odd))]
    assert find_source(known, "@lake.main.s.o.rders.a.b") == ("@lake.main.s.o.rders", "a.b")
    assert find_source(known, "@lake.main.s.o.rders") == ("@lake.main.s.o.rders", None)
    assert find_source(known, "data/a#1.csv#x#y") == ("data/a#1.csv", "x#y")
    assert find_source(known, "data/a#1.csv#x") is None
    assert known_sources(known) == {"@lake.main.s.o.rders": {"a.b"}, "data/a#1.csv": {"x#y"}}


def test_a_query_may_read_every_column_of_its_tables(plans):
    query = {"query": "SELECT\n  sum(amount) AS total\nFROM orders"}
    load = plans.step("load", "reader", columns=["total float64"], config=query, connection="@lake.main")
    save = plans.step("save", "writer", inputs=["load"], config={"path": "output/x.csv"})
    known = [read_plan(plans.plan(load, save))]
    assert find_source(known, "@lake.main.orders.amount") == ("@lake.main.orders", "amount")
    assert told(trace_impact(known, "@lake.main.orders", "amount"))["p"]["save"] == ({"total": "unknown"}, True)
    assert find_source(known, "@lake.main.people") is None


def made(plans, source, column):
    return [
        (each.pipeline, each.step, each.target.column, {(*at,): kind for at, kind in each.sources})
        for each in trace_origins(plans, source, column)
    ]


def test_a_column_of_a_target_is_followed_to_its_sources(plans):
    both = [read_plan(follower(plans)), read_plan(plans.shop())]
    orders = {("data/orders.csv", "amount"): "aggregate"}
    assert made(both, "output/report.csv", "total") == [("p", "report", "total", orders)]
    assert made(both, "output/last.csv", "total") == [
        ("follower", "save", "total", {("output/report.csv", "total"): "copy"}),
        ("p", "report", "total", orders),
    ]
    (first,) = trace_origins(both, "output/report.csv", "name")
    assert set(first.rows) == {
        SourceColumn("data/orders.csv", "customer"),
        SourceColumn("data/people.csv", "id"),
        SourceColumn("data/people.csv", "name"),
    }


def test_nothing_is_known_of_a_column_that_no_plan_writes(plans):
    both = [read_plan(follower(plans)), read_plan(plans.shop())]
    assert made(both, "data/orders.csv", "amount") == made(both, "output/report.csv", "nothing") == []


def test_a_pattern_is_written_by_each_file_that_it_matches(plans):
    one, two = (follower(plans, f"data/{each}.csv", f"output/day-{each}.csv") for each in "ab")
    found = made([read_plan(one), read_plan(two)], "output/day-*.csv", "total")
    assert [sources for *_, sources in found] == [{(f"data/{each}.csv", "total"): "copy"} for each in "ab"]


def test_origins_of_plans_that_read_each_other_end(plans):
    both = [read_plan(follower(plans, "a.csv", "b.csv")), read_plan(follower(plans, "b.csv", "a.csv"))]
    assert len(made(both, "a.csv", "total")) == 2


def test_a_query_reads_unknown_columns_of_its_tables(plans):
    load = reader(plans, "", columns=["total int64"])
    load |= {"config": {"query": "SELECT a AS total FROM x, s.y"}, "connection": "@postgres.w"}
    load |= {"sql": {"query": "postgres"}}
    save = plans.step("save", "writer", inputs=["load"], config={"path": "out.csv"})
    found = made([read_plan(plans.plan(load, save))], "out.csv", "total")
    assert found == [("p", "save", "total", {("@postgres.w.x", None): "copy", ("@postgres.w.s.y", None): "copy"})]


def test_a_column_that_a_step_computes_of_nothing_has_no_source(plans):
    numbers = plans.step("numbers", "query", columns=["n int64"], config={"query": "SELECT 1 AS n"})
    save = plans.step("save", "writer", inputs=["numbers"], config={"path": "out.csv"})
    assert made([read_plan(plans.plan(numbers, save))], "out.csv", "n") == [("p", "save", "n", {})]
