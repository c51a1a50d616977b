"""The table of docs/decisions/0004 is executed: each row is a session on disk, a command, and the expected result."""

import json
import time
from pathlib import Path

import pytest

from osiris.delivery import inspect_file
from osiris.errors import OsirisError
from osiris.model import Manifest
from osiris.project import Project
from osiris.runner.host.continuation import CurrentStates, RunRequest, decide, whole_second
from osiris.session.lost import close_lost
from osiris.session.stored import now_text
from osiris.session.writing import ENDS, create_session, end_session

PAGE = Path(__file__).parents[4] / "docs/decisions/0004-order-run-key-continuing.md"
EVENTS = {status: event for event, status in ENDS.items()}


def planned(name, mode, reads=(), **config):
    inputs = dict.fromkeys(("df",), *reads) if reads else {}
    made_by = {"component": "c", "version": "1", "spec": "s"}
    return {"id": name, **made_by, "mode": mode, "needs": [*reads], "inputs": inputs, "config": config}


STEPS = [
    planned("a", "read", path="a.csv"),
    planned("b", "transform", ["a"]),
    planned("w", "write", ["b"], write_mode="append"),
    planned("x", "write", ["a"], path="x.txt"),
]


MAIN = "@lake.main"
BEFORE = {MAIN: "digest of its fields"}
MOVED = {MAIN: "digest of other fields"}
STATES = {"a": "as it was"}
CHANGED = {"a": "another"}
CLOSED = {
    "continued and complete since": lambda session: {"continues": session},
    "completed by another plan": lambda _: {"fingerprint": "other"},
}


def rows():
    lines = PAGE.read_text().partition("| last session |")[2].splitlines()[2:]
    table = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[: lines.index("")]]
    assert len(table) >= 38
    return table


def manifest(fingerprint="same"):
    data = {
        "pipeline": {"name": "p"},
        "fingerprint": fingerprint,
        "steps": STEPS,
        "osiris": "2" if fingerprint == "same" else "1",
        "engines": {},
        "connections": {MAIN: {}},
        "sensitive": [],
    }
    return Manifest(data)


@pytest.fixture(autouse=True)
def _now():
    """Set the time at which a test begins: the module is imported long before its tests run."""
    global NOW
    NOW = time.time()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def choose(project, wish, connections=BEFORE, plan="same", sources=STATES):
    return decide(project, manifest(plan), wish, CurrentStates(lambda: connections, lambda: sources), NOW)


def refusal(project, wish, **options):
    with pytest.raises(OsirisError) as caught:
        choose(project, wish, **options)
    (found,) = caught.value.diagnostics
    return found


def past_session(project, status="failed", hours=1.0, fingerprint="same", run_key=None, *, told=True, **more):
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
        "connections": BEFORE,
        "sources": STATES,
        "diagnostics": [],
    }
    end_session(session, EVENTS[status], summary | more)
    session.close()
    if told:
        session.acknowledge()
    return session.id


def under_an_earlier_clock(project, session):
    """Rename a session as if its clock had been earlier than that of all others."""
    name = f"2000{session[4:]}"
    path = (project.logs / session).rename(project.logs / name) / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"session": name}))
    return name


def wish(command):
    _, *words = command.strip("`").split()
    if not words:
        return RunRequest()
    if words == ["--new-run"]:
        return RunRequest(new_run=True)
    return RunRequest(resume="last") if words == ["--resume"] else RunRequest(run_id=words[1])


def hours_ago(started):
    return -float(started.split()[1]) if started.startswith("in ") else float(started.split()[0])


def lay_out(project, last, started, plan):
    """Write the sessions of a row; returns the name of the last one and its run key."""
    status, *more = last.split(", ")
    run_key = next((each.removeprefix("id ") for each in more if each.startswith("id ")), None)
    deliveries = {"x": delivered(project, "x.txt")} if "x delivered" in more else {}
    deliveries |= {"w": {"rows": 3, "files": [], "session": "earlier"}} if "w added rows" in more else {}
    assert set(more) <= {*CLOSED, f"id {run_key}", "x delivered", "w added rows", "unreported"}
    known = {"told": "unreported" not in more, "deliveries": deliveries}
    made = plan.partition(",")[0]
    session = past_session(project, status, hours_ago(started), made, run_key, **known)
    if made == "other version":
        (project.logs / session / "manifest.json").write_text(json.dumps(manifest(made).data))
    for each in CLOSED.keys() & set(more):
        under_an_earlier_clock(project, past_session(project, "complete", run_key=session, **CLOSED[each](session)))
    return session, run_key or session


