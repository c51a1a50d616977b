"""Written choices for the tasks of the guide: each task has some, and they end in the right rows."""

import json
import os

import pytest
from bench.evaluation.__main__ import CHOICES
from bench.evaluation.answered import project_of
from bench.evaluation.grade import SET, grade, load
from bench.evaluation.guided import guide

TASKS = {each["id"]: each for each in load("guide_tasks.jsonl")}
WRITTEN = {each["id"]: each["answers"] for each in map(json.loads, CHOICES.read_text("utf-8").splitlines())}


def test_every_task_has_choices_without_lines_of_flags():
    assert WRITTEN.keys() == TASKS.keys()
    assert [choice for choices in WRITTEN.values() for choice in choices if choice.startswith("--")] == []


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=() if each == "g03" else pytest.mark.long) for each in TASKS]
)
def test_choices_end_in_the_right_rows(name, tmp_path):
    (tmp_path / "results").mkdir()
    project = project_of(TASKS[name]["data_set"], tmp_path / "project")
    line = guide(TASKS[name], WRITTEN[name], project, os.environ, tmp_path / "results")
    graded = {each.id: each for each in grade(tmp_path / "results", [line], SET / "data")}
    assert graded[name].verdict == "right", (graded[name].why, line.get("problem"))
