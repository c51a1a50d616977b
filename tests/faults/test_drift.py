"""Sources that no longer match the plan: detected before anything begins."""

import json

import pytest

from osiris.config import load_config
from osiris.errors import OsirisError
from osiris.runner.protocol import Secrets

ID, TEXT = ["id", "int64"], ["text", "utf8"]


@pytest.fixture
def tell(desk):
    """Define what a source contains."""

    def call(name, *columns, **more):
        (desk.project.root / name).write_text(json.dumps({"columns": columns, **more}))

    return call


@pytest.fixture
def plan(desk, make_step, tell):
    """Two sources, two writers, one after the other."""
    tell("a.json", ID, state="one")
    tell("b.json", ID, TEXT)
    return desk.plan(
        [
            make_step("a", "shifting", path="a.json"),
            make_step("v", "file_writer", "write", ["a"], path="v.txt"),
            make_step("b", "shifting", needs=["v"], path="b.json"),
            make_step("w", "file_writer", "write", ["b"], path="w.txt"),
        ]
    )


def said(result):
    return [(d.code, d.message) for d in result.diagnostics]


def test_all_drift_is_told_and_nothing_begins(desk, plan, tell):
    tell("a.json", ["id", "utf8"])
    tell("b.json", TEXT, ["more", "bool", False])
    result = desk.run(plan)
    assert (result.status, result.exit_code) == ("failed", 6)
    assert said(result) == [
        ("DAT011", "step 'a': column 'id' was int64 and is now utf8"),
        ("DAT011", "step 'b': column 'id' was removed (it was int64)"),
        ("DAT011", "step 'b': column 'more' is new (bool not null)"),
    ]
    assert {name: step["status"] for name, step in result.steps.items()} == {
        "a": "failed",
        "b": "failed",
        "v": "not_run",
        "w": "not_run",
    }
    told = [(e["event"], e["step"]) for e in desk.events(result) if "step" in e]
    assert told == [("step_start", "a"), ("step_failed", "a"), ("step_start", "b"), ("step_failed", "b")]
    assert not list(desk.project.root.glob("*.txt"))
    assert desk.left_over() == []


def test_columns_that_changed_places_are_drift(desk, plan, tell):
    tell("b.json", TEXT, ID)
    assert said(desk.run(plan)) == [
        ("DAT011", "step 'b': its columns are in another order: they were id, text and are now text, id")
    ]


@pytest.mark.parametrize(
    ("code", "as_code", "begun"), [("DAT005", "DAT011", 0), ("DRV001", "DRV001", 0), ("CON003", "CON003", 1)]
)
def test_what_a_source_raises(desk, plan, tell, code, as_code, begun):
    """A column that a step names and its source lacks is drift; an unreachable source is left to the step."""
    tell("b.json", code=code)
    result = desk.run(plan)
    assert [d.code for d in result.diagnostics] == [as_code]
    assert len([e for e in desk.events(result) if e["event"] == "read" and e["step"] == "b"]) == begun
    assert result.steps["b"]["status"] == "failed"


@pytest.mark.long
def test_each_source_has_its_own_time_to_answer(desk, make_step, tell):
    """Together they exceed one source's limit, but each alone is far below it, even on a slow machine."""
    names = [f"s{number}" for number in range(10)]
    for name in names:
        tell(f"{name}.json", ID)
    plan = desk.plan([make_step(name, "shifting", path=f"{name}.json") for name in names])
    for name in names:
        tell(f"{name}.json", ID, pause=0.7)
    config = load_config(desk.project, {"OSIRIS_RUN__STEP_TIMEOUT": "6s"})
    assert desk.run(plan, config=config).status == "complete"
    tell("s9.json", ID, pause=60)
    with pytest.raises(OsirisError) as late:
        desk.run(plan, config=config)
    (found,) = late.value.diagnostics
    assert (found.code, "step 's9' exceeded its timeout of 6 s" in found.message) == ("RUN002", True)