@pytest.mark.parametrize("row", rows(), ids=lambda row: "-".join(row))
def test_row_of_the_table(project, row):
    last, started, plan, command, what, code = row
    session, run_key = (None, None) if last == "none" else lay_out(project, last, started, plan)
    here = {
        "connections": MOVED if plan.endswith(", connection moved") else BEFORE,
        "sources": CHANGED if plan.endswith(", source changed") else STATES,
    }
    if what == "refused":
        assert refusal(project, wish(command), **here).code == code
        return
    start = choose(project, wish(command), **here)
    assert [note.code for note in start.notes] == ([] if code == "-" else code.split())
    assert start.finished == (session if what == "nothing" else None)
    assert start.continues == (session if what == "continues" else None)
    if what == "new key":
        assert start.run_key is None
    if what.startswith("key "):
        assert start.run_key == what.removeprefix("key ")
    if what == "continues":
        assert start.run_key == run_key
        assert start.run_started_at == whole_second(NOW - hours_ago(started) * 3600)


def of_other_version(project, session, **more):
    plan = manifest("other version").data | more
    (project.logs / session / "manifest.json").write_text(json.dumps(plan))
    return session


def test_a_run_of_another_version_is_found_behind_those_of_other_plans(project):
    of_other_version(project, past_session(project, "failed", 3, "before"))
    other = [{**STEPS[0], "config": {"path": "other.csv"}}, *STEPS[1:]]
    of_other_version(project, past_session(project, "complete", 2, "another"), steps=other)
    past_session(project, "complete", 1, "a third")
    assert refusal(project, RunRequest()).code == "RUN035"


def test_a_run_of_another_version_and_of_another_file_stops_nothing(project):
    other = [{**STEPS[0], "config": {"path": "other.csv"}}, *STEPS[1:]]
    of_other_version(project, past_session(project, "failed", 1, "before"), steps=other)
    assert choose(project, RunRequest()).continues is None


def test_a_run_of_another_version_is_over_when_this_one_has_run(project):
    of_other_version(project, past_session(project, "failed", 3, "before"))
    past_session(project, "complete", 2)
    assert choose(project, RunRequest()).continues is None


@pytest.mark.parametrize("damaged", ["{}", "[]", '{"steps": [{}]}', '{"steps": 1, "pipeline": []}', "{"])
def test_a_damaged_plan_of_an_earlier_run_stops_nothing(project, damaged):
    (project.logs / past_session(project, "failed", 1, "before") / "manifest.json").write_text(damaged)
    assert choose(project, RunRequest()).continues is None


def test_an_id_that_this_plan_has_finished_is_finished(project):
    of_other_version(project, past_session(project, "failed", 3, "before", "night-1"))
    assert refusal(project, RunRequest(run_id="night-1")).hint == "use another id"
    past_session(project, "complete", 2, run_key="night-1")
    assert choose(project, RunRequest(run_id="night-1")).finished


def test_only_the_last_of_the_same_plan_counts(project):
    past_session(project, "failed", 2)
    past_session(project, "complete", 1)
    assert choose(project, RunRequest()).continues is None


def test_other_plans_in_between_do_not_count(project):
    failed = past_session(project, "failed", 2)
    past_session(project, "complete", 1, "other")
    assert choose(project, RunRequest()).continues == failed


def test_other_pipelines_do_not_count(project):
    past_session(project, "failed", 1, pipeline="q")
    assert choose(project, RunRequest()).continues is None


def test_of_a_chain_only_its_end_is_continued_whatever_the_clock_said(project):
    first = past_session(project, "failed", 2)
    second = past_session(project, "failed", 1, run_key=first, continues=first)
    second = under_an_earlier_clock(project, second)
    for asked in (
        RunRequest(),
        RunRequest(resume="last"),
        RunRequest(resume=first),
        RunRequest(resume=second),
        RunRequest(run_id=first),
    ):
        start = choose(project, asked)
        assert (start.continues, start.run_key) == (second, first)


def test_a_run_that_was_continued_to_its_end_is_not_resumed_by_name(project):
    first = past_session(project, "failed", 2)
    second = past_session(project, "complete", 1, run_key=first, continues=first)
    assert refusal(project, RunRequest(resume=first)).message == f"run {first} was completed by run {second}"


