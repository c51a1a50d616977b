"""RunQA as figures of the bench: the percentage of right answers, by reader and token budget."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.figure import Figure
from bench.runqa.score import BUDGETS, READERS, bring_all_about, grade_all, misses, percentage, table

if TYPE_CHECKING:
    from bench.figure import Bench


def runqa(bench: Bench) -> list[Figure]:
    """Grade the answers from a run's package, and those from its raw events and a summary; prints the wrong ones."""
    from tests.servers import start_mariadb, start_postgres

    with start_postgres() as postgres, start_mariadb() as mariadb:
        grades = grade_all(bring_all_about(bench.folder, {"postgres": postgres, "mysql": mariadb}))
    print(table(grades), *misses(grades, "package"), sep="\n", file=sys.stderr, flush=True)
    return [
        Figure(
            f"RunQA, {reader}, {budget:,} tokens",
            percentage(grades, reader, budget),
            bar if reader == "package" else None,
            "%",
            f"{len(grades) // len(READERS) // len(BUDGETS)} answers",
            at_least=True,
        )
        for budget, bar in BUDGETS.items()
        for reader in READERS
    ]
