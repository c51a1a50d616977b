"""What a source reaches, walked through several plans: what one of them writes, another may read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from osiris.compare.lineage import KINDS, Column, Lineage, label_of, read_lineage
from osiris.family_spec import family_of_connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from osiris.compare.lineage import Reached
    from osiris.model import JsonValue, Manifest


@dataclass(frozen=True, slots=True)
class StepImpact:
    """The columns of a step that are reached, each with its kind, and whether its rows are decided.

    `target` is what a writer writes.
    """

    step: str
    target: str | None
    columns: Mapping[str, str]
    rows: bool


@dataclass(frozen=True, slots=True)
class PipelineImpact:
    """What is reached in one pipeline."""

    name: str
    fingerprint: str
    steps: tuple[StepImpact, ...]


class Read(NamedTuple):
    """A read step, and what it reads: one source, or by a query (`queried`) columns of tables that are not known."""

    step: str
    sources: tuple[str, ...]
    queried: bool = False

    def matches(self, source: str) -> bool:
        """Tell whether a source is one that this step reads."""
        return any(_is_named(_folded(label), _folded(source)) for label in self.sources)


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan to walk: its lineage, its read steps, and what its writers write, by step."""

    name: str
    fingerprint: str
    lineage: Lineage
    reads: tuple[Read, ...]
    writes: Mapping[str, str]


@dataclass(slots=True)
class _Hit:
    """What has reached a source or target so far: columns, and the choice of its rows."""

    columns: dict[str, str] = field(default_factory=dict)
    rows: bool = False


def read_plan(manifest: Manifest) -> Plan:
    """Return the plan of a manifest as it is walked."""
    connections = manifest.data["connections"]
    return Plan(
        manifest.name,
        manifest.fingerprint,
        read_lineage(manifest),
        tuple(_read(step, connections) for step in manifest.steps if step["mode"] == "read"),
        {step["id"]: label_of(step, connections) for step in manifest.steps if step["mode"] == "write"},
    )


def lock_plan(columns: Mapping[str, Iterable[str]]) -> Plan:
    """Return a plan that reads sources and writes nothing: what is known of them beside the plans."""
    names = {source: tuple(found) for source, found in columns.items()}
    reads = tuple(Read(source, (source,)) for source in names)
    return Plan("", "", Lineage(names, dict.fromkeys(names, ())), reads, {})


def known_sources(plans: Iterable[Plan]) -> dict[str, set[str]]:
    """Return what the plans read, and the columns of it that they know."""
    known: dict[str, set[str]] = defaultdict(set)
    for plan in plans:
        for read in plan.reads:
            for label in read.sources:
                known[label].update(() if read.queried else plan.lineage.columns[read.step])
    return dict(known)


def find_source(plans: Sequence[Plan], text: str) -> tuple[str, str | None] | None:
    """Return the source and column that `PATH#column` or `@family.alias.table.column` names; None if no plan reads it.

    Without a column the source alone is meant. Of a table that is read by a query any column may be read.
    """
    mark = "." if text.startswith("@") else "#"
    cuts = [index for index, char in enumerate(text) if char == mark]
    readings = [(text, None), *((text[:cut], text[cut + 1 :]) for cut in reversed(cuts))]
    return next((reading for reading in readings if any(_knows(plan, *reading) for plan in plans)), None)


def trace_impact(plans: Sequence[Plan], source: str, column: str | None) -> tuple[PipelineImpact, ...]:
    """Return what a source, or one column of it, reaches in each plan, and through their targets in the others."""
    hits = {_folded(source): _Hit(_first_columns(plans, source, column), rows=column is None)}
    before: list[Reached] | None = None
    reached = [_walk(plan, hits) for plan in plans]
    while reached != before:
        for plan, found in zip(plans, reached, strict=True):
            _carry_on(plan, found, hits)
        before, reached = reached, [_walk(plan, hits) for plan in plans]
    told = (_told(plan, found) for plan, found in zip(plans, reached, strict=True))
    return tuple(each for each in told if each.steps)