def test_the_second_plan_of_a_run_id_does_not_hide_that_the_first_has_finished_it(project):
    past_session(project, "complete", 3, run_key="night-1")
    past_session(project, "complete", 2, "other", run_key="night-1")
    for plan in ("same", "other"):
        assert [n.code for n in choose(project, RunRequest(run_id="night-1"), plan=plan).notes] == ["RUN009"]
    found = refusal(project, RunRequest(run_id="night-1"), plan="third")
    assert (found.code, found.hint) == (
        "RUN016",
        "use another run id, or the plan and the connections as they were then",
    )


@pytest.mark.parametrize("connections", [MOVED, {}, BEFORE | {"@lake.other": "new"}])
def test_connection_that_moved_is_named(project, connections):
    session = past_session(project)
    name = next(iter(connections.items() ^ BEFORE.items()))[0]
    (note,) = choose(project, RunRequest(), connections).notes
    assert note.message == (
        f"this is a new run: run {session}, which ended as failed, is not resumed, "
        f"because the fields of connection {name} have changed"
    )
    for asked in (RunRequest(resume=session), RunRequest(run_id=session)):
        found = refusal(project, asked, connections=connections)
        assert (found.code, found.message) == ("RUN006", f"connection {name} had other fields in run {session}")


def test_nothing_is_asked_for_what_is_finished_or_new(project):
    past_session(project, "complete", run_key="night-1")
    here = CurrentStates(lambda: pytest.fail("resolved"), lambda: pytest.fail("asked"))
    files_only = Manifest(manifest().data | {"connections": {}})
    for asked, plan in ((RunRequest(run_id="night-1"), files_only), (RunRequest(new_run=True), manifest())):
        decide(project, plan, asked, here, NOW)


def test_a_finished_id_is_of_the_connections_that_it_ran_with(project):
    session = past_session(project, "complete", run_key="night-1")
    found = refusal(project, RunRequest(run_id="night-1"), connections=MOVED)
    told = f"run id 'night-1' was used with other fields of connection {MAIN} ({session})"
    assert (found.code, found.message) == ("RUN016", told)


def test_source_that_changed_after_something_was_made_of_it_is_named(project):
    session = past_session(project, run_key="night-1", deliveries={"x": delivered(project, "x.txt")})
    (note,) = choose(project, RunRequest(), sources=CHANGED).notes
    assert (note.code, note.message) == (
        "RUN012",
        (
            f"this is a new run: run {session}, which ended as failed, is not resumed, "
            "because the source of step 'a' has changed since"
        ),
    )
    found = refusal(project, RunRequest(resume=session), sources=CHANGED)
    problem = f"the source of step 'a' changed since run {session}, which already delivered part of it"
    assert (found.code, found.message) == ("RUN006", problem)
    _, warned = choose(project, RunRequest(run_id="night-1"), sources=CHANGED).notes
    said = f"the source of step 'a' changed after run {session} started; "
    said += "step 'x' wrote rows that were read before the change"
    assert (warned.code, warned.severity, warned.message) == ("RUN020", "warning", said)


def test_source_without_a_state_then_or_now_is_no_reason_to_start_anew(project):
    session = past_session(project)
    assert choose(project, RunRequest(), sources={}).continues == session
    session = past_session(project, sources={})
    assert choose(project, RunRequest(), sources=CHANGED).continues == session


def test_source_that_is_not_read_again_may_change(project):
    delivered_all = {name: delivered(project, name) for name in ("w", "x")}
    session = past_session(project, deliveries=delivered_all)
    start = choose(project, RunRequest(), sources=CHANGED)
    assert (start.continues, start.sources) == (session, STATES)


def test_limit_can_be_chosen(project):
    past_session(project, "failed", 1)
    start = choose(project, RunRequest(continue_within=1800))
    assert [(n.code, "more than 30 min ago" in n.message) for n in start.notes] == [("RUN012", True)]


def delivered(project, name):
    (project.root / name).write_text(f"content of {name}")
    return {"session": "earlier", "files": [inspect_file(project.root, name).to_json()], "digest": {}, "rows": 1}


def test_delivered_steps_and_what_only_they_need_are_skipped(project):
    past_session(project, deliveries={"w": delivered(project, "w.txt")})
    start = choose(project, RunRequest())
    assert start.skip == {"w": "delivered by earlier", "b": "all that read it are delivered"}
    assert list(start.deliveries) == ["w"]


def test_everything_delivered_skips_everything(project):
    past_session(project, deliveries={name: delivered(project, name) for name in ("w", "x")})
    assert sorted(choose(project, RunRequest()).skip) == ["a", "b", "w", "x"]


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
    start = choose(project, RunRequest())
    assert (start.skip, start.deliveries) == ({}, {})
    assert start.continues


