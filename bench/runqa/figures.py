"""RunQA as figures of the bench: how many of a hundred answers are right, by reader and by room."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.figure import Figure
from bench.runqa.score import BUDGETS, READERS, bring_all_about, grade_all, misses, percentage, table

if TYPE_CHECKING:
    from bench.figure import Bench


def runqa(bench: Bench) -> list[Figure]:
    """Grade what the package of a run answers, and what its raw events and a summary do; tells what was missed."""
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
