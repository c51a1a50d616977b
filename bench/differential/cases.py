"""A case: what is read, how it is transformed, where it is written, and what the target must contain."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import faults, operations, sources, targets
from .tables import TYPES, Table, random_size, random_table, with_large_cell

if TYPE_CHECKING:
    from pathlib import Path

    from .servers import Servers
    from .sources import Source
    from .targets import Target

LOCAL = ("csv", "json", "parquet", "sqlite", "duckdb")
SERVERS = ("postgres", "mysql")
MONGREL = ("csv", "csv", "csv", "json", "parquet", "sqlite", "duckdb", "postgres", "mysql")
LARGE = 0.002


@dataclass(eq=False)
class Case:
    """One pipeline and its truth."""

    seed: int
    number: int
    source: Source
    target: Target
    steps: list[dict[str, Any]]
    expected: Table
    ordered: bool
    words: str
    alone: bool = False
    """Whether a rejection is likely, so that the case runs alone."""
    refusal: str | None = None
    """Why it may be rejected, or must be ("must: …"); None: a rejection is a finding."""
    codes: tuple[str, ...] = ()
    """The expected codes of the rejection; any other is a finding."""
    rejected: int = 0
    """The number of rejected rows."""
    connections: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"c{self.number}"


def make(seed: int, number: int, project: Path, servers: Servers) -> Case:
    """Make a case and its source; the same seed and number give the same case."""
    rng = random.Random(f"{seed}/{number}")
    kinds = [kind for kind in MONGREL if kind in LOCAL or kind in servers.running]
    source_kind, target_kind = rng.choice(kinds), rng.choice(kinds)
    if number % 4 == 0:
        source_kind = "csv"
    table = _table(rng, source_kind, target_kind)
    name, folder = f"c{number}", project / f"c{number}"
    folder.mkdir(parents=True, exist_ok=True)
    source = sources.make(rng, source_kind, table, folder, name, servers)
    return _assemble(
        rng,
        Case(seed, number, source, _no_target(), [], source.table, source_kind in sources.FILES, source_kind),
        target_kind,
    )


def _no_target() -> Target:
    return targets.Target("none", "", {})


def _table(rng: random.Random, source_kind: str, target_kind: str) -> Table:
    types = [one for one in TYPES if sources.carries(source_kind, one) and targets.carries(target_kind, one)]
    size = random_size(rng)
    if source_kind == "json":
        size = max(size, 1)
    if source_kind in SERVERS or target_kind in SERVERS:
        size = min(size, 66000)
    table = random_table(rng, types, size)
    return with_large_cell(rng, table) if rng.random() < LARGE and source_kind != "mysql" != target_kind else table


def _assemble(rng: random.Random, case: Case, target_kind: str) -> Case:
    """Add the steps of a case, with the rows that they produce."""
    source, name, words = case.source, case.name, case.words
    read: dict[str, Any] = dict(source.config)
    _place(source, read, case)
    reader = {"id": f"{name}_read", "component": source.component, "mode": "read", "needs": [], "config": read}
    case.steps = [reader]
    table = source.table
    fault = faults.choose(rng, case)
    if fault:
        table = fault.table
        case.refusal, case.codes, case.rejected = fault.refusal, fault.codes, fault.rejected
        case.alone = (fault.refusal or "").startswith("must")
        read |= fault.config
        words += f", {fault.words}"
    elif rng.random() < 0.3:
        read["timeout"] = "1h"  # such a step is not fused
        words += ", by itself"
    elif rng.random() < 0.15 and table.size:
        read["checks"] = [
            {"row_count": {"min": table.size, "max": table.size}},
            {"unique": ["id"]},
            {"not_null": ["id"]},
        ]
        words += ", checked"
    ordered = case.ordered
    last = reader["id"]
    typed = not case.alone or "checks" in read  # no statement accepts rows that cannot be read
    for position in range(rng.choice([0, 0, 1, 1, 1, 2]) if typed else 0):
        done = operations.random_operation(rng, table)
        table, ordered = done.table, done.ordered
        step = {
            "id": f"{name}_sql{position}",
            "component": "duckdb.processor",
            "mode": "transform",
            "needs": [last],
            "config": {"query": done.sql},
        }
        case.steps.append(step)
        last = step["id"]
        words += f", {done.sql[:60]}"
    case.ordered = ordered
    _finish(rng, case, table, target_kind, last)
    case.words = f"{words} -> {target_kind}"
    return case


def _finish(rng: random.Random, case: Case, table: Table, target_kind: str, last: str) -> None:
    ids = next((column.values for column in table.columns if column.name == "id"), [])
    keyed = bool(ids) and len(set(ids)) == len(ids)
    case.target = targets.make(rng, target_kind, case.name, f"out_{case.name}", keyed)
    config = dict(case.target.config)
    if target_kind not in targets.SUFFIXES:
        alias = _connect(case, target_kind, case.target.connection, "out")
        config = {"connection": f"@{target_kind}.{alias}"} | config
    needs = {
        "id": f"{case.name}_write",
        "component": case.target.component,
        "mode": "write",
        "needs": [last],
        "config": config,
    }
    case.steps.append(needs)
    case.expected = table


def _place(source: Source, read: dict[str, Any], case: Case) -> None:
    """Return where the source is: a path below the project, or a connection."""
    if "path" in read:
        read["path"] = f"{case.name}/{read['path']}"
        return
    family = source.component.split(".")[0]
    read["connection"] = f"@{family}.{_connect(case, family, source.connection, 'in')}"


def _connect(case: Case, family: str, fields: dict[str, Any], side: str) -> str:
    """Add a connection for this case, or use that of the server."""
    if family in SERVERS:
        return "server"
    alias = f"{case.name}_{side}"
    case.connections.setdefault(family, {})[alias] = fields
    return alias
