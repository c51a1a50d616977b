"""`python -m bench.differential --cases N --seed S`, and `--only NUMBER` for a reported case."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cases
from .judge import Bench, Verdict, judge
from .servers import started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .servers import Servers

BATCH = 25
FAILURES = ("different", "unexpected")


def main() -> int:
    """Run the cases, print the findings, and return 1 if anything differs."""
    options = _options()
    began = time.monotonic()
    numbers = options.only or list(range(options.first, options.first + options.cases))
    with started(set() if options.without_servers else set(cases.SERVERS)) as servers:
        summary = summarize(run(options.seed, numbers, servers, options.keep), options.seed)
    summary["seconds"] = round(time.monotonic() - began)
    if options.json:
        Path(options.json).write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps({key: summary[key] for key in ("seed", "cases", "verdicts", "codes", "seconds")}, indent=2))
    return 1 if summary["verdicts"].get("different") else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.differential", description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the cases to run")
    parser.add_argument("--without-servers", action="store_true")
    parser.add_argument("--json", help="file for the summary")
    parser.add_argument("--keep", help="folder for the projects of cases that differ")
    return parser.parse_args()


def run(seed: int, numbers: list[int], servers: Servers, keep: str | None = None) -> Iterator[Verdict]:
    """Run cases by their numbers, and print the unexpected results."""
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        for start in range(0, len(numbers), BATCH):
            bench = Bench(Path(folder) / str(start), servers)
            bench.project.mkdir()
            made = [cases.make(seed, number, bench.project, servers) for number in numbers[start : start + BATCH]]
            for verdict in judge(bench, made):
                _say(verdict, bench, keep)
                yield verdict
            shutil.rmtree(bench.project)


def _say(verdict: Verdict, bench: Bench, keep: str | None) -> None:
    if verdict.kind not in FAILURES:
        return
    case = verdict.case
    again = f"python -m bench.differential --seed {case.seed} --only {case.number}"
    print(f"{verdict.kind}: {case.words}\n  {verdict.code} {verdict.words}\n  {again}", flush=True)
    if keep:
        place = Path(keep) / f"{case.seed}-{case.number}"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(bench.project / case.name, place / case.name)
        place.joinpath("pipeline.yaml").write_text(
            json.dumps({"oml_version": "0.2.0", "name": case.name, "steps": case.steps}, indent=1, ensure_ascii=False)
        )
        place.joinpath("verdict.txt").write_text(f"{verdict.kind} {verdict.code} {verdict.words}\n{case.words}\n")


def summarize(verdicts: Iterator[Verdict], seed: int) -> dict[str, Any]:
    """Count the verdicts and the codes, and list what failed."""
    kinds: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    failures = []
    for verdict in verdicts:
        kinds[verdict.kind] += 1
        if verdict.code:
            codes[f"{verdict.kind} {verdict.code}"] += 1
        if verdict.kind in FAILURES:
            row = {"number": verdict.case.number, "kind": verdict.kind, "code": verdict.code, "words": verdict.words}
            failures.append(row | {"case": verdict.case.words})
    return {"seed": seed, "cases": kinds.total(), "verdicts": dict(kinds), "codes": dict(codes), "failures": failures}


if __name__ == "__main__":
    sys.exit(main())
