"""The runs before and after a run: sessions are in the order in which they began, whatever the clock said."""

import json

import pytest
from tests.unit.aiop.conftest import MANIFEST, STEP

from osiris.history.record import conversation_of, load_run, plan_of, run_before
from osiris.history.row_counts import base_of
from osiris.project import Project

AHEAD, BEHIND = "20300101-000000-000", "20260101-000000-000"


@pytest.fixture
def sessions(tmp_path):
    """Write a session without any work; returns its id."""

    def call(stamp, name, number, **more):
        session = f"{stamp}-{name}-{number:05}"
        folder = tmp_path / "logs" / session
        folder.mkdir(parents=True)
        at = f"{stamp[:4]}-01-01T00:00:00.000000+00:00"
        told = {"session": session, "kind": "run", "pipeline": name, "status": "complete", "started_at": at}
        told |= {"ended_at": at, "duration_ms": 1.0, "fingerprint": "f" * 64, "adapter": "local", "run_key": session}
        told |= {"engines": {}, "limits": {}, "steps": {}, "outputs": {}, "diagnostics": []}
        (folder / "run.json").write_text(json.dumps(told | more))
        return session

    call.project = Project(tmp_path)
    return call


def test_a_run_is_compared_with_the_one_before_it_though_the_clock_was_set_back(sessions):
    first = sessions(BEHIND, "p", 1)
    good = sessions(AHEAD, "p", 2)
    failed = sessions(AHEAD, "p", 3, status="failed")
    run = sessions(BEHIND, "p", 4)
    later = sessions(BEHIND, "p", 5)
    assert base_of(sessions.project, "p", run) == {"success": good, "previous": failed}
    assert base_of(sessions.project, "p", later) == {"success": run, "previous": run}
    assert base_of(sessions.project, "p", good) == {"success": first, "previous": first}
    found = run_before(sessions.project, load_run(sessions.project.logs / run))
    assert found is not None
    assert found.id == failed


def counted(rows):
    """Return the steps of a run with these row counts."""
    told = {"status": "complete", "rows_in": rows, "rows_out": rows, "rows_rejected": 0}
    return {"a": {"mode": "read", **told}, "b": {"mode": "write", **told}}


@pytest.mark.parametrize(
    ("nights", "bases"),
    [
        ([1000, 1000, 1000], [None, 0, 1]),
        ([1000, 400, 1000, 1000], [None, 0, 0, 2]),
        ([1000, 0, 0, 1000, 0], [None, 0, 0, 0, 3]),
        ([1000, 400, 400, 400, 400, 400], [None, 0, 0, 0, 3, 4]),
        ([1000, 0, 0, 0, 0], [None, 0, 0, 0, 3]),
        ([0, 0, 1000, 0, 0], [None, 0, 1, 2, 2]),
        ([3, 0, 3], [None, 0, 0]),
        ([1000, 600, 350, 100], [None, 0, 1, 2]),
    ],
)
def test_a_run_that_lost_rows_is_nothing_to_compare_with(sessions, nights, bases):
    ids = []
    for number, rows in enumerate(nights, 1):
        base = base_of(sessions.project, "p", f"{BEHIND}-p-{number:05}")
        ids.append(sessions(BEHIND, "p", number, steps=counted(rows), base=base))
        expected = bases[number - 1]
        assert base["success"] == (None if expected is None else ids[expected])
        assert base["previous"] == (ids[-2] if number > 1 else None)


def test_a_run_that_lacks_figures_is_a_success_as_any(sessions):
    first = sessions(BEHIND, "p", 1, steps=counted(1000))
    half = {"mode": "read", "status": "complete", "rows_in": 0}
    for number, steps in enumerate(({}, {"a": half}, {"b": {"mode": "write", "status": "complete"}}), 2):
        odd = sessions(BEHIND, "p", number, steps=steps, base={"success": first, "previous": first})
        assert base_of(sessions.project, "p", f"{BEHIND}-p-{number + 1:05}")["success"] == odd


def test_the_conversation_of_a_run_is_one_that_began_before_it(sessions):
    talk = {"kind": "chat", "pipeline": "chat", "file": "p.yaml", "state": "COMPLETE", "title": "t", "question": None}
    talk |= {"usage": {"requests": 0, "input_tokens": 0, "output_tokens": 0}, "runs": [], "said": None}
    sessions(BEHIND, "chat", 1, **talk)
    made = sessions(AHEAD, "chat", 2, **talk)
    run = sessions(BEHIND, "p", 3, oml="p.yaml")
    sessions(BEHIND, "chat", 4, **talk)
    found = conversation_of(sessions.project, load_run(sessions.project.logs / run))
    assert found is not None
    assert found["session"] == made


PLAN = {**MANIFEST, "steps": [{**STEP, "id": "a", "mode": "read", "component": "c", "needs": [], "inputs": {}}]}
PLAN["steps"][0]["hash"] = "f" * 64


@pytest.mark.parametrize("key", sorted(PLAN["steps"][0]))
def test_a_plan_of_another_shape_counts_as_gone(tmp_path, key):
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(PLAN))
    assert plan_of(tmp_path).data == PLAN
    for value in (1, [[]]):
        file.write_text(json.dumps({**PLAN, "steps": [{**PLAN["steps"][0], key: value}]}))
        assert plan_of(tmp_path) is None
