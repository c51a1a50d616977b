"""Outputs of finished steps are stored while their run may be continued, read if they are intact, and removed later."""

import json
import time

import pytest

from osiris.config import load_config


@pytest.fixture
def plan(desk, make_step):
    """`a` and `b` are spooled; `c` fails once, after both are done."""
    return desk.plan(
        [
            make_step("a", "numbers", rows=3000),
            make_step("b", "passing", "transform", ["a"]),
            make_step("v", "file_writer", "write", ["a"], path="v.txt"),
            make_step("x", "file_writer", "write", ["b"], path="x.txt"),
            make_step("c", "numbers", needs=["v", "x"], rows=2000, failures=1),
            make_step("d", "passing", "transform", ["b", "c"]),
            make_step("w", "file_writer", "write", ["d"], path="w.txt"),
        ]
    )


def spools(desk):
    return sorted(path.relative_to(desk.project.spools).as_posix() for path in desk.project.spools.rglob("*.arrow"))


def skipped(desk, result):
    return {e["step"]: e["reason"] for e in desk.events(result) if e["event"] == "step_skipped"}


def test_an_output_that_was_kept_is_read_again(desk, plan):
    first = desk.run(plan)
    assert first.status == "failed"
    assert spools(desk) == [f"{first.session_id}/b.arrow"]
    kept = desk.summary(first)["spools"]
    assert {step: (told["session"], told["rows"]) for step, told in kept.items()} == {
        "a": (first.session_id, 3000),
        "b": (first.session_id, 3000),
    }
    second = desk.run(plan, resume="last")
    assert (second.status, [d.code for d in second.diagnostics]) == ("complete", ["RUN011", "RUN057"])
    assert skipped(desk, second) == {
        "v": f"delivered by {first.session_id}",
        "x": f"delivered by {first.session_id}",
        "b": f"its output was kept by {first.session_id}",
        "a": "all that read it are delivered, or their output was kept",
    }
    assert second.steps["d"]["rows_out"] == 5000
    assert len((desk.project.root / "w.txt").read_text().splitlines()) == 5000
    assert list(desk.project.spools.iterdir()) == []


def test_of_a_source_that_cannot_tell_whether_it_changed_nothing_is_kept_unasked(desk, plan):
    desk.run(plan)
    second = desk.run(plan)
    assert (second.status, [d.code for d in second.diagnostics]) == ("complete", ["RUN011", "RUN067"])
    assert set(skipped(desk, second)) == {"v", "x"}
    assert len((desk.project.root / "w.txt").read_text().splitlines()) == 5000


@pytest.mark.parametrize("harm", ["change", "cut", "remove"])
def test_an_output_that_is_damaged_is_made_again(desk, plan, harm):
    first = desk.run(plan)
    path = desk.project.spools / first.session_id / "b.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if harm == "change" else content[:-8])
    if harm == "remove":
        path.unlink()
    second = desk.run(plan, resume="last")
    assert second.status == "complete"
    notes = [(d.code, d.message) for d in second.diagnostics if d.code not in ("RUN011", "RUN067")]
    damaged = f"the spooled output of step 'b' in run {first.session_id} is damaged; the step runs again"
    assert notes == ([] if harm == "remove" else [("RUN019", damaged)])
    assert set(skipped(desk, second)) == {"v", "x"}
    assert len((desk.project.root / "w.txt").read_text().splitlines()) == 5000


def test_what_was_kept_survives_several_continuations(desk, plan):
    plan.data["steps"][4]["config"]["failures"] = 3
    runs = [desk.run(plan), *(desk.run(plan, resume="last") for _ in range(3))]
    assert [run.status for run in runs] == ["failed"] * 3 + ["complete"]
    assert {run.run_key for run in runs} == {runs[0].session_id}
    assert [skipped(desk, run)["b"] for run in runs[1:]] == [f"its output was kept by {runs[0].session_id}"] * 3
    assert list(desk.project.spools.iterdir()) == []


def test_what_nobody_will_read_is_swept(desk, plan, make_step):
    first = desk.run(plan)
    other = desk.plan([make_step("z", "numbers", rows=1)], name="other")
    desk.run(other)
    assert spools(desk) == [f"{first.session_id}/b.arrow"]
    time.sleep(1.1)
    desk.run(other, config=load_config(desk.project, {"OSIRIS_RUN__CONTINUE_WITHIN": "1s"}))
    assert spools(desk) == []
    (desk.project.spools / "gone").mkdir()
    desk.run(other)
    assert list(desk.project.spools.iterdir()) == []


def test_an_old_run_that_is_resumed_by_name_has_its_outputs(desk, plan):
    first = desk.run(plan)
    time.sleep(1.1)
    config = load_config(desk.project, {"OSIRIS_RUN__CONTINUE_WITHIN": "1s"})
    second = desk.run(plan, resume=first.session_id, config=config)
    assert skipped(desk, second)["b"] == f"its output was kept by {first.session_id}"


def test_spools_have_a_limit(desk, plan):
    config = load_config(desk.project, {"OSIRIS_RUN__SPOOL_LIMIT": "40kB"})
    result = desk.run(plan, config=config)
    assert (result.status, [d.code for d in result.diagnostics]) == ("failed", ["RUN018"])
    assert result.steps["a"]["status"] == "failed"
    assert "increase run.spool_limit" in result.diagnostics[0].hint
    assert list(desk.project.spools.iterdir()) == []
    assert desk.run(plan).steps["a"]["status"] == "complete"


def test_a_run_that_was_killed_has_kept_what_it_had(desk, plan, make_step):
    def kill(event):
        if event["event"] == "step_start" and event["step"] == "c":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.run(plan, kill)
    (lost,) = (path.name for path in desk.project.logs.iterdir())
    second = desk.run(plan, resume="last")
    assert skipped(desk, second)["b"] == f"its output was kept by {lost}"
    assert json.loads((desk.project.logs / lost / "run.json").read_text())["status"] == "lost"
