"""The reliability tests: everything that is tried against Osiris, counted and written to RELIABILITY.md.

`make trust` (small N), `make trust-long` (large N), or one kind of trial, which replaces only its own rows:
`.venv/bin/python -m bench.trust [--long] [--only KIND] [--seed N]`. Exits with 1 if anything failed.
"""

from __future__ import annotations

import argparse
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

What was tried, how often, and what failed. Each row is written by the run that measured it, with its date and the
revision of the code. A kind without failures met its target; a kind without a row was not tried at that size. Random
trials use the seed of their row, and the command in the last column repeats them.
"""
TABLE = """
## {title}

| kind | what was tried | N | failed | seconds | date | revision | seed | repeat with |
|-|-|-:|-:|-:|-|-|-:|-|
"""
TITLES = {False: "Small N: `make trust`", True: "Large N: `make trust-long`"}


@dataclass
class Outcome:
    """The outcome of one kind of trial: counts by what was tried, and a command to reproduce each failure."""

    kind: Kind
    seed: int
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def main() -> int:
    """Run all trials, write the page, and return whether anything failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.trust", description=__doc__)
    parser.add_argument("--long", action="store_true", help="large N; takes hours")
    parser.add_argument("--only", choices=KINDS, action="append", help="this kind only; repeatable")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="seed of the random trials")
    options = parser.parse_args()
    failed = False
    for name in options.only or KINDS:
        outcome = Outcome(KINDS[name], options.seed)
        for path in outcome.kind.tests:
            try_file(path, outcome, long=options.long)
            written = list(rows(outcome, long=options.long))
            text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
            PAGE.write_text(page(text, name, written, long=options.long), encoding="utf-8")
        print("".join(written), end="", flush=True)
        failed = failed or bool(outcome.failures)
    return int(failed)


def try_file(path: str, outcome: Outcome, *, long: bool) -> None:
    """Run tests in a separate process, and count them; a test can report counts of its trials as properties."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="osiris-trust-") as folder:
        report = Path(folder) / "report.xml"
        options = [
            f"--junitxml={report}",
            "-o",
            "junit_logging=no",
            f"--seed={outcome.seed}",
            "-q",
            "-m",
            "not bench" if long else "not long and not bench",
            path,
        ]
        ended = subprocess.run([sys.executable, "-m", "pytest", *options], check=False, stdout=subprocess.PIPE)
        if not report.exists():
            outcome.failures.append(f"pytest ended with {ended.returncode}: {path}")
        else:
            count(outcome, ET.parse(report).getroot())
    if not outcome.counts:
        outcome.failures.append(f"nothing was tried: {path}")
    outcome.seconds += time.monotonic() - began


def count(outcome: Outcome, report: ET.Element) -> None:
    """Add up the counts that tests report; a test without counts is one trial."""
    for case in report.iter("testcase"):
        counts = {each.get("name", ""): int(each.get("value", "0")) for each in case.iter("property")}
        for name, number in (counts or {outcome.kind.title: 1}).items():
            outcome.counts[name] = outcome.counts.get(name, 0) + number
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failures.append(f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}")


def rows(outcome: Outcome, *, long: bool) -> Iterator[str]:
    """Yield the page's rows of one kind; each failure has its own row with a command to reproduce it."""
    name, seed, today = outcome.kind.name, outcome.seed, str(datetime.now(UTC).date())
    again = f"python -m bench.trust{' --long' if long else ''} --only {name} --seed {seed}"
    failed, seconds, code = str(len(outcome.failures)), f"{outcome.seconds:.0f}", revision()
    for title, number in outcome.counts.items() or {outcome.kind.title: 0}.items():
        cells = (name, title, f"{number:,}", failed, seconds, today, code, str(seed), f"`{again}`")
        yield f"| {' | '.join(cells)} |\n"
    for failure in outcome.failures:
        yield f"| {name} | **failed** | | | | {today} | {code} | {seed} | `pytest --seed {seed} '{failure}'` |\n"


def revision() -> str:
    """Return the short name of the commit that is checked out."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def page(text: str, kind: str, written: Sequence[str], *, long: bool) -> str:
    """Return the page with the rows of one kind and size replaced."""
    result = HEAD
    for size, title in TITLES.items():
        _, _, section = text.partition(f"## {title}\n")
        before = [line for line in section.partition("\n## ")[0].splitlines(keepends=True) if line.startswith("| ")]
        by_kind = {name: [line for line in before if line.startswith(f"| {name} |")] for name in KINDS}
        if size is long:
            by_kind[kind] = list(written)
        lines = [line for each in by_kind.values() for line in each]
        result += TABLE.format(title=title) + "".join(lines) if lines else ""
    return result


if __name__ == "__main__":
    sys.exit(main())
