"""Measure all figures in one run: `make bench`, or `.venv/bin/python -m bench [--only GROUP] [--runs N]`.

Single rows of the servers can be measured with less data: `--only servers --row pg-table --rows 600000`. Prints one
table row per figure, with the command that repeats it. Exits with 1 if a figure misses its bar.
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
    f"| {'job':78} | {'bar':9} | {'measured':9} | {'':6} | {'others':10} | {'details':40} | repeat with |\n"
    "|-|-|-|-|-|-|-|"
)


def main() -> int:
    """Measure everything, print it, and return 1 if a figure misses its bar, else 0."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", choices=GROUPS, action="append", help="measure only this group; repeatable")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command (default 5)")
    parser.add_argument("--row", action="append", default=[], help="measure only this row of the servers; repeatable")
    parser.add_argument("--rows", type=int, help="number of rows for the servers (default: all 6,001,215)")
    parser.add_argument("--data", type=Path, default=Path("bench/data"), help="folder of the generated data")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores; others: cores busy with other processes", HEAD, sep="\n", flush=True)
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
