"""How many mistakes are caught, located and fixed; `python -m tests.golden.mutation.score` prints it by operator.

Caught: an error is reported (for a mistake that is allowed: a note). Located: one of the diagnostics is exactly at the
mistake, by its pointer, and its line where that is known. Fixed: after `apply_fix` with the first suggested fix, the
file has no errors; that counts for mistakes in the pipeline that are errors, whether or not the intended text could be
known.
"""

import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml
from tests.golden.mutation import graph, layout, shape, sql
from tests.golden.mutation.corpus import cases, lay_out
from tests.golden.mutation.mutant import OPERATORS
from tests.golden.mutation.same import SAME

from osiris.api.opening import open_project
from osiris.api.pipelines import compile_file, validate_file
from osiris.errors import OsirisError, has_errors
from osiris.oml.fix import apply_fix

KINDS = (shape, graph, sql, layout)
COUNTED = ("mutants", "caught", "located", "mendable", "mended", "restored")
CONNECTIONS = "osiris_connections.yaml"


@dataclass(frozen=True)
class Bench:
    """One project, and how its texts are checked."""

    folder: Path
    workspace: object
    stage: str

    def check(self, text, connections):
        """Return the diagnostics of a text."""
        (self.folder / CONNECTIONS).write_text(connections, "utf-8")
        file = self.folder / "pipeline.yaml"
        if self.stage == "validate":
            return validate_file(self.workspace, file, params={}, text=text).diagnostics
        file.write_text(text, "utf-8")
        try:
            return compile_file(self.workspace, file, params={}).diagnostics
        except OsirisError as error:
            return error.diagnostics


def open_bench(case, folder, stage):
    return Bench(lay_out(case, folder), open_project(folder, {}), stage)


def judge(bench, case, operator, mutant):
    """Return the names in `COUNTED` that a mutant increments."""
    connections = mutant.connections or case.connections
    found = [d for d in bench.check(mutant.text, connections) if d.severity == operator.severity]
    places = [d.location for d in found if not mutant.at or d.location.pointer in mutant.at]
    score = Counter(mutants=1, caught=bool(found), located=any(mutant.line in (None, at.line) for at in places))
    if operator.severity == "error" and mutant.connections is None:
        score["mendable"] = 1
        fixed = next((apply_fix(mutant.text, d) for d in found if d.fix and d.location.file != CONNECTIONS), None)
        if fixed is not None and not has_errors(bench.check(fixed, connections)):
            score["mended"] = 1
            score["restored"] = yaml.safe_load(fixed) == case.page.data
    return score


def score_case(name, stage, most=None):
    """Return the scores of one case by operator, with a maximum number of mutants of each."""
    case = case_of(name)
    operators = [each for each in OPERATORS.values() if each.stage == stage]
    with tempfile.TemporaryDirectory() as folder:
        bench = open_bench(case, Path(folder) / "p", stage)
        if stage == "compile" and has_errors(bench.check(case.text, case.connections)):
            return {}
        return {
            each.name: sum((judge(bench, case, each, mutant) for mutant in some(each.mutants(case), most)), Counter())
            for each in operators
        }


def some(mutants, most):
    """Return a limited number of mutants, from all over the text."""
    made = list(mutants)
    return made[:: -(-len(made) // most)] if most and made else made


def case_of(name):
    return next(case for case in cases() if case.name == name)


def false_alarms(name):
    """Return the new diagnostics of each change that is not a mistake."""
    case = case_of(name)
    with tempfile.TemporaryDirectory() as folder:
        bench = open_bench(case, Path(folder) / "p", "validate")
        texts = {"unchanged": [case.text]} | {name: list(change(case)) for name, change in SAME.items()}
        return {
            change: [[str(d) for d in bench.check(text, case.connections) if d.severity != "note"] for text in each]
            for change, each in texts.items()
        }


def score(names, most=None):
    """Return the scores of cases by operator, computed by two processes; with a maximum number of mutants per case."""
    total = {name: Counter() for name in OPERATORS}
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(score_case, name, stage, most) for stage in ("validate", "compile") for name in names]
        for job in jobs:
            for operator, counted in job.result().items():
                total[operator].update(counted)
    return total


def share(counted, what, of="mutants"):
    return counted[what] / counted[of] if counted[of] else 1.0


def table(total):
    """Yield the lines of the score: by operator, and the total."""
    yield f"{'operator':34}{'stage':10}" + "".join(f"{name:>10}" for name in COUNTED)
    for name, counted in [*sorted(total.items()), ("all", sum(total.values(), Counter()))]:
        stage = OPERATORS[name].stage if name in OPERATORS else ""
        yield f"{name:34}{stage:10}" + "".join(f"{counted[each]:10}" for each in COUNTED)


if __name__ == "__main__":
    os.nice(5)
    sys.stdout.write("\n".join(table(score([case.name for case in cases()]))) + "\n")
