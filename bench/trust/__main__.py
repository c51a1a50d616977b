"""The trust programme: everything that is tried against Osiris, counted in one run and written to RELIABILITY.md.

`make trust` (small N), `make trust-long` (the N of the promises), or one kind of trial:
`.venv/bin/python -m bench.trust [--long] [--only KIND] [--seed N]`. Ends with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.trust.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.trust.kinds import Kind

PAGE = Path("RELIABILITY.md")
HEAD = """\
# Reliability

What was tried, how often, and what failed. This page is written by the run that measured it: `make {target}`,
{date}, {minutes:.0f} minutes on {cores} cores, Python {python}. A row without failures met its bar. Random trials
begin with the seed of their row, and `--seed` repeats them.

| kind | what was tried | N | failed | seconds | seed | repeat with |
|-|-|-:|-:|-:|-:|-|
"""


@dataclass
class Outcome:
    """What one kind of trial came to: N by what was tried, and what repeats each failure."""

    kind: Kind
    seed: int
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def main() -> int:
    """Try everything, write the page, and say whether anything failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.trust", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the N of the promises; hours")
    parser.add_argument("--only", choices=KINDS, action="append", help="this kind only, and no page; repeatable")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="where random trials begin")
    options = parser.parse_args()
    began = time.monotonic()
    outcomes = []
    for name in options.only or KINDS:
        outcomes.append(tried(KINDS[name], options.seed, long=options.long))
        print("".join(rows(outcomes[-1], long=options.long)), end="", flush=True)
    if not options.only:
        PAGE.write_text(page(outcomes, time.monotonic() - began, long=options.long), encoding="utf-8")
    return int(any(outcome.failures for outcome in outcomes))


def tried(kind: Kind, seed: int, *, long: bool) -> Outcome:
    """Run the tests of a kind in a process of their own; each test may say by a property how often it tried what."""
    outcome, began = Outcome(kind, seed), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="osiris-trust-") as folder:
        report = Path(folder) / "report.xml"
        options = [
            f"--junitxml={report}",
            "-o",
            "junit_logging=no",
            f"--seed={seed}",
            "-q",
            *selection(kind, long=long),
        ]
        ended = subprocess.run([sys.executable, "-m", "pytest", *options], check=False, stdout=subprocess.PIPE)
        if not report.exists():
            outcome.failures.append(f"pytest ended with {ended.returncode}: {' '.join(kind.tests)}")
        else:
            count(outcome, ET.parse(report).getroot())
    outcome.seconds = time.monotonic() - began
    return outcome


def selection(kind: Kind, *, long: bool) -> Sequence[str]:
    """Return which tests are of a kind, as pytest takes them."""
    return ["-m", "not bench" if long else "not long and not bench", *kind.tests]


def count(outcome: Outcome, report: ET.Element) -> None:
    """Add up what the tests say they tried; a test that says nothing counts as one."""
    for case in report.iter("testcase"):
        found = {each.get("name", ""): int(each.get("value", "0")) for each in case.iter("property")}
        for name, number in (found or {outcome.kind.title: 1}).items():
            outcome.counts[name] = outcome.counts.get(name, 0) + number
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failures.append(f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}")
    if not outcome.counts:
        outcome.failures.append("nothing was tried")


def rows(outcome: Outcome, *, long: bool) -> Iterator[str]:
    """Give the rows of the page for one kind; failures have rows of their own, each with what repeats it."""
    again = f"python -m bench.trust{' --long' if long else ''} --only {outcome.kind.name} --seed {outcome.seed}"
    for title, number in outcome.counts.items() or {outcome.kind.title: 0}.items():
        failed, seconds = len(outcome.failures), f"{outcome.seconds:.0f}"
        cells = (outcome.kind.name, title, f"{number:,}", str(failed), seconds, str(outcome.seed), f"`{again}`")
        yield f"| {' | '.join(cells)} |\n"
    for failure in outcome.failures:
        yield f"| {outcome.kind.name} | **failed** | | | | | `pytest --seed {outcome.seed} '{failure}'` |\n"


def page(outcomes: Sequence[Outcome], seconds: float, *, long: bool) -> str:
    """Return the whole page."""
    head = HEAD.format(
        target="trust-long" if long else "trust",
        date=datetime.now(UTC).date(),
        minutes=seconds / 60,
        cores=os.cpu_count(),
        python=platform.python_version(),
    )
    return head + "".join(row for outcome in outcomes for row in rows(outcome, long=long))


if __name__ == "__main__":
    sys.exit(main())
