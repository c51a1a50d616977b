"""Random pipelines over every source and target, against truth that is computed without Osiris."""

import random

import pytest
from bench.differential.__main__ import run, summarize
from bench.differential.servers import Servers


def verdicts(postgres, mariadb, seed, count):
    servers = Servers(
        {"postgres": postgres, "mysql": mariadb},
        {"postgres": postgres.new_database(), "mysql": mariadb.new_database()},
    )
    return summarize(run(seed, list(range(count)), servers), seed)


def test_nothing_changes_silently(postgres, mariadb):
    summary = verdicts(postgres, mariadb, 1, 40)
    assert summary["failures"] == []
    assert summary["verdicts"]["equal"] >= 25


@pytest.mark.long
def test_nothing_changes_silently_in_many_cases(postgres, mariadb):
    seed = random.randrange(10**6)
    print("seed", seed)
    summary = verdicts(postgres, mariadb, seed, 20_000)
    assert "different" not in summary["verdicts"]
    assert summary["verdicts"].get("unexpected", 0) <= 20, "refusals of clean input are rare"
