"""What is new in a run since an earlier one."""

import json
from datetime import timedelta

import pytest
from tests.browser.sessions import START, plan, shop, step, write_session

from osiris.history.record import load_run
from osiris.report.run import MOST_CHANGES, compare_runs


@pytest.fixture
def pair(tmp_path):
    """Write two runs and compare the second with the first; the functions may change each run.json."""

    def call(now=lambda _: None, before=lambda _: None, plans=None, **seconds):
        runs, root = [], tmp_path / f"pair{len(list(tmp_path.iterdir()))}"
        for number, change in enumerate((before, now)):
            manifest = plans[number] if plans else shop()
            start = START + timedelta(hours=number)
            folder = write_session(root, manifest, start=start, seconds=seconds.get("took", (9, 9))[number])
            summary = json.loads((folder / "run.json").read_text())
            change(summary)
            (folder / "run.json").write_text(json.dumps(summary))
            runs.append(load_run(folder))
        return compare_runs(runs[1], runs[0])

    return call


def digest(value, **columns):
    return {"kind": "ordered", "algorithm": "sha256", "value": value, "columns": columns}


def output(value, rows=5, **columns):
    return {"rows": rows, "digest": digest(value, **columns), "files": []}


def test_nothing_new(pair):
    found = pair()
    assert found.summary == "Same plan and sources"
    assert [fact.what for fact in found.facts if fact.changed] == []
    assert (found.plan, found.steps, found.outputs, found.figures) == ((), (), (), [])


def test_outputs_are_compared_by_digest(pair):
    def before(run):
        run["outputs"] = {"report": output("a", x="1", y="2"), "boxes": output("c")}

    same = pair(now=before, before=before)
    assert same.summary == "Same plan, sources and output"
    assert [each.same for each in same.outputs] == [True, True]

    def now(run):
        run["outputs"] = {"report": output("b", rows=6, x="1", y="3"), "boxes": output("c")}
        run["outputs"]["boxes"]["digest"]["kind"] = "unordered"

    found = {each.step: each for each in pair(now=now, before=before).outputs}
    assert found["report"].same is False
    assert found["report"].text == "other values in y; rows +1 (+20 %)"
    assert found["boxes"].same is None

    gone = pair(now=lambda run: run.update(outputs={}), before=before)
    assert {each.text for each in gone.outputs} == {"no output now"}
    assert {each.text for each in pair(now=before).outputs} == {"no output before"}


def test_sources_and_connections(pair):
    def before(run):
        run |= {
            "sources": {"orders": "1", "people": "2"},
            "connections": {"@a.b": "x"},
            "outputs": {"report": output("a")},
        }

    def now(run):
        before(run)
        run |= {"sources": {"orders": "9", "people": "2"}, "connections": {"@a.b": "y"}}

    found = pair(now, before)
    assert (found.sources, found.connections) == (("orders",), ("@a.b",))
    assert found.summary == "Sources and connections differ, the output is the same"


def test_rows_and_times(pair):
    def now(run):
        run["steps"]["joined"] |= {"rows_out": 10}
        run["rows_out"] = 10

    found = pair(now, took=(9, 60))
    assert found.figures == ["rows out -1,990 (-100 %)", "duration 51 s longer"]
    told = {fact.what: fact.change for fact in found.steps}
    assert told["joined: rows"] == "-990 (-99 %)"
    assert told["orders: time"].endswith("longer")


def test_plans(pair):
    other = plan(*(step(f"s{n}", "lake.extractor") for n in range(30)), fingerprint="b" * 64)
    found = pair(plans=(shop(), other))
    assert found.summary == "Plan differs"
    assert (len(found.plan), found.plan_changes) == (MOST_CHANGES, 36)


def test_a_plan_that_is_gone(tmp_path):
    runs = [write_session(tmp_path, shop(), start=START + timedelta(hours=hour)) for hour in range(2)]
    (runs[0] / "manifest.json").unlink()
    assert compare_runs(*(load_run(folder) for folder in reversed(runs))).plan is None
