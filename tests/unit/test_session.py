import json
import re
import subprocess
import sys

import pytest

from osiris.errors import OsirisError
from osiris.project import Project
from osiris.session.finding import is_session_id, iter_sessions, open_session
from osiris.session.lost import close_lost
from osiris.session.stored import read_lines
from osiris.session.writing import create_session, end_session


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def summary(session, **more):
    steps = {"a": {"mode": "read", "status": "running"}}
    base = {
        "session": session.id,
        "kind": "run",
        "pipeline": "p",
        "status": "running",
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    return {**base, "steps": steps, "diagnostics": [], **more}


def test_ids_sort_by_time_and_name_the_pipeline(project):
    sessions = [create_session(project, "Möbel / orders") for _ in range(20)]
    ids = [session.id for session in sessions]
    assert [i[:19] for i in ids] == sorted(i[:19] for i in ids)
    assert len(set(ids)) == 20
    assert all(re.fullmatch(r"\d{8}-\d{6}-\d{3}-M_bel___orders-\d{5}", i) for i in ids)
    assert [int(i[-5:]) for i in ids] == list(range(1, 21))
    assert all(is_session_id(i) for i in ids)
    assert is_session_id("20251231-000000-000-p-ffff")
    assert not is_session_id("nightly-00001")
    for session in sessions:
        session.close()


def test_sessions_are_in_the_order_in_which_they_began_whatever_the_clock_said(project):
    """Those of earlier versions have no number, and are older."""
    names = [
        "20251231-000000-000-p-ffff",
        "20260101-000000-000-p-0000",
        "20300101-000000-000-p-00001",
        "20260102-000000-000-p-00002",
        "20260101-000000-000-p-00003",
    ]
    for name in sorted(names):
        (project.logs / name).mkdir(parents=True)
        begun = {"session": name, "kind": "run", "pipeline": "p", "status": "complete", "steps": {}}
        (project.logs / name / "run.json").write_text(json.dumps({**begun, "started_at": "2026-01-01T00:00:00Z"}))
    assert [each["session"] for each in list(iter_sessions(project))] == names[::-1]
    with create_session(project, "p") as session:
        assert session.id.endswith("-p-00004")


def test_lines_are_whole_and_numbered(project):
    with create_session(project, "p") as session:
        session.event("run_start", text="ü\n\u2028\ud800")
        session.event("run_complete")
        session.metric("rows_read", 3, "rows", step="a")
    first, second = read_lines(session.folder / "events.jsonl")
    assert (first["seq"], first["session"], first["event"]) == (1, session.id, "run_start")
    assert first["ts"].endswith("+00:00")
    assert second["seq"] == 2
    metric = json.loads((session.folder / "metrics.jsonl").read_text())
    assert {k: metric[k] for k in ("metric", "value", "unit", "tags")} == {
        "metric": "rows_read",
        "value": 3,
        "unit": "rows",
        "tags": {"step": "a"},
    }


def test_torn_lines_are_left_out(project):
    """Intact lines are parsed together; incomplete ones are found one by one."""
    whole = [{"event": "a", "seq": 1}, {"event": "b", "seq": 2}, {"metric": "c", "value": 1}]
    one, two, three = (json.dumps(line).encode() for line in whole)
    path = project.root / "events.jsonl"
    for torn, left in (
        (b"", []),
        (one, []),
        (one + b"\n", whole[:1]),
        (b"\n".join([one, two, three, b""]), whole),
        (b"\n".join([one, two[:-3], three, b""]), [whole[0], whole[2]]),
        (b"\n".join([one, b'{"event": "x"', b'"y": 1}', three, b""]), [whole[0], whole[2]]),
        (b"\n".join([one, b"", b"7", b"\xff", two, b'{"event": "t']), whole[:2]),
    ):
        path.write_bytes(torn)
        assert read_lines(path) == left


def test_sessions_are_found_newest_first(project):
    ids = []
    for _ in range(3):
        session = create_session(project, "p")
        end_session(session, "run_complete", summary(session, status="complete"))
        ids.append(session.id)
    (project.logs / "stray").mkdir()
    (project.logs / "stray" / "run.json").write_text("{}")
    assert [s["session"] for s in list(iter_sessions(project))] == sorted(ids, reverse=True)
    assert open_session(project)["session"] == max(ids)
    assert open_session(project, ids[0])["status"] == "complete"


@pytest.mark.parametrize("name", ["nope", "", "..", "../logs", "a/b"])
def test_unknown_session(project, name):
    with pytest.raises(OsirisError) as caught:
        open_session(project, name)
    assert caught.value.diagnostics[0].code == "RUN010"


def test_no_session_at_all(project):
    assert list(iter_sessions(project)) == []
    assert close_lost(project) == []
    with pytest.raises(OsirisError):
        open_session(project)


def test_living_session_is_left_alone(project):
    with create_session(project, "p") as session:
        session.summary(summary(session))
        assert close_lost(project) == []
        assert open_session(project)["status"] == "running"


DIES = """
import json, os, signal, sys
from pathlib import Path
from osiris.project import Project
from osiris.session.writing import create_session

session = create_session(Project(Path(sys.argv[1])), "p")
session.event("run_start")
session.summary({"session": session.id, **json.loads(sys.argv[2])})
session.event("step_start", step="a")
with (session.folder / "events.jsonl").open("a") as file:
    file.write(sys.argv[3])
(session.folder / ".run.json.osiris-00000000.tmp").write_text("half")
os.kill(os.getpid(), signal.SIGKILL)
"""
"""Begins a session and is killed; what the kernel has is all that is left."""


@pytest.mark.parametrize("torn", ["", '{"ts": "20', '{"event": "x"}', "garbage\n"])
def test_lost_session_gets_its_end(project, torn):
    begun = {"pipeline": "p", "status": "running", "started_at": "2026-01-01T00:00:00+00:00", "diagnostics": []}
    begun["steps"] = {"a": {"mode": "read", "status": "running"}}
    died = subprocess.run([sys.executable, "-c", DIES, project.root, json.dumps(begun), torn])
    assert died.returncode == -9
    (lost,) = close_lost(project)
    assert (lost["status"], lost["steps"]["a"]["status"]) == ("lost", "failed")
    assert [d["code"] for d in lost["diagnostics"]] == ["RUN008"]
    folder = project.logs / lost["session"]
    events = read_lines(folder / "events.jsonl")
    assert [(e["seq"], e["event"]) for e in events] == [
        (1, "run_start"),
        (2, "step_start"),
        (3, "step_failed"),
        (4, "run_lost"),
    ]
    assert open_session(project)["status"] == "lost"
    assert close_lost(project) == []
    assert sorted(path.name for path in folder.iterdir()) == ["events.jsonl", "metrics.jsonl", "run.json"]


def test_session_that_ended_but_could_not_say_so(project):
    session = create_session(project, "p")
    session.summary(summary(session))
    session.event("run_complete", duration_ms=5.0)
    session.close()
    (found,) = close_lost(project)
    assert (found["status"], found["duration_ms"], found["diagnostics"]) == ("complete", 5.0, [])
    assert [e["event"] for e in read_lines(session.folder / "events.jsonl")] == ["run_complete"]


def test_lost_session_knows_what_its_events_tell(project):
    session = create_session(project, "p")
    modes = {"a": "read", "b": "read", "w": "write", "x": "write"}
    steps = {name: {"mode": mode, "status": "not_run"} for name, mode in modes.items()}
    session.summary(summary(session) | {"steps": steps})
    for name in ("a", "b", "w"):
        session.event("step_start", step=name)
    figures = {"rows_in": 3, "rows_out": 3, "rows_rejected": 0, "duration_ms": 1.0, "attempts": 1}
    session.event("step_complete", step="a", **figures)
    session.event("step_failed", step="b", code="DAT001", message="no number", duration_ms=1.0)
    session.event("step_cancelled", step="w", duration_ms=1.0, because="b")
    session.close()
    (found,) = close_lost(project)
    states = {name: step["status"] for name, step in found["steps"].items()}
    assert states == {"a": "complete", "b": "failed", "w": "cancelled", "x": "not_run"}
    assert found["steps"]["a"] == {"mode": "read", "status": "complete", **figures}
    assert (found["rows_in"], found["rows_out"]) == (3, 0)
    assert [item["code"] for item in found["diagnostics"]] == ["DAT001", "RUN008"]
