"""Written answers are processed like those of a model, and end in rows that are graded."""

import json

import pytest
from bench.evaluation.__main__ import ANSWERS
from bench.evaluation.answered import Answered, project_of
from bench.evaluation.grade import SET, grade, load
from bench.evaluation.hold import hold
from tests.unit.chat.scripted import environment, serving

from osiris.chat.conversation import Options

REQUESTS = load("requests.jsonl")
WRITTEN = {each["id"]: each["answer"] for each in map(json.loads, ANSWERS.read_text("utf-8").splitlines())}


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def graded(results, lines):
    return {each.id: each.verdict for each in grade(results, lines, SET / "data") if each.verdict != "missing"}


def test_every_turn_has_an_answer():
    turns = [turn["id"] for request in REQUESTS for turn in request["turns"]]
    turns += [f"{request['id']}-2" for request in REQUESTS if request["kind"] == "ambiguous"]
    assert sorted(WRITTEN) == sorted(turns)


def test_answers_are_carried_out_and_graded(results, tmp_path):
    """A request, a question, a refusal, and a request that names something that does not exist."""
    answered = Answered(project_of("school", tmp_path / "school"), {})
    asked = {name: WRITTEN[name] for name in ("r026", "r019", "r012")} | {"r038": WRITTEN["r038"]}
    lines = [answered.carry_out(name, answer, results) for name, answer in asked.items()]
    assert graded(results, lines) == {"r026": "right", "r019": "right", "r012": "right", "r038": "nothing"}
    assert "'/sources/0/relation' 'data/jugadores.csv' is not among the choices" in lines[-1]["problem"]


def test_a_model_answers_in_a_conversation(results, tmp_path):
    (request,) = (each for each in REQUESTS if each["id"] == "r081")
    answers = {request["text"]: WRITTEN["r081"], request["if_asked"]["text"]: WRITTEN["r081-2"]}
    with serving(answers) as server:
        project = project_of("school", tmp_path / "school")
        lines = hold(request, project, Options(), environment(server), results)
    assert graded(results, lines) == {"r081": "right", "r081-2": "right"}