def test_what_a_step_is_to_wait_for_is_left_to_it(desk, make_step, tell):
    tell("a.json", ID)
    retry = {"max": 1, "backoff": "10ms", "on": ["DRV001"]}
    steps = [make_step("a", "shifting", path="a.json", retry=retry)]
    plan = desk.plan([*steps, make_step("w", "file_writer", "write", ["a"], path="w.txt")])
    tell("a.json", code="DRV001")
    result = desk.run(plan)
    assert [d.code for d in result.diagnostics] == ["DRV001"]
    assert [e["event"] for e in desk.events(result) if e["event"] in ("read", "step_retry")] == [
        "read",
        "step_retry",
        "read",
    ]


def test_a_source_that_is_skipped_keeps_the_state_of_which_it_was_delivered(desk, plan, tell):
    tell("b.json", ID, TEXT, code="CON003")
    first = desk.run(plan)
    tell("a.json", ID, state="two")
    second = desk.run(plan)
    assert (second.status, second.run_key) == ("failed", first.run_key)
    assert desk.summary(second)["sources"] == desk.summary(first)["sources"]


def test_drift_of_a_step_that_is_not_read_again_does_not_count(desk, plan, tell):
    tell("b.json", ID, TEXT, code="CON003")
    first = desk.run(plan)
    assert (first.steps["v"]["status"], first.steps["b"]["status"]) == ("complete", "failed")
    tell("a.json", TEXT, state="two")
    tell("b.json", ID, TEXT)
    second = desk.run(plan)
    assert (second.status, second.run_key) == ("complete", first.run_key)
    assert desk.summary(second)["sources"] == desk.summary(first)["sources"]


def test_states_are_kept_hashed_and_what_is_mended_is_continued(desk, plan, tell):
    (desk.project.root / "v.txt").mkdir()
    first = desk.run(plan)
    assert first.status == "failed"
    (state,) = desk.summary(first)["sources"].values()
    assert len(state) == 64
    tell("a.json", ID, state="two")
    (desk.project.root / "v.txt").rmdir()
    second = desk.run(plan)
    assert (second.status, second.run_key, said(second)[0][0]) == ("complete", first.run_key, "RUN011"), said(second)
    assert desk.summary(second)["sources"]["a"] != state


def test_plan_is_compared_behind_casts(desk, make_step, tell):
    tell("a.json", ID)
    steps = [
        make_step("a", "shifting", path="a.json", cast={"id": "int32"}),
        make_step("v", "file_writer", "write", ["a"], path="v.txt"),
    ]
    plan = desk.plan(steps)
    assert plan.steps[0]["schema"][0]["type"] == "int32"
    assert desk.run(plan).status == "complete"
    tell("a.json", ID, TEXT)
    assert said(desk.run(plan)) == [("DAT011", "step 'a': column 'text' is new (utf8)")]


def test_source_that_depends_on_the_run_is_not_asked_before_it(desk, make_step, tell):
    tell("a-.json", ID)
    steps = [
        make_step("a", "shifting", path="a-${run.id}.json"),
        make_step("v", "file_writer", "write", ["a"], path="v.txt"),
    ]
    plan = desk.plan([{**steps[0], "config": {"path": "a-.json"}}, steps[1]])
    plan.steps[0]["config"] = steps[0]["config"]
    tell("a-night.json", ID)
    assert desk.run(plan, run_id="night").status == "complete"
    assert [d.code for d in desk.run(plan, run_id="day").diagnostics] == ["DRV000"]


def test_the_job(desk, plan, tell):
    tell("b.json", ID)
    told = []
    with desk.worker() as link:
        reads = [step for step in plan.steps if step["mode"] == "read"]
        end = link.ask(desk.job("confirm", reads), Secrets(), told.append)
    assert (end["ok"], [(e["event"], e["step"], e["state"]) for e in told]) == (
        False,
        [("confirmed", "a", "one"), ("confirmed", "b", None)],
    )
    assert [d["code"] for d in told[1]["diagnostics"]] == ["DAT011"]
