"""Runs cases with the installed command, and decides for each whether its target has the expected content."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import targets
from .sources import quoted
from .tables import Table
from .targets import plain

if TYPE_CHECKING:
    from .cases import Case
    from .servers import Servers

OSIRIS = str(Path(sys.executable).parent / "osiris")
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
PATIENCE = 1800


@dataclass(frozen=True)
class Verdict:
    """`equal`, `refused` (with a code of its fault), `unexpected` (any other rejection), or `different`."""

    case: Case
    kind: str
    code: str = ""
    words: str = ""


@dataclass(frozen=True)
class Bench:
    """A project in which cases run, and the servers that they use."""

    project: Path
    servers: Servers

    def run(self, cases: list[Case], label: str) -> tuple[int, list[dict[str, Any]]]:
        """Run the cases as one pipeline; returns the exit code and the diagnostics."""
        steps = [step for case in cases for step in case.steps]
        connections: dict[str, Any] = {
            dialect: {"server": self.servers.connection(dialect)} for dialect in self.servers.running
        }
        for case in cases:
            for family, aliases in case.connections.items():
                connections.setdefault(family, {}).update(aliases)
        pipeline = {"oml_version": "0.2.0", "name": label, "steps": steps}
        self.project.joinpath("osiris.yaml").touch()
        self.project.joinpath("osiris_connections.yaml").write_text(json.dumps({"connections": connections}))
        self.project.joinpath(f"{label}.yaml").write_text(json.dumps(pipeline, ensure_ascii=False), encoding="utf-8")
        environment = {name: os.environ[name] for name in KEPT if name in os.environ} | self.servers.environment()
        command = [OSIRIS, "run", f"{label}.yaml", "--new-run", "--json"]
        done = subprocess.run(
            command, cwd=self.project, env=environment, capture_output=True, text=True, timeout=PATIENCE
        )
        try:
            diagnostics = json.loads(done.stdout)["diagnostics"]
        except (json.JSONDecodeError, KeyError):
            diagnostics = [{"code": "none", "severity": "error", "message": (done.stdout + done.stderr)[-400:]}]
        return done.returncode, diagnostics


def judge(bench: Bench, cases: list[Case]) -> list[Verdict]:
    """Run cases together. If that fails, the blamed ones run alone, as do those that must be rejected."""
    together = [case for case in cases if not case.alone]
    alone = [case for case in cases if case.alone]
    verdicts: list[Verdict] = []
    while together:
        code, diagnostics = bench.run(together, f"b{together[0].number}")
        if code == 0:
            verdicts += [compare(bench, case) for case in together]
            break
        for case in together:
            _forget(bench, case)
        blamed = _blamed(together, diagnostics)
        alone += blamed
        together = [case for case in together if case not in blamed]
    for case in alone:
        code, diagnostics = bench.run([case], case.name)
        verdicts.append(compare(bench, case) if code == 0 else refused(case, diagnostics))
    return verdicts


def _blamed(cases: list[Case], diagnostics: list[dict[str, Any]]) -> list[Case]:
    """Return the cases that the errors name by their steps; all cases if none is named."""
    words = json.dumps([one for one in diagnostics if one.get("severity") == "error"])
    return [case for case in cases if re.search(rf"\b{case.name}_", words)] or cases


def _forget(bench: Bench, case: Case) -> None:
    """Remove what an earlier attempt left at the target."""
    for file in bench.project.glob(f"{case.name}/out.*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    if case.target.kind in bench.servers.running:
        bench.servers.query(
            case.target.kind, f"DROP TABLE IF EXISTS {quoted(case.target.kind, case.target.config['table'])}"
        )


def refused(case: Case, diagnostics: list[dict[str, Any]]) -> Verdict:
    """Judge a case that was rejected: with a code of its fault, or with any other."""
    errors = [one for one in diagnostics if one.get("severity") == "error"] or diagnostics
    code, words = (errors[0]["code"], errors[0]["message"]) if errors else ("none", "")
    expected = case.refusal is not None and code in case.codes
    return Verdict(case, "refused" if expected else "unexpected", code, words)


def compare(bench: Bench, case: Case) -> Verdict:
    """Compare what a case has written with the expected rows."""
    if case.refusal and case.refusal.startswith("must"):
        return Verdict(case, "different", words=f"it succeeded, but {case.refusal}")
    try:
        names, rows = targets.read(case.target, case.expected, bench.project, bench.servers)
    except Exception as error:  # noqa: BLE001 - whatever keeps others from reading it is a finding
        return Verdict(case, "different", words=f"it cannot be read back: {type(error).__name__}: {error}"[:400])
    problem = _difference(case, names, rows) or _characters(bench, case) or _set_aside(bench, case)
    return Verdict(case, "different" if problem else "equal", words=problem)


def _difference(case: Case, names: list[str], rows: list[tuple[Any, ...]]) -> str:
    expected = case.expected
    if names != [column.name for column in expected.columns]:
        return f"columns {names} instead of {[column.name for column in expected.columns]}"
    expected_rows = [
        tuple(plain(item, column.type) for item, column in zip(row, expected.columns, strict=True))
        for row in expected.rows()
    ]
    if len(rows) != len(expected_rows):
        return f"{len(rows):,} rows instead of {len(expected_rows):,}"
    if not case.ordered or case.target.kind not in targets.SUFFIXES:
        return _bag_difference(Counter(map(_shown, rows)), Counter(map(_shown, expected_rows)))
    for number, (got, want) in enumerate(zip(rows, expected_rows, strict=True)):
        if _shown(got) != _shown(want):
            return f"row {number}: {_shown(got)[:300]} instead of {_shown(want)[:300]}"
    return ""


def _shown(row: tuple[Any, ...]) -> str:
    """Return a row as a text, such that only equal values have equal texts; MariaDB and SQL have one zero."""
    return repr(tuple(0.0 if isinstance(item, float) and item == 0 else item for item in row))


def _bag_difference(got: Counter[str], expected: Counter[str]) -> str:
    missing, more = expected - got, got - expected
    if not missing and not more:
        return ""
    shown = [next(iter(bag), "nothing")[:300] for bag in (more, missing)]
    return f"{missing.total():,} rows differ: {shown[0]} instead of {shown[1]}"


def _characters(bench: Bench, case: Case) -> str:
    """Check that text copied to text keeps its characters."""
    cells = case.source.cells
    config = case.steps[0]["config"]
    looked_at = len(case.steps) > 2 or any(key in config for key in ("checks", "cast", "dtype"))
    if cells is None or case.target.kind != "csv" or looked_at:
        return ""
    text = targets.unpacked(bench.project / case.target.config["path"])
    _, *rows = targets.cells(text, case.target.config.get("delimiter", ","))
    for number, (got, want) in enumerate(zip(rows, cells.rows(), strict=True)):
        if tuple(got) != want:
            return f"row {number}: characters {str(got)[:300]} instead of {str(want)[:300]}"
    return ""


def _set_aside(bench: Bench, case: Case) -> str:
    """Check that every row that is not written is among the rejected ones."""
    if "on_reject" not in case.steps[0]["config"]:
        return ""
    files = sorted(bench.project.glob(f"logs/*/artifacts/{case.name}_read/rejected.csv"))
    csv.field_size_limit(1 << 30)
    count = 0
    if files:
        with files[-1].open(newline="", encoding="utf-8") as file:
            count = sum(1 for _ in csv.reader(file)) - 1
    return "" if count == case.rejected else f"{count} rows rejected instead of {case.rejected}"


__all__ = ["Bench", "Table", "Verdict", "judge", "refused"]
