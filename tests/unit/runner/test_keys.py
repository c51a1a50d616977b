"""The table of docs/decisions/0004 is executed: each row is a session on disk, a command, and what becomes of it."""

import time
from pathlib import Path

import pytest

from osiris.delivery import inspect_file
from osiris.errors import OsirisError
from osiris.model import Manifest
from osiris.project import Project
from osiris.runner.keys import Wish, decide, whole_second
from osiris.session import ENDS, create_session, end_session, now_text

PAGE = Path(__file__).parents[3] / "docs/decisions/0004-order-run-key-continuing.md"
NOW = time.time()
EVENTS = {status: event for event, status in ENDS.items()}
STEPS = [
    {"id": "a", "mode": "read", "needs": [], "inputs": {}},
    {"id": "b", "mode": "transform", "needs": ["a"], "inputs": {"df": "a"}},
    {"id": "w", "mode": "write", "needs": ["b"], "inputs": {"df": "b"}},
    {"id": "x", "mode": "write", "needs": ["a"], "inputs": {"df": "a"}},
]


def rows():
    lines = PAGE.read_text().partition("| last session |")[2].splitlines()[2:]
    table = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[: lines.index("")]]
    assert len(table) >= 15
    return table


def manifest(fingerprint="same"):
    data = {"pipeline": {"name": "p"}, "fingerprint": fingerprint, "steps": STEPS, "engines": {}, "connections": {}}
    return Manifest(data)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def past_session(project, status="failed", hours=1.0, fingerprint="same", run_key=None, **more):
    session = create_session(project, "p")
    started = now_text(NOW - hours * 3600)
    summary = {
        "session": session.id,
        "kind": "run",
        "pipeline": "p",
        "fingerprint": fingerprint,
        "status": status,
        "run_key": run_key or session.id,
        "run_started_at": whole_second(NOW - hours * 3600),
        "started_at": started,
        "steps": {},
        "deliveries": {},
        "diagnostics": [],
    }
    end_session(session, EVENTS[status], summary | more)
    return session.id


def wish(command):
    _, *words = command.strip("`").split()
    if not words:
        return Wish()
    if words == ["--new-run"]:
        return Wish(new_run=True)
    return Wish(resume="last") if words == ["--resume"] else Wish(run_id=words[1])


@pytest.mark.parametrize("row", rows(), ids=lambda row: "-".join(row))
def test_row_of_the_table(project, row):
    last, started, plan, command, what, code = row
    session = None
    if last != "none":
        status, _, run_key = last.partition(", id ")
        session = past_session(project, status, float(started.split()[0]), plan, run_key or None)
    if what == "refused":
        with pytest.raises(OsirisError) as caught:
            decide(project, manifest(), wish(command), NOW)
        assert [d.code for d in caught.value.diagnostics] == [code]
        return
    start = decide(project, manifest(), wish(command), NOW)
    assert [note.code for note in start.notes] == ([] if code == "-" else [code])
    assert start.finished == (session if what == "nothing" else None)
    assert start.continues == (session if what == "continues" else None)
    if what == "new key":
        assert start.run_key is None
    if what.startswith("key "):
        assert start.run_key == what.removeprefix("key ")
    if what == "continues":
        assert start.run_key == (last.partition(", id ")[2] or session)
        assert start.run_started_at == whole_second(NOW - float(started.split()[0]) * 3600)


def test_only_the_last_of_the_same_plan_counts(project):
    past_session(project, "failed", 2)
    past_session(project, "complete", 1)
    assert decide(project, manifest(), Wish(), NOW).continues is None


def test_other_plans_in_between_do_not_count(project):
    failed = past_session(project, "failed", 2)
    past_session(project, "complete", 1, "other")
    assert decide(project, manifest(), Wish(), NOW).continues == failed


def test_other_pipelines_do_not_count(project):
    past_session(project, "failed", 1, pipeline="q")
    assert decide(project, manifest(), Wish(), NOW).continues is None


def test_limit_can_be_chosen(project):
    past_session(project, "failed", 1)
    start = decide(project, manifest(), Wish(continue_within=1800), NOW)
    assert [(n.code, "more than 0.5 h" in n.message) for n in start.notes] == [("RUN012", True)]


def delivered(project, name):
    (project.root / name).write_text(f"content of {name}")
    return {"session": "earlier", "files": [inspect_file(project.root, name).to_json()], "digest": {}, "rows": 1}


def test_delivered_steps_and_what_only_they_need_are_skipped(project):
    past_session(project, deliveries={"w": delivered(project, "w.txt")})
    start = decide(project, manifest(), Wish(), NOW)
    assert start.skip == {"w": "delivered by earlier", "b": "all that read it are delivered"}
    assert list(start.deliveries) == ["w"]


def test_everything_delivered_skips_everything(project):
    past_session(project, deliveries={name: delivered(project, name) for name in ("w", "x")})
    assert sorted(decide(project, manifest(), Wish(), NOW).skip) == ["a", "b", "w", "x"]


@pytest.mark.parametrize("harm", ["remove", "change", "grow", "folder"])
def test_delivery_that_is_not_there_any_more_is_made_again(project, harm):
    past_session(project, deliveries={"w": delivered(project, "w.txt")})
    path = project.root / "w.txt"
    content = path.read_text()
    path.unlink()
    if harm == "change":
        path.write_text(content.swapcase())
    elif harm == "grow":
        path.write_text(content + "!")
    elif harm == "folder":
        path.mkdir()
    start = decide(project, manifest(), Wish(), NOW)
    assert (start.skip, start.deliveries) == ({}, {})
    assert start.continues


def test_unknown_session_cannot_be_resumed(project):
    for name in ("nope", "../logs"):
        with pytest.raises(OsirisError) as caught:
            decide(project, manifest(), Wish(resume=name), NOW)
        assert caught.value.diagnostics[0].code == "RUN010"


def test_named_session_can_be_resumed(project):
    first = past_session(project, "failed", 9)
    past_session(project, "complete", 1)
    assert decide(project, manifest(), Wish(resume=first), NOW).continues == first


@pytest.mark.parametrize("run_id", ["", "-x", "a b", "a/b", "..", "x" * 129, "é"])
def test_bad_run_ids(project, run_id):
    with pytest.raises(OsirisError) as caught:
        decide(project, manifest(), Wish(run_id=run_id), NOW)
    assert caught.value.diagnostics[0].code == "RUN014"
