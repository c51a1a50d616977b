"""Targets of other pipelines that are reported when a run has not renewed their sources."""

import pytest
from tests.unit.aiop.conftest import MANIFEST, STEP, Made

from osiris.history.reading import not_renewed, stale_of, stale_text
from osiris.history.record import load_run
from osiris.model import Manifest

FIELDS = [{"name": "n", "type": "int64", "nullable": True}]


def copies(name, source, *targets, **more):
    """Return the plan of a pipeline that copies a file into others."""
    read = {**STEP, "id": "read", "component": "made.read", "mode": "read", "needs": [], "inputs": {}}
    steps = [{**read, "config": {"path": source}, "schema": FIELDS, "hash": "f" * 64}]
    for number, target in enumerate(targets):
        write = {**read, "id": f"out{number}", "mode": "write", "needs": ["read"], "inputs": {"df": "read"}}
        steps.append({**write, "config": {"path": target}, "hash": "f" * 64, "schema": None})
    return Manifest({**MANIFEST, "pipeline": {"name": name, "oml_version": "0.1.0"}, "steps": steps, **more})


@pytest.fixture
def run(tmp_path):
    """Return the run of a pipeline that reads one file and writes `output/a.csv` and `output/b.csv`."""

    def call(a, b, status="failed", **more):
        made = Made(tmp_path)
        made.step("read", "read", config={"path": "data/in.csv"}, schema=FIELDS)
        made.step("a", "write", a, reads=["read"], config={"path": "output/a.csv"})
        made.step("b", "write", b, reads=["read"], config={"path": "output/b.csv"})
        made.status, made.more = status, more
        if a == "skipped":
            made.outputs["a"] = {"rows": 1, "digest": None, "files": []}
        made.write()
        return load_run(made.folder)

    return call


OTHERS = [
    copies("of_a", "output/a.csv", "output/of_a.csv"),
    copies("of_b", "output/b.csv", "output/of_b.csv", "output/also.csv"),
    copies("far", "output/of_b.csv", "output/far.csv"),
    copies("apart", "data/other.csv", "output/apart.csv"),
]
OF_A = {("of_a", "out0", "output/of_a.csv")}
OF_B = {
    ("of_b", "out0", "output/of_b.csv"),
    ("of_b", "out1", "output/also.csv"),
    ("far", "out0", "output/far.csv"),
}


@pytest.mark.parametrize(
    ("a", "b", "status", "missed", "expected"),
    [
        ("complete", "complete", "complete", [], set()),
        ("complete", "failed", "failed", ["b"], OF_B),
        ("complete", "not_run", "complete", ["b"], OF_B),
        ("skipped", "failed", "failed", ["b"], OF_B),
        ("failed", "cancelled", "failed", ["a", "b"], OF_A | OF_B),
        ("not_run", "not_run", "lost", ["a", "b"], OF_A | OF_B),
        ("running", "not_run", "running", [], set()),
    ],
)
def test_what_is_made_from_targets_that_were_not_renewed(run, a, b, status, missed, expected):
    found = run(a, b, status)
    assert not_renewed(found) == missed
    stale = stale_of(found, OTHERS)
    assert set(stale) == expected
    assert len(stale) == len(expected)
    assert all(each.target in stale_text(stale) for each in stale)


def test_a_replay_leaves_nothing_stale(run):
    assert not_renewed(run("failed", "failed", replays={"session": "x"})) == []


def test_a_plan_that_contradicts_itself_is_passed_over(run):
    broken = copies("broken", "output/b.csv", "output/x.csv")
    broken.data["steps"][1]["inputs"] = {"df": "nowhere"}
    broken.data["steps"][0]["sql"] = {"query": "nonsense"}
    assert set(stale_of(run("complete", "failed"), [broken, *OTHERS])) == OF_B
