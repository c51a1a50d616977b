"""Packages of synthetic sessions, for cases that are hard to cause in real runs."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.packages import check_package

from osiris.aiop.package import build_package
from osiris.aiop.sections import Options
from osiris.errors import Diagnostic, diagnostic
from osiris.history.reading import Reading
from osiris.history.record import load_run


def test_a_worker_that_went_at_a_writer_leaves_it_unknown(made):
    made.status = "failed"
    made.step("a", "read", "failed")
    made.step("once", "write", "failed", reads=["a"], delivery="exactly_once")
    made.step("often", "write", "failed", reads=["a"], delivery="at_least_once")
    made.step("never", "write", "not_run", reads=["a"], delivery="at_least_once")
    died = diagnostic("RUN001", status="SIGKILL", during="step 'a'")
    made.diagnostics.append(died.to_json())
    for name in ("a", "once", "often"):
        made.event("step_failed", step=name, code=died.code, message=died.message)
    made.event("run_failed", code=died.code, message=died.message)
    answer = check_package(made.root, made.package().content)["answer"]
    states = {each["step"]: (each["state"], each["partial"], each["rows"]) for each in answer["written"]["writers"]}
    assert states == {
        "once": ("unknown", False, None),
        "often": ("unknown", None, None),
        "never": ("nothing", False, 0),
    }
    assert answer["written"]["any_partial"] is None
    assert (answer["retry"]["safe"], answer["retry"]["useful"]) == (None, True)
    assert answer["failure"]["steps"] == ["a", "once", "often"]
    assert answer["chain"]["links"][-1] == {"step": "never", "state": "not_run", "because": "a"}


def test_a_server_that_falls_silent_may_have_committed(made):
    made.status = "failed"
    made.step("once", "write", "failed", delivery="exactly_once", config={"write_mode": "append"})
    made.step("file", "write", "failed", delivery="atomic_replace")
    lost = diagnostic("CON014", where="shop", reason="gone")
    made.problem(lost, "once")
    made.event("step_failed", step="file", code=lost.code, message=lost.message)
    answer = check_package(made.root, made.package().content)["answer"]
    states = {each["step"]: (each["state"], each["partial"], each["rows"]) for each in answer["written"]["writers"]}
    assert states == {"once": ("unknown", False, None), "file": ("unknown", False, None)}
    assert "whether once delivered is checked in its target" in answer["retry"]["why"]
    assert "the output of file replaces the earlier one as a whole" in answer["retry"]["why"]


def test_appended_rows_are_not_put_at_risk_by_the_next_command(made):
    made.status = "failed"
    made.step("w", "write", delivery="exactly_once", rows=(3, 3), config={"write_mode": "append"})
    made.step("r", "read", "failed")
    made.outputs = {"w": {"rows": 3, "files": [], "digest": None}}
    made.more = {"oml": "pipelines/made.yaml"}
    made.problem(diagnostic("DAT001", column="n", value="'x'", type="int64"), "r")
    answer = check_package(made.root, made.package().content)["answer"]
    assert (answer["retry"]["safe"], answer["retry"]["useful"]) == (True, False)
    assert answer["retry"]["command"] == f"osiris run --resume {made.name}"
    assert answer["retry"]["why"].startswith("The output of w is on record as delivered and will be skipped.")


def test_a_command_that_is_too_long_to_be_typed_is_left_out(made):
    made.status = "failed"
    made.step("r", "read", "failed")
    made.more = {"oml": "pipelines/made.yaml", "selected": [f"a_rather_long_name_{n}" for n in range(300)]}
    made.problem(diagnostic("DAT001", column="n", value="'x'", type="int64"), "r")
    answer = check_package(made.root, made.package().content)["answer"]
    assert answer["retry"]["command"] is None
    assert not [each for each in answer["next"] if "run" in each["command"].split()]


def test_a_writer_that_was_skipped_is_kept(made):
    made.step("w", "write", "skipped", delivery="exactly_once")
    made.outputs = {"w": {"rows": 7, "files": [], "digest": None}}
    answer = check_package(made.root, made.package().content)["answer"]
    (writer,) = answer["written"]["writers"]
    assert (writer["state"], writer["rows"], writer["recorded"]) == ("kept", 7, True)


def test_a_full_disk_may_pass(made):
    made.status = "failed"
    made.step("w", "write", "failed", delivery="atomic_replace")
    made.problem(diagnostic("DRV004", path="output/x.csv", bytes=10), "w")
    answer = check_package(made.root, made.package().content)["answer"]
    assert (answer["verdict"]["kind"], answer["failure"]["class"]) == ("disk_full", "resource")
    assert (answer["retry"]["safe"], answer["retry"]["useful"]) == (True, True)
    assert "space or memory" in answer["retry"]["why"]
    assert answer["failure"]["subject"]["path"] == "output/x.csv"


def test_the_first_step_that_failed_is_the_root(made):
    made.status = "failed"
    made.step("a", "read", "failed")
    made.step("b", "read", "failed")
    made.problem(diagnostic("DAT001", column="n", value="'x'", type="int64"), "b", rows=5)
    made.problem(diagnostic("DAT004", file="a.csv", problem="empty"), "a")
    answer = check_package(made.root, made.package().content)["answer"]
    assert (answer["failure"]["step"], answer["failure"]["code"], answer["failure"]["rows"]) == ("b", "DAT001", 5)
    assert answer["failure"]["errors"] == 2
    assert answer["failure"]["at"] == made.events[0]["ts"]


def test_errors_that_are_alike_are_one_with_a_count(made):
    made.status = "failed"
    made.step("a", "read", "failed")
    for number in range(4_000):
        made.problem(diagnostic("DAT011", step="a", problem=f"column 'c{number}' is gone"))
    made.event("step_failed", step="a", code="DAT011", message=made.diagnostics[0]["message"], duration_ms=1.0)
    document = check_package(made.root, made.package().content)
    assert [(each["id"], each["count"]) for each in document["evidence"]["errors"]] == [("err.1", 4_000)]
    assert document["answer"]["failure"]["errors"] == 4_000


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([("a", "read", (0, 0))], "nothing_read"),
        ([("a", "read", (5, 0, 5))], "all_rejected"),
        ([("a", "read", (5, 5)), ("t", "transform", (5, 0))], "all_filtered"),
        ([("a", "read", (5, 5)), ("t", "transform", (5, 9))], "fan_out"),
        ([("a", "read", (5, 4, 1))], "rows_rejected"),
        ([("a", "read", (5, 5)), ("w", "write", (0, 0))], "nothing_written"),
        ([("a", "read", (5, 5)), ("w", "write", (5, 5))], "ok"),
    ],
)
def test_what_a_ledger_shows(made, steps, kind):
    for name, mode, rows in steps:
        made.step(name, mode, rows=rows)
    answer = check_package(made.root, made.package().content)["answer"]
    assert answer["verdict"]["kind"] == kind
    for _, _, _, taken, given_, rejected, filtered, combined, added in answer["rows"]["steps"]["rows"]:
        assert taken + added == given_ + rejected + filtered + combined


def test_a_session_with_little_in_it_is_told_as_it_is(made):
    made.status = "lost"
    made.step("a", "read", "not_run")
    made.write()
    for name in ("manifest.json", "events.jsonl", "metrics.jsonl"):
        (made.folder / name).unlink()
    from osiris.aiop.package import build_package
    from osiris.aiop.sections import Options
    from osiris.history.record import load_run

    facts = Reading(load_run(made.folder), None, "gone", None, str)
    document = check_package(made.root, build_package(facts, Options(), lambda _name: None).content)
    assert document["answer"]["verdict"]["status"] == "lost"
    assert document["delta"]["base"]["available"] is False


def test_secrets_in_texts_are_masked(made):
    made.status = "failed"
    made.step("a", "read", "failed")
    made.problem(diagnostic("DAT001", column="n", value="'hunter2hunter2'", type="int64"), "a", rows=1)
    folder = made.folder / "artifacts" / "a"
    folder.mkdir(parents=True)
    (folder / "rejected.csv").write_text("file,line,column,value,reason\nx.csv,2,n,hunter2hunter2,not int64\n")
    package = made.package(lambda text: text.replace("hunter2hunter2", "***"))
    check_package(made.root, package.content)
    assert b"hunter2" not in package.content
    assert "hunter2" not in package.card


HOSTILE = (
    "<script>alert(1)</script> [x](javascript:alert(1)) |`\u202e\x1b[2J\x07 ``` https://evil.example \u2028 # \ud800"
)


def test_the_card_shows_rows_set_aside_once_and_without_holes(made):
    made.step("in put", "read", rows=(9, 2, 7))
    folder = made.folder / "artifacts" / "in put"
    folder.mkdir(parents=True)
    fields = "".join(f"x.csv,{n},,a,{n} fields where the header has 2,\n" for n in (3, 4, 5))
    values = "x.csv,6,n,abc,not int64,\nx.csv,7,n,de-f,not int64,\nx.csv,8,n,1.5,not int64,\n"
    rest = "x.csv,9,v,x,not date,\n"
    (folder / "rejected.csv").write_text(f"file,line,column,value,reason,row\n{fields}{values}{rest}")
    package = made.package()
    card = package.card
    part = card[card.index("## 7 rows rejected") : card.index("## Findings")]
    assert [line for line in part.splitlines() if line.startswith("| in put")] == [
        "| in put |  | 3 fields where the header has 2 | 3 |  |",
        "| in put | n | not int64 | 3 | 9.9 |",
        "| in put | v | not date | 1 | a |",
    ]
    assert "[rejected.csv of in put](../artifacts/in%20put/rejected.csv)" in part
    top = package.document["answer"]["row_errors"]["top"]
    assert "3 fields where the header has 2" in [each["example"] for each in top]


def test_hostile_texts_stay_texts(made):
    made.status = "failed"
    made.step("a", "read", "failed", config={"path": HOSTILE})
    made.step("w", "write", "not_run", reads=["a"], config={"path": HOSTILE}, delivery="atomic_replace")
    made.problem(diagnostic("DAT001", column=HOSTILE, value=HOSTILE, type="int64"), "a")
    package = made.package()
    check_package(made.root, package.content)
    card = package.card
    assert not any(char in card for char in "\u202e\x1b\x07\u2028")
    assert "<script" not in card.replace("\\<script", "")
    assert "](javascript" not in card.replace("\\](javascript", "").replace("]\\(javascript", "")
    assert "https://" not in card
    for line in card.splitlines():
        if line.startswith("| w | nothing |"):
            assert line.replace("\\|", "").count("|") == 7


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(2_000, 60_000),
    count=st.integers(1, 60),
    width=st.integers(1, 60),
    failed=st.booleans(),
    text=st.text(max_size=600),
)
def test_the_answer_is_never_cut_and_all_ids_resolve(made, limit, count, width, failed, text):
    made.steps.clear()
    made.plan.clear()
    made.events.clear()
    made.diagnostics.clear()
    names = [f"{'s' * width}{number}" for number in range(count)]
    for number, name in enumerate(names):
        mode = "read" if number == 0 else "write" if number % 3 == 0 else "transform"
        done = not failed or number < count // 2
        rows = (10, 10 - number % 4) if done and mode != "write" else (10, 10) if done else None
        made.step(name, mode, "complete" if done else "not_run", rows, reads=names[number - 1 : number])
    made.status = "failed" if failed else "complete"
    if failed:
        made.steps[names[count // 2]]["status"] = "failed"
        made.problem(diagnostic("DAT011", step=names[count // 2], problem=text), names[count // 2])
    first, again = made.package(max_bytes=limit), made.package(max_bytes=limit)
    assert first.content == again.content
    document = check_package(made.root, first.content)
    whole = check_package(made.root, made.package().content)
    assert document["answer"] == whole["answer"]
    assert {item.code for item in first.diagnostics} <= {"AIO002", "AIO004"}
    size = document["metadata"]["size"]
    assert size["truncated"] == ("AIO002" in {item.code for item in first.diagnostics})
    assert json.loads(first.content)["metadata"]["size"]["bytes"] == len(first.content)


def test_a_replay_is_not_to_be_continued(made):
    made.status = "failed"
    made.more = {"kind": "replay", "replays": {"session": "20260101-000000-000-made-0000", "to_targets": False}}
    made.step("w", "write", "failed", delivery="atomic_replace", config={"path": "output/x.csv"})
    made.problem(diagnostic("DRV004", path="x.csv", bytes=10), "w")
    answer = check_package(made.root, made.package().content)["answer"]
    assert (answer["run"]["kind"], answer["retry"]["command"]) == ("replay", None)
    assert answer["written"]["writers"][0]["target"] is None
    assert not any(each["changes"] for each in answer["next"])


@pytest.mark.parametrize("density", ["low", "medium", "high"])
def test_of_many_events_only_those_are_read_that_a_package_has_room_for(made, density):
    made.step("a", "read", rows=(0, 1))
    made.event("run_start")
    for number in range(3000):
        made.event("spoke" if number % 3 else "sampled", step="a", fields={"number": number})
    made.event("delivery", step="a", fields={"class": "exactly_once"})
    made.event("run_complete", duration_ms=1.0)
    whole, options = made.facts(), Options(max_bytes=12_000, density=density)
    few = Reading(load_run(made.folder, options.max_events), None, None, None, str)
    assert len(few.run.events) + sum(few.run.left_out.values()) == len(whole.run.events) == 3003
    assert (len(few.run.events) < 500, few.run.events[-1]["event"]) == (True, "run_complete")
    assert build_package(few, options, _none).content == build_package(whole, options, _none).content


def test_an_annex_has_every_event():
    assert Options(annex=True).max_events is None


def _none(_name):
    """Know no component."""


def test_five_hundred_tables_are_one_short_part_with_their_causes(made):
    """40 of 500 tables fail, of 3 causes: an answer under 2,000 tokens (8,000 characters) has them all, with counts."""
    made.status = "failed"
    causes = ["table '{}' does not exist", "table '{}' was emptied", "column 'x' of table '{}' changed"]
    for number in range(500):
        name = f"t{number}"
        ends = ("failed", "not_run") if number < 40 else ("complete", "complete")
        rows = None if number < 40 else (number % 3, number % 3)
        config = {"connection": "@made.a", "table": name}
        made.step(f"{name}-source", "read", ends[0], rows, config=config, entry="shop")
        made.step(name, "write", ends[1], rows, reads=[f"{name}-source"], config=config, entry="shop")
        if number < 40:
            problem = Diagnostic("DRV012", causes[number % 3].format(name))
            made.problem(problem, f"{name}-source")
            made.diagnostics[-1]["step"] = f"{name}-source"
    shared = {"entry": "shop", "tables": 497, "apart": 3, "apart_first": ["t1", "t2", "t3"]}
    made.event("snapshot_shared", step="t0-source", fields=shared)
    package = made.package()
    answer = package.document["answer"]
    assert len(json.dumps(answer, ensure_ascii=False)) <= 8_000
    assert answer["verdict"]["text"].startswith(
        "40 of 500 tables failed, of 3 causes. The first: Step t0-source failed"
    )
    (entry,) = answer["tables"]["entries"]
    assert entry["states"] == {"failed": 40, "rows written": 460}
    assert (entry["snapshot"]["shared"], entry["snapshot"]["apart"]) == (497, 3)
    assert [(cause["tables"], cause["first"]) for cause in entry["causes"]] == [
        (14, ["t0", "t3", "t6"]),
        (13, ["t1", "t4", "t7"]),
        (13, ["t2", "t5", "t8"]),
    ]
    assert "- shop: 500 tables: 40 failed, 460 rows written; 497 read in one snapshot, 3 apart" in package.card
