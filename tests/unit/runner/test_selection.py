"""Which steps a selection names; runs with other selections are different runs."""

import time

import pytest

from osiris.delivery import inspect_file
from osiris.errors import OsirisError
from osiris.model import Manifest
from osiris.project import Project
from osiris.runner.host.continuation import CurrentStates, RunRequest, decide, whole_second
from osiris.runner.selection import chosen, matching, with_upstream
from osiris.session.stored import now_text
from osiris.session.writing import ENDS, create_session, end_session

NOW = time.time()
NOWHERE = CurrentStates()
EVENTS = {status: event for event, status in ENDS.items()}


def step(name, *reads, needs=(), mode="transform"):
    inputs = {f"df_{source}": source for source in reads}
    return {"id": name, "mode": mode, "needs": [*reads, *needs], "inputs": inputs, "config": {}}


STEPS = [
    step("a", mode="read"),
    step("b", "a"),
    step("w", "b", mode="write"),
    step("c", needs=["w"], mode="read"),
    step("x", "c", mode="write"),
    step("alone", mode="read"),
]
PLAN = Manifest(
    {
        "pipeline": {"name": "p"},
        "fingerprint": "same",
        "steps": STEPS,
        "engines": {},
        "connections": {},
        "sensitive": [],
    }
)


@pytest.mark.parametrize(
    ("text", "named", "run"),
    [
        ("b", ["b"], ["a", "b"]),
        ("+b", ["a", "b"], ["a", "b"]),
        ("b+", ["b", "w", "c", "x"], ["a", "b", "w", "c", "x"]),
        ("+w+", ["a", "b", "w", "c", "x"], ["a", "b", "w", "c", "x"]),
        ("alone, +b", ["a", "b", "alone"], ["a", "b", "alone"]),
        ("x,alone", ["x", "alone"], None),
        ("c", ["c"], ["a", "b", "w", "c"]),
    ],
)
def test_selections(text, named, run):
    assert (matching(PLAN, text), chosen(PLAN, text)) == (named, run)


def test_without_a_selection_all_are_run():
    assert chosen(PLAN, None) is None


@pytest.mark.parametrize("text", ["", "bb+", "a,,b", "++a"])
def test_unknown_step(text):
    with pytest.raises(OsirisError) as caught:
        matching(PLAN, text)
    (found,) = caught.value.diagnostics
    assert found.code == "CMP042"
    assert found.hint


def test_what_goes_into_a_step_leaves_out_what_it_only_waits_for():
    assert [step["id"] for step in with_upstream(PLAN, ["c", "b"])] == ["a", "b", "c"]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def past_session(project, status="failed", hours=1.0, selected=None, run_key=None, deliveries=None):
    session = create_session(project, "p")
    summary = {
        "session": session.id,
        "kind": "run",
        "pipeline": "p",
        "fingerprint": "same",
        "status": status,
        "run_key": run_key or session.id,
        "run_started_at": whole_second(NOW - hours * 3600),
        "started_at": now_text(NOW - hours * 3600),
        "steps": {},
        "selected": selected,
        "deliveries": deliveries or {},
    }
    end_session(session, EVENTS[status], summary)
    session.close()
    return session.id


SOME = ["a", "b", "w"]


@pytest.mark.parametrize(("before", "now"), [(None, SOME), (SOME, None), (SOME, ["a"])])
def test_run_of_other_steps_is_not_continued(project, before, now):
    last = past_session(project, selected=before)
    assert decide(project, PLAN, RunRequest(selected=now), now=NOW, current=NOWHERE).continues is None
    assert decide(project, PLAN, RunRequest(selected=before), now=NOW, current=NOWHERE).continues == last


@pytest.mark.parametrize(("before", "now"), [(None, SOME), (SOME, None)])
def test_run_of_other_steps_completes_no_run_id(project, before, now):
    last = past_session(project, "complete", selected=before, run_key="night-1")
    assert decide(project, PLAN, RunRequest(run_id="night-1", selected=now), now=NOW, current=NOWHERE).finished is None
    assert (
        decide(project, PLAN, RunRequest(run_id="night-1", selected=before), now=NOW, current=NOWHERE).finished == last
    )


def test_run_of_other_steps_is_not_resumed(project):
    last = past_session(project, selected=SOME)
    with pytest.raises(OsirisError) as caught:
        decide(project, PLAN, RunRequest(resume=last), now=NOW, current=NOWHERE)
    assert [d.code for d in caught.value.diagnostics] == ["RUN006"]
    assert decide(project, PLAN, RunRequest(resume=last, selected=SOME), now=NOW, current=NOWHERE).continues == last


def test_steps_that_are_not_selected_are_skipped(project):
    rest = dict.fromkeys(["c", "x", "alone"], "not selected")
    assert decide(project, PLAN, RunRequest(selected=SOME), now=NOW, current=NOWHERE).skip == rest
    (project.root / "w.txt").write_text("rows")
    told = {"session": "earlier", "rows": 1, "files": [inspect_file(project.root, "w.txt").to_json()]}
    past_session(project, selected=SOME, deliveries={"w": told})
    start = decide(project, PLAN, RunRequest(selected=SOME), now=NOW, current=NOWHERE)
    assert sorted(start.skip) == ["a", "alone", "b", "c", "w", "x"]
    assert start.skip["w"] == "delivered by earlier"
