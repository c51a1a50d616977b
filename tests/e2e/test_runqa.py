"""The package of a run alone shows what went wrong and what to do: RunQA, see `bench/runqa/score.py`."""

from collections import Counter
from dataclasses import replace

import pytest
from bench.runqa.faults import FAULTS
from bench.runqa.questions import QUESTIONS
from bench.runqa.score import BUDGETS, bring_all_about, grade_all, misses, percentage, table

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def cases(tmp_path_factory, postgres, mariadb):
    return bring_all_about(tmp_path_factory.mktemp("faults"), {"postgres": postgres, "mysql": mariadb})


@pytest.fixture(scope="module")
def grades(cases):
    return grade_all(cases)


def test_there_are_enough_faults_and_questions():
    assert len({fault.name for fault in FAULTS}) >= 16
    assert len({question.name for question in QUESTIONS}) == 12


@pytest.mark.parametrize(("budget", "bar"), BUDGETS.items())
def test_the_package_answers(grades, budget, bar):
    told = [table(grades), *misses([grade for grade in grades if grade.budget == budget], "package")]
    assert percentage(grades, "package", budget) >= bar, "\n".join(told)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("other", ["events.jsonl", "run_results"])
def test_others_answer_less(grades, budget, other):
    assert percentage(grades, other, budget) + 10 < percentage(grades, "package", budget)


def test_the_truth_of_another_fault_is_not_met(cases):
    mixed = [replace(case, fault=other.fault) for case, other in zip(cases, cases[1:] + cases[:1], strict=True)]
    assert percentage(grade_all(mixed), "package", 75_000) < 60


def test_an_answer_without_evidence_does_not_count(cases):
    bare = {"errors": [], "timeline": [], "steps": [], "row_errors": [], "files": [], "outputs": [], "artifacts": []}
    cut = [
        replace(case, packages={budget: p | {"evidence": p["evidence"] | bare} for budget, p in case.packages.items()})
        for case in cases
    ]
    right = Counter(grade.question for grade in grade_all(cut) if grade.reader == "package" and grade.right)
    assert set(right) <= {"next", "held up"}