def _read(step: Mapping[str, JsonValue], connections: Mapping[str, JsonValue]) -> Read:
    from osiris.sql import check
    from osiris.sql.safety.dialects import DIALECTS

    listed = (connections.get(step["connection"]) or {}).get("functions") or ()
    verdicts = [
        check(step["config"][key], dialect, relations=None, functions=DIALECTS[dialect].homes_of(listed))
        for key, dialect in step["sql"].items()
    ]
    tables = sorted({table for verdict in verdicts for table in verdict.relations})
    queried = (label_of({**step, "config": {**step["config"], "table": table}}, connections) for table in tables)
    return Read(step["id"], tuple(queried) or (label_of(step, connections),), queried=bool(verdicts))


def _is_named(label: str, source: str) -> bool:
    """Tell whether what a step reads is a source, or a pattern of paths that has it."""
    if label.startswith("@") or not any(mark in label for mark in "*?["):
        return label == source
    if "**" in label:
        return fnmatchcase(source, label)
    return label.count("/") == source.count("/") and PurePosixPath(source).match(label)


def _folded(source: str) -> str:
    """Return a source under the one name that all spellings of it have, with or without the slash of a folder.

    The alias of a connection is told by case.
    """
    source = source.removesuffix("/")
    family, *rest = source.removeprefix("@").split(".", 2)
    return f"@{family}.{rest[0]}.{rest[1].lower()}" if _is_folding(source) and len(rest) > 1 else source


def _folded_column(source: str, column: str) -> str:
    return column.lower() if _is_folding(source) else column


def _is_folding(source: str) -> bool:
    return source.startswith("@") and family_of_connection(source).folds_case


def _knows(plan: Plan, source: str, column: str | None) -> bool:
    reads = [read for read in plan.reads if read.matches(source)]
    wanted = None if column is None else _folded_column(source, column)
    return any(
        wanted is None or read.queried or wanted in {_folded_column(source, c) for c in plan.lineage.columns[read.step]}
        for read in reads
    )


def _first_columns(plans: Iterable[Plan], source: str, column: str | None) -> dict[str, str]:
    if column is not None:
        return {_folded_column(source, column): KINDS[0]}
    reads = ((plan, read.step) for plan in plans for read in plan.reads if read.matches(source))
    return {_folded_column(source, name): KINDS[0] for plan, step in reads for name in plan.lineage.columns[step]}


def _walk(plan: Plan, hits: Mapping[str, _Hit]) -> Reached:
    """Return what is reached in one plan from all that has been hit so far."""
    starts: dict[Column, str] = {}
    steps = set()
    for read in plan.reads:
        for source, hit in ((source, hit) for source, hit in hits.items() if read.matches(source)):
            steps |= {read.step} if hit.rows or read.queried else set()
            for column in plan.lineage.of(read.step):
                kind = KINDS[-1] if read.queried else hit.columns.get(_folded_column(source, column.name))
                if kind is not None:
                    starts[column] = _farther(kind, starts.get(column))
    return plan.lineage.reached(starts, steps)


def _carry_on(plan: Plan, found: Reached, hits: dict[str, _Hit]) -> None:
    """Note by what a plan's targets have been hit."""
    for step, label in plan.writes.items():
        columns = {column: found.columns[column] for column in plan.lineage.of(step) if column in found.columns}
        if not columns and step not in found.rows:
            continue
        hit = hits.setdefault(_folded(label), _Hit())
        hit.rows = hit.rows or step in found.rows
        named = {_folded_column(label, c.name): kind for c, kind in columns.items()}
        hit.columns |= {name: _farther(kind, hit.columns.get(name)) for name, kind in named.items()}


def _farther(kind: str, other: str | None) -> str:
    return max(kind, other or kind, key=KINDS.index)


def _told(plan: Plan, found: Reached) -> PipelineImpact:
    steps = []
    for step in plan.lineage.columns:
        columns = {c.name: found.columns[c] for c in plan.lineage.of(step) if c in found.columns}
        if columns or step in found.rows:
            steps.append(StepImpact(step, plan.writes.get(step), columns, step in found.rows))
    return PipelineImpact(plan.name, plan.fingerprint, tuple(steps))
