"""Changes since the last success, by kind of object."""

import pytest

from osiris.aiop.package import build_package
from osiris.aiop.sections import Options
from osiris.history.reading import Reading
from osiris.history.record import load_run

STEP = {"sql": {}, "connection": None, "order": "fixed", "lineage": None, "fused": [], "schema": None}


@pytest.fixture
def pair(made, tmp_path):
    """A run and its base, both alike, and a function that packages the run."""
    base = type(made)(tmp_path / "base")
    for each in (base, made):
        columns = [{"name": "n", "type": "int64", "nullable": True}]
        each.step("r", "read", rows=(5, 5), **STEP | {"config": {"path": "a.csv"}, "schema": columns})
        each.step("w", "write", rows=(5, 5), reads=["r"], **STEP | {"config": {"path": "b.csv", "delimiter": ","}})
        each.more = {"connections": {}, "sources": {"r": "1" * 64}, "limits": {"threads": 2}, "selected": None}
        each.more["environment"] = {"osiris": "1", "python": "3.13.1", "engines": {"duckdb": "2.0.0"}}
        each.plan_more = {"osiris": "1", "params": {"p": 1}, "connections": {"@pg.main": {"host": "a"}}}

    def told():
        runs = []
        for each in (base, made):
            each.write()
            run = load_run(each.folder)
            run.plan.data.update(each.plan_more)
            runs.append(run)
        runs[1].plan.data["fingerprint"] = "a" * 64
        for step in runs[1].plan.steps:
            step["hash"] = "other"
        return Reading(runs[1], runs[0], runs[0].id, None, str)

    made.base, made.told = base, told
    return made


def areas(pair):
    return {(change.area, change.path) for change in pair.told().changes}


def test_nothing_changed(pair):
    assert areas(pair) == set()


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda p: p.plan[0]["config"].update(path="c.csv"), ("pipeline", "steps/r/config/path")),
        (lambda p: p.plan[0]["schema"][0].update(type="utf8"), ("source_schema", "steps/r/schema/n/type")),
        (lambda p: p.plan[1]["config"].update(path="c.csv"), ("target", "steps/w/config/path")),
        (lambda p: p.plan[1]["config"].update(delimiter=";"), ("pipeline", "steps/w/config/delimiter")),
        (lambda p: p.plan[1].update(version="2"), ("component", "steps/w/version")),
        (lambda p: p.plan[1].update(connection="@pg.x"), ("connection", "steps/w/connection")),
        (lambda p: p.plan_more["params"].update(p=2), ("parameter", "params/p")),
        (
            lambda p: p.plan_more["connections"]["@pg.main"].update(host="b"),
            ("connection", "connections/@pg.main/host"),
        ),
        (lambda p: p.more.update(sources={"r": "2" * 64}), ("source_data", "sources/r")),
        (lambda p: p.more.update(connections={"@pg.main": "2" * 64}), None),
        (lambda p: p.more.update(limits={"threads": 4}), ("environment", "limits/threads")),
        (lambda p: p.more.update(selected=["r"]), ("selection", "environment/selected")),
        (lambda p: p.more["environment"].update(python="3.14.0"), ("engine", "environment/python")),
        (lambda p: p.more["environment"]["engines"].update(duckdb="2.1.0"), ("engine", "environment/engines/duckdb")),
    ],
)
def test_each_kind_of_change_is_told_once(pair, act, expected):
    act(pair)
    assert areas(pair) == ({expected} if expected else set())


def test_columns_of_a_step_that_was_edited_are_no_news_of_its_source(pair):
    pair.plan[0]["config"]["as_text"] = True
    pair.plan[0]["schema"][0]["type"] = "utf8"
    assert [(change.area, change.path) for change in pair.told().changes] == [
        ("pipeline", "steps/r/config/as_text"),
        ("pipeline", "steps/r/schema/n/type"),
    ]


def test_long_values_are_told_by_their_beginning(pair):
    pair.plan_more["params"]["p"] = "x" * 10_000
    (change,) = pair.told().changes
    data = change.to_json(1)
    assert len(data["text"]) <= 400
    assert data["old"] == 1
    assert data["new"] == "x" * 400 + "…"


def test_numbers_before_and_now(pair):
    pair.steps["r"]["rows_in"] = pair.steps["r"]["rows_out"] = 50
    pair.more["sources"] = {"r": "2" * 64}
    document = build_package(pair.told(), Options(), lambda _name: None).document
    changes = document["answer"]["changes"]
    assert changes["rows_in"] == {"before": 5, "now": 50}
    assert document["delta"]["steps"]["rows"][0][:3] == ["r", 5, 50]


def test_density_columns_and_annex(made):
    made.step("r", "read", rows=(5, 5), schema=[{"name": "n", "type": "int64", "nullable": True}])
    for name in ("run_start", "step_start", "step_progress", "note_of_driver", "step_complete", "run_complete"):
        made.event(name, **({"step": "r", "rows": 1} if name.startswith("step") else {}))
    counts = {d: len(made.package(density=d).document["evidence"]["timeline"]) for d in ("low", "medium", "high")}
    assert counts == {"low": 4, "medium": 5, "high": 6}
    assert made.package(detailed=True).document["semantic"]["nodes"][0]["columns"] == ["n int64"]
    first, again = (made.package(annex=True, compress=True) for _ in range(2))
    assert first.annex == again.annex
    assert [each["count"] for each in first.document["metadata"]["annex"]] == [6, 0, 0]
    assert all(each["path"].endswith(".ndjson.gz") for each in first.document["metadata"]["annex"])
