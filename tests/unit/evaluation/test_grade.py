"""Output is judged by its rows; without output, a turn is judged by whether it asked."""

import shutil

import pytest
from bench.evaluation.grade import SET, grade, load, table

REQUESTS = {each["id"]: each for each in load("requests.jsonl")}


def line(name, **said):
    return {"id": name, **said}


def verdicts(results, *lines, data=SET / "data"):
    seen = grade(results, lines, data)
    return {each.id: (each.verdict, each.why) for each in seen if each.verdict != "missing"}


def put(results, name, gold):
    path = results / f"{name}.{gold.get('format', 'csv')}"
    if path.suffix == ".csv":
        shutil.copy(SET / gold["file"], path)


def test_the_gold_itself_is_right_and_nothing_is_missing(tmp_path):
    for request in REQUESTS.values():
        for turn in request["turns"] if request["kind"] == "clear" else ():
            put(tmp_path, turn["id"], turn["gold"])
        for turn in [request["if_asked"]] if request["kind"] == "ambiguous" else ():
            put(tmp_path, f"{request['id']}-2", turn["gold"])
    asked = [line(name, asked=True) for name, each in REQUESTS.items() if each["kind"] != "clear"]
    assert {verdict for verdict, _ in verdicts(tmp_path, *asked).values()} == {"right"}


def test_a_question_at_a_clear_request_is_neither_right_nor_wrong(tmp_path):
    seen = verdicts(tmp_path, line("r001", asked=True), line("r002", refused=True), line("r004"))
    assert {name: verdict for name, (verdict, _) in seen.items()} == {
        "r001": "question",
        "r002": "refused",
        "r004": "nothing",
    }


def test_a_reading_that_was_chosen_in_silence_is_wrong(tmp_path):
    put(tmp_path, "r020", REQUESTS["r020"]["if_asked"]["gold"])
    assert verdicts(tmp_path)["r020"][0] == "wrong"
    assert verdicts(tmp_path, line("r020", stated=True))["r020"][0] == "right"


def test_multiplied_rows_and_changed_sources_are_wrong(tmp_path):
    put(tmp_path, "r005", REQUESTS["r005"]["naive"])
    assert verdicts(tmp_path)["r005"] == ("wrong", "multiplied rows")
    put(tmp_path, "r005", REQUESTS["r005"]["safe"][0])
    assert verdicts(tmp_path)["r005"][0] == "right"
    put(tmp_path, "r078", REQUESTS["r001"]["turns"][0]["gold"])
    shutil.copytree(SET / "data", tmp_path / "data")
    (tmp_path / "data/school/studenti.csv").write_text("id\n1\n")
    told = verdicts(tmp_path, data=tmp_path / "data")["r078"]
    assert told == ("wrong", "source changed: ['data/school/studenti.csv']")


@pytest.mark.parametrize("asked", [True, False])
def test_the_table_counts_wrong_ones_per_pipeline_written(tmp_path, asked):
    put(tmp_path, "r001", REQUESTS["r001"]["turns"][1]["gold"])
    put(tmp_path, "r002", REQUESTS["r001"]["turns"][0]["gold"])
    seen = [each for each in grade(tmp_path, [line("r003", asked=asked)], SET / "data") if each.verdict != "missing"]
    assert table(seen)[-1].split()[:4] == ["all", "3", "2" if asked else "1", "1"]
    assert table(seen)[1].split()[-3:-1] == ["2", "50.0%"]