def test_unknown_session_cannot_be_resumed(project):
    for name in ("nope", "../logs"):
        assert refusal(project, RunRequest(resume=name)).code == "RUN010"


def test_named_session_can_be_resumed(project):
    first = past_session(project, "failed", 9)
    past_session(project, "complete", 1)
    assert choose(project, RunRequest(resume=first)).continues == first


@pytest.mark.parametrize("run_id", ["", "-x", "a b", "a/b", "..", "x" * 129, "é"])
def test_bad_run_ids(project, run_id):
    assert refusal(project, RunRequest(run_id=run_id)).code == "RUN014"


def test_outputs_that_depend_on_a_sensitive_parameter_are_not_kept(project):
    steps = [
        {**step, "config": {"query": "SELECT $param_code"} if step["id"] == "b" else {}, "needs": step["needs"]}
        for step in STEPS
    ]
    steps += [{"id": "y", "mode": "write", "needs": ["b"], "inputs": {"df": "b"}, "config": {}}]
    data = {**manifest().data, "steps": steps, "sensitive": ["code"]}
    session = past_session(project)
    folder = project.spools / session
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"{name}.arrow").write_text(name)
    spools = {
        name: {"session": session, "rows": 1, "file": inspect_file(folder, f"{name}.arrow").to_json()} for name in "ab"
    }
    summary = project.logs / session / "run.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"spools": spools}))
    for sensitive, kept in ((["code"], ["a"]), ([], ["a", "b"])):
        plan = Manifest({**data, "sensitive": sensitive})
        start = decide(project, plan, RunRequest(), CurrentStates(lambda: BEFORE, lambda: STATES), NOW)
        assert sorted(start.kept) == kept


def test_a_run_under_a_clock_that_was_ahead_keeps_no_later_one_from_being_continued(project):
    past_session(project, "complete", -24 * 365)
    failed = past_session(project, "failed", 1)
    assert choose(project, RunRequest()).continues == failed


@pytest.mark.parametrize("minutes", [0.1, 1, 10])
def test_a_clock_that_was_set_back_by_minutes_changes_nothing(project, minutes):
    failed = past_session(project, "failed", -minutes / 60)
    assert choose(project, RunRequest()).continues == failed


HARM = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "garbage": lambda path: path.write_bytes(b"\xff{"),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "gone": lambda path: path.unlink(),
    "a list": lambda path: path.write_text("[]"),
    "of another session": lambda path: path.write_text('{"session": "other"}'),
}


def begun(project, status, **more):
    """Return a session as a run leaves it: its events tell which run it was."""
    session = create_session(project, "p")
    told = {"pipeline": "p", "run_key": "the-key", "run_started_at": whole_second(NOW), "fingerprint": "same"}
    session.event("run_start", **told, **more)
    past = {"session": session.id, "kind": "run", "status": status, "started_at": now_text(NOW), "steps": {}, **told}
    end_session(session, EVENTS[status], past)
    session.close()
    return session


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_session_is_told_and_its_run_goes_on_under_its_key(project, harm):
    """Each target is asked what was delivered, so nothing is delivered twice."""
    session = begun(project, "failed")
    HARM[harm](session.folder / "run.json")
    start = choose(project, RunRequest())
    assert [note.code for note in start.notes] == ["RUN031", "RUN011"]
    assert (start.continues, start.run_key, start.run_started_at) == (session.id, "the-key", whole_second(NOW))
    assert (start.skip, start.deliveries) == ({}, {})
    assert choose(project, RunRequest(resume=session.id)).run_key == "the-key"
    assert choose(project, RunRequest(run_id="the-key")).continues == session.id


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_session_of_a_run_that_nobody_was_told_of_is_told_and_not_run_again(project, harm):
    session = begun(project, "complete")
    HARM[harm](session.folder / "run.json")
    close_lost(project)
    start = choose(project, RunRequest())
    assert (start.finished, [note.code for note in start.notes]) == (session.id, ["RUN031", "RUN032"])
    session.acknowledge()
    start = choose(project, RunRequest())
    assert (start.continues, start.finished, [note.code for note in start.notes]) == (None, None, ["RUN031"])


def test_of_a_session_that_tells_nothing_the_name_is_the_key(project):
    session = begun(project, "failed")
    for name in ("run.json", "events.jsonl"):
        (session.folder / name).write_bytes(b"garbage\n")
    start = choose(project, RunRequest())
    assert (start.continues, start.run_key) == (session.id, session.id)
    assert [note.code for note in start.notes] == ["RUN031", "RUN011"]
