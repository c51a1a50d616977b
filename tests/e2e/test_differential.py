"""Random pipelines over every source and target, against truth that is computed without Osiris."""

import pytest
from bench.differential.__main__ import run, summarize
from bench.differential.cases import Case
from bench.differential.judge import Bench, compare, refused
from bench.differential.servers import Servers
from bench.differential.sources import Source
from bench.differential.spelling import guess
from bench.differential.tables import Column, Table
from bench.differential.targets import Target
from tests.chance import draw_seed, say_tried


def verdicts(postgres, mariadb, seed, count):
    servers = Servers(
        {"postgres": postgres, "mysql": mariadb},
        {"postgres": postgres.new_database(), "mysql": mariadb.new_database()},
    )
    return summarize(run(seed, list(range(count)), servers), seed)


def test_nothing_changes_silently(postgres, mariadb):
    summary = verdicts(postgres, mariadb, 1, 40)
    say_tried("random pipelines whose rows were compared with a truth of our own", 40)
    assert summary["failures"] == []
    assert summary["verdicts"]["equal"] >= 25


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('id,t\n1,""\n2,\n', "equal"),
        ("id,t\n1,\n2,\n", "different"),
        ('id,t\n1,""\n', "different"),
        ('id,t\n2,\n1,""\n', "different"),
        ('id,u\n1,""\n2,\n', "different"),
        ('id,t\n1," "\n2,\n', "different"),
        ('id,t\n1,""\n2,\n3,\n', "different"),
    ],
)
def test_what_differs_is_told(text, kind, tmp_path):
    table = Table([Column("id", "int64", [1, 2]), Column("t", "utf8", ["", None])])
    target = Target("csv", "filesystem.csv_writer", {"path": "out.csv"})
    case = Case(0, 0, Source("", {}, table), target, [{"config": {}}], table, ordered=True, words="")
    tmp_path.joinpath("out.csv").write_text(text)
    assert compare(Bench(tmp_path, Servers()), case).kind == kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [("DAT014", "refused"), ("DAT001", "unexpected"), ("DRV000", "unexpected"), ("INT000", "unexpected")],
)
def test_only_the_code_of_a_fault_is_its_refusal(code, kind):
    table = Table([Column("id", "int64", [1])])
    case = Case(
        0, 0, Source("", {}, table), Target("csv", "", {}), [], table, True, "", refusal="may", codes=("DAT014",)
    )
    assert refused(case, [{"code": code, "severity": "error", "message": ""}]).kind == kind
    case.refusal = None
    assert refused(case, [{"code": code, "severity": "error", "message": ""}]).kind == "unexpected"


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", None, "-7"], "int64"),
        (["9223372036854775808", "1"], "decimal(38,0)"),
        (["1.50", "2"], "decimal(38,2)"),
        (["1e5", "0.1"], "float64"),
        (["1e400"], "utf8"),
        (["1e5", "0.12345678901234567890"], "utf8"),
        (["007", "1"], "utf8"),
        (["-0.00", "1.5"], "utf8"),
        (["2024-02-29T12:30:00Z", "2024-02-29 12:30:00+00:00"], "timestamp[us,UTC]"),
        (["2024-02-29", "2024-02-29T00:00:00"], "utf8"),
        ([None], "utf8"),
    ],
)
def test_types_are_guessed_as_documented(cells, kind):
    assert guess(cells) == kind


@pytest.mark.long
def test_nothing_changes_silently_in_many_cases(postgres, mariadb):
    summary = verdicts(postgres, mariadb, draw_seed() % 10**6, 20_000)
    say_tried("random pipelines whose rows were compared with a truth of our own", 20_000)
    assert "different" not in summary["verdicts"]
    assert summary["verdicts"].get("unexpected", 0) <= 20, "refusals of clean input are rare"
