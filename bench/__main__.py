"""Every figure, measured in one run: `make bench`, or `.venv/bin/python -m bench [--only GROUP] [--runs N]`;
the rows of the servers also one at a time, and smaller: `--only servers --row pg-table --rows 600000`.

Prints one row of a table per figure, with the command that repeats it, and ends with 1 if any bar is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figure import Bench
from bench.figures import GROUPS, measure
from bench.runqa.figures import runqa
from bench.stages import stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.figure import Figure

GROUPS |= {"stages": stages, "runqa": runqa}

HEAD = (
    f"| {'job':78} | {'bar':9} | {'measured':9} | {'':6} | {'others':10} | {'of what':40} | repeat with |\n"
    "|-|-|-|-|-|-|-|"
)


def main() -> int:
    """Measure everything, print it, and return whether every bar is met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", choices=GROUPS, action="append", help="measure this group only; may be repeated")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command (default 5)")
    parser.add_argument(
        "--row", action="append", default=[], help="of the servers, measure this row only; may be repeated"
    )
    parser.add_argument("--rows", type=int, help="how many rows the servers get (default all, 6,001,215): to try")
    parser.add_argument("--data", type=Path, default=Path("bench/data"), help="where the generated data is kept")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores; others: how many of them were busy with something else", HEAD, sep="\n", flush=True)
    figures = [figure for group in options.only or GROUPS for figure in _rows(group, options)]
    return int(any(figure.missed for figure in figures))


def _rows(group: str, options: argparse.Namespace) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="osiris-bench-") as folder:
        bench = Bench(Path(folder), options.data, options.runs, tuple(options.row), options.rows)
        for figure, others in measure(group, bench):
            again = f"python -m bench --only {group}{figure.again} --runs {options.runs}"
            print(f"| {figure} | {others:4.2f} cores | {figure.detail:40} | `{again}` |", flush=True)
            yield figure


if __name__ == "__main__":
    sys.exit(main())
