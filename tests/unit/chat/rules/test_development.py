"""What the rules make of each development case, run by DuckDB over the world's tables and compared with the gold."""

from pathlib import PurePosixPath

import pytest
from tests.unit.chat.rules.held import DEVELOPMENT, WORLDS, propose, rows_of

from osiris.chat.proposal import Proposal, Question, Refusal
from osiris.evaluation.cases import load_cases
from osiris.evaluation.rows import same_rows
from osiris.evaluation.worlds import gold_rows

CASES = load_cases(DEVELOPMENT)
KINDS = {"filesystem.csv_writer": "csv", "filesystem.parquet_writer": "parquet", "filesystem.json_writer": "json"}
KINDS |= {"sqlite.writer": "sqlite", "duckdb.writer": "duckdb"}


def of(expect, *, answered=None):
    found = [each for each in CASES if each.expect == expect]
    found = found if answered is None else [each for each in found if (each.answer is not None) == answered]
    return [pytest.param(each, id=each.id) for each in found]


@pytest.mark.parametrize("case", of("pipeline"))
def test_a_clear_request_becomes_its_pipeline(case):
    check(case, propose(case.world, case.request))


@pytest.mark.parametrize("case", of("question"))
def test_a_request_that_can_be_read_in_two_ways_is_asked_about(case):
    assert isinstance(propose(case.world, case.request), Question)


@pytest.mark.parametrize("case", of("question", answered=True))
def test_an_answer_settles_it(case):
    question = propose(case.world, case.request)
    check(case, propose(case.world, case.request, (question.about, case.answer)))


@pytest.mark.parametrize("case", of("refusal"))
def test_what_cannot_be_done_makes_no_pipeline(case):
    found = propose(case.world, case.request)
    assert isinstance(found, Refusal | Question), found


def check(case, found):
    assert isinstance(found, Proposal), found
    wanted = case.gold["target"]
    target = found.target
    assert KINDS[target.component] == wanted["kind"]
    assert wanted["path"] in (None, target.path)
    assert target.path is None or PurePosixPath(target.path).parts[0] == "output"
    assert wanted["connection"] in (None, (target.connection or "").partition(".")[2])
    assert wanted["table"] in (None, target.table)
    if target.connection:
        assert (target.mode, list(target.key)) == (case.gold["mode"], case.gold.get("key", []))
    types, rows = gold_rows(WORLDS[case.world], case.gold["sql"])
    made = rows_of(case.world, found)
    assert rows, "a gold without rows tells nothing"
    assert same_rows(types, rows, made, ordered=case.gold["ordered"]), (found.sql, made[:3], rows[:3])
