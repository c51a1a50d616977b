"""Column lineage within a plan, and the impact of a source across plans."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePosixPath
from posixpath import join, normpath
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from osiris.family_spec import family_of_connection
from osiris.urls import as_names, local_path, stored_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from osiris.model import JsonValue, Manifest


KINDS = ("copy", "value", "aggregate", "unknown")
"""How a column is derived from another, the closest kind first; `unknown` for steps without lineage."""
UNNAMED_SCHEMAS = ("main", "public")
"""Names of databases' default schemas."""

_Node = TypeVar("_Node")


class StepColumn(NamedTuple):
    """A column of a step's output; a writer's are those of its input."""

    step: str
    name: str

    def __str__(self) -> str:
        return f"{self.step}.{self.name}"


class Arrow(NamedTuple):
    """An edge from a column to one derived from it, and how."""

    source: StepColumn
    target: StepColumn
    kind: str


@dataclass(frozen=True, slots=True)
class Reached:
    """What columns affect: other columns, each with its kind, and steps whose choice of rows depends on them."""

    columns: Mapping[StepColumn, str]
    rows: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lineage:
    """The column lineage of one plan. `columns` are by step, in order; `inputs` are the steps that a step reads.
    `arrows` are the edges into a column, `deciding` the columns that decide which rows a step returns.
    """

    columns: Mapping[str, tuple[str, ...]]
    inputs: Mapping[str, tuple[str, ...]]
    arrows: Mapping[StepColumn, tuple[Arrow, ...]] = field(default_factory=dict)
    deciding: Mapping[str, tuple[StepColumn, ...]] = field(default_factory=dict)

    def of(self, step: str) -> list[StepColumn]:
        """Return the columns of a step."""
        return [StepColumn(step, name) for name in self.columns[step]]

    def upstream(self, start: StepColumn) -> list[Arrow]:
        """Return all edges that lead to a column, the nearest first."""
        return _reachable(self.arrows.get(start, ()), lambda arrow: self.arrows.get(arrow.source, ()))

    def origins(self, start: StepColumn) -> dict[StepColumn, str]:
        """Return the source columns of a column with their kinds; of several paths, the weakest kind."""
        kinds = _spread_kinds(
            {start: KINDS[0]}, {arrow.target: self.arrows[arrow.target] for arrow in self.upstream(start)}, up=True
        )
        return {column: kinds[column] for column in sorted(kinds) if not self.inputs[column.step]}

    def row_origins(self, step: str) -> list[StepColumn]:
        """Return the source columns that decide which rows a step returns, directly or through upstream steps."""
        deciding = {column for name in self.above(step) for column in self.deciding.get(name, ())}
        return sorted({origin for column in deciding for origin in self.origins(column)})

    def above(self, step: str) -> list[str]:
        """Return a step and all upstream steps."""
        return _reachable([step], lambda name: self.inputs.get(name, ()))

    def reached(self, starts: Mapping[StepColumn, str], steps: Iterable[str] = ()) -> Reached:
        """Return what columns affect, including themselves; of several paths to a column, the weakest kind.

        `starts` are columns with their initial kind, `steps` those whose rows are affected initially.
        """
        downward: dict[StepColumn, list[Arrow]] = {}
        for arrow in (arrow for arrows in self.arrows.values() for arrow in arrows):
            downward.setdefault(arrow.source, []).append(arrow)
        kinds = _spread_kinds(starts, downward, up=False)
        decided = [step for step, columns in self.deciding.items() if not kinds.keys().isdisjoint(columns)]
        readers: dict[str, list[str]] = {}
        for step, sources in self.inputs.items():
            for source in sources:
                readers.setdefault(source, []).append(step)
        return Reached(kinds, frozenset(_reachable([*steps, *decided], lambda name: readers.get(name, ()))))


def read_lineage(manifest: Manifest) -> Lineage:
    """Return the column lineage of a plan.

    For a step without lineage, every output column may derive from every input column, and each may decide its rows.
    """
    columns: dict[str, tuple[str, ...]] = {}
    inputs = {step["id"]: tuple(sorted(set(step["inputs"].values()))) for step in manifest.steps}
    arrows: dict[StepColumn, tuple[Arrow, ...]] = {}
    deciding: dict[str, tuple[StepColumn, ...]] = {}
    for step in manifest.steps:
        name = step["id"]
        read = [StepColumn(source, column) for source in inputs[name] for column in columns[source]]
        columns[name] = tuple(column for _, column in read) if step["mode"] == "write" else _names(step)
        by_name = defaultdict[str, list[StepColumn]](list)
        for column in read:
            by_name[column.name].append(column)
        arrows |= {StepColumn(name, each): _arrows(step, each, by_name) for each in columns[name]}
        deciding[name] = _deciding(step, read)
    return Lineage(columns, inputs, arrows, deciding)


def label_of(step: Mapping[str, JsonValue], connections: Mapping[str, JsonValue]) -> str:
    """Return a readable name of what a step reads or writes: a path, `@family.alias.table`, or its id.

    `connections` has the fields of each as written. A path is relative to the project and includes the connection's
    base folder; variables in it are not resolved. The path of a published folder ends with a slash.
    """
    config, connection = step["config"], step["connection"]
    path, table = config.get("path"), config.get("table")
    if isinstance(path, str):
        fields = connections.get(connection, {})
        url = stored_as(path, connection, fields)
        if url:
            return str(url)
        base = fields.get("base_dir") or ""
        joined = join(base, local_path(path))
        return (normpath(joined) + "/" * path.endswith("/")) if as_names(base) == base else joined
    if isinstance(table, str):
        schema = config.get("schema")
        parts = (connection or f"@{step['component']}", None if schema in UNNAMED_SCHEMAS else schema, table)
        return ".".join(str(part) for part in parts if part)
    return f"{connection or step['component']} ({step['id']})"


def labels_of(manifest: Manifest) -> dict[str, str]:
    """Return the label (`label_of`) of each step of a plan."""
    return {step["id"]: label_of(step, manifest.data["connections"]) for step in manifest.steps}


def source_name(label: str, column: str) -> str:
    """Return the readable name of a source column: `PATH#column` or `@family.alias.table.column`."""
    return f"{label}{'.' if label.startswith('@') else '#'}{column}"


def _names(step: Mapping[str, JsonValue]) -> tuple[str, ...]:
    return tuple(column["name"] for column in step["schema"] or ())


def _arrows(step: Mapping[str, JsonValue], column: str, read: Mapping[str, list[StepColumn]]) -> tuple[Arrow, ...]:
    """Return the edges into a column of a step; `read` are the columns of its inputs, by name."""
    target = StepColumn(step["id"], column)
    if step["mode"] == "write":
        return tuple(Arrow(source, target, "copy") for source in read[column])
    lineage = step.get("lineage")
    if lineage is None:
        return tuple(Arrow(source, target, "unknown") for each in read.values() for source in each)
    return tuple(
        Arrow(StepColumn(source, name), target, kind) for source, name, kind in lineage["columns"].get(column, ())
    )


def _deciding(step: Mapping[str, JsonValue], read: list[StepColumn]) -> tuple[StepColumn, ...]:
    lineage = step.get("lineage")
    if lineage is not None:
        return tuple(StepColumn(source, name) for source, name in lineage["rows"])
    return tuple(read) if step["mode"] == "transform" else ()


def _spread_kinds(
    starts: Mapping[StepColumn, str], arrows: Mapping[StepColumn, Iterable[Arrow]], *, up: bool
) -> dict[StepColumn, str]:
    """Return all columns that edges lead to, each with the weakest kind on any path."""
    kinds = dict(starts)
    left = deque(kinds)
    while left:
        column = left.popleft()
        for arrow in arrows.get(column, ()):
            further = arrow.source if up else arrow.target
            kind = max(kinds[column], arrow.kind, key=KINDS.index)
            if further not in kinds or KINDS.index(kind) > KINDS.index(kinds[further]):
                kinds[further] = kind
                left.append(further)
    return kinds


def _reachable(starts: Iterable[_Node], following: Callable[[_Node], Iterable[_Node]]) -> list[_Node]:
    """Return all nodes reachable from `starts`, the nearest first."""
    reached = dict.fromkeys(starts)
    left = deque(reached)
    while left:
        for each in following(left.popleft()):
            if each not in reached:
                reached[each] = None
                left.append(each)
    return list(reached)


@dataclass(frozen=True, slots=True)
class StepImpact:
    """The affected columns of a step, each with its kind, and whether its choice of rows is affected.

    `target` is the label of a writer's target.
    """

    step: str
    target: str | None
    columns: Mapping[str, str]
    rows: bool


@dataclass(frozen=True, slots=True)
class PipelineImpact:
    """The affected steps of one pipeline."""

    name: str
    fingerprint: str
    steps: tuple[StepImpact, ...]


class Read(NamedTuple):
    """A read step and its sources: one, or, for a query (`queried`), tables of which the columns used are unknown."""

    step: str
    sources: tuple[str, ...]
    queried: bool = False

    def matches(self, source: str) -> bool:
        """Return whether this step reads a source; that of a folder, which ends with a slash, also by a file in it."""
        if source.endswith("/") and any(label.startswith(source) for label in self.sources):
            return True
        return any(_is_named(fold_label(label), fold_label(source)) for label in self.sources)


class Flow(NamedTuple):
    """What the steps of a pipeline read, and the labels of what they write, by step."""

    reads: tuple[Read, ...]
    writes: Mapping[str, str]

    def feeds(self, other: Flow) -> bool:
        """Return whether another pipeline reads what this one writes."""
        return any(read.matches(label) for label in self.writes.values() for read in other.reads)


@dataclass(frozen=True, slots=True)
class FlowingPlan:
    """A plan prepared for impact analysis: its lineage, read steps, and labels of targets by write step."""

    name: str
    fingerprint: str
    lineage: Lineage
    reads: tuple[Read, ...]
    writes: Mapping[str, str]


@dataclass(slots=True)
class _Hit:
    """What is affected of a source or target so far: columns, and its choice of rows."""

    columns: dict[str, str] = field(default_factory=dict)
    rows: bool = False


def read_plan(manifest: Manifest) -> FlowingPlan:
    """Return a manifest prepared for impact analysis."""
    flow = flow_of(manifest.steps, manifest.data["connections"])
    return FlowingPlan(manifest.name, manifest.fingerprint, read_lineage(manifest), *flow)


def flow_of(steps: Iterable[Mapping[str, JsonValue]], connections: Mapping[str, JsonValue]) -> Flow:
    """Return what steps read and write; they are as in a plan, with `connections` as for `label_of`."""
    listed = list(steps)
    return Flow(
        tuple(_read(step, connections) for step in listed if step["mode"] == "read"),
        {step["id"]: label_of(step, connections) for step in listed if step["mode"] == "write"},
    )


def lock_plan(columns: Mapping[str, Iterable[str]]) -> FlowingPlan:
    """Return a plan that only reads these sources, for columns known from elsewhere."""
    names = {source: tuple(listed) for source, listed in columns.items()}
    reads = tuple(Read(source, (source,)) for source in names)
    return FlowingPlan("", "", Lineage(names, dict.fromkeys(names, ())), reads, {})


def known_sources(plans: Iterable[FlowingPlan]) -> dict[str, set[str]]:
    """Return the sources that the plans read, each with its known columns."""
    sources: dict[str, set[str]] = defaultdict(set)
    for plan in plans:
        for read in plan.reads:
            for label in read.sources:
                sources[label].update(() if read.queried else plan.lineage.columns[read.step])
    return dict(sources)


def find_source(plans: Sequence[FlowingPlan], text: str) -> tuple[str, str | None] | None:
    """Return the source and column named by `PATH#column` or `@family.alias.table.column`; None if no plan reads it.

    The column is None if the text names only a source. A query may read any column of its tables.
    """
    mark = "." if text.startswith("@") else "#"
    cuts = [index for index, char in enumerate(text) if char == mark]
    readings = [(text, None), *((text[:cut], text[cut + 1 :]) for cut in reversed(cuts))]
    return next((reading for reading in readings if any(_knows(plan, *reading) for plan in plans)), None)


def trace_impact(plans: Sequence[FlowingPlan], source: str, column: str | None) -> tuple[PipelineImpact, ...]:
    """Return what a source, or one of its columns, affects in each plan, also through the targets of other plans."""
    first = fold_label(source)
    hits = {first: _Hit(_first_columns(plans, source, column), rows=column is None)}
    impacts: dict[int, PipelineImpact] = {}
    changed = deque([first])
    while changed:
        hit = changed.popleft()
        for number, plan in enumerate(plans):
            if any(read.matches(hit) for read in plan.reads):
                impacts[number] = _walk(plan, hits)
                changed += (target for target in _record_hits(impacts[number], hits) if target not in changed)
    return tuple(impacts[number] for number in sorted(impacts) if impacts[number].steps)


class SourceColumn(NamedTuple):
    """A column of a source or target, by its label; `column` is None where a query reads columns that are unknown."""

    source: str
    column: str | None


class MadeOf(NamedTuple):
    """How a step of a pipeline makes a column of its target: of which source columns, each with its kind.

    `rows` are the source columns that decide which rows there are.
    """

    pipeline: str
    step: str
    target: SourceColumn
    sources: tuple[tuple[SourceColumn, str], ...]
    rows: tuple[SourceColumn, ...]


def trace_origins(plans: Sequence[FlowingPlan], source: str, column: str) -> list[MadeOf]:
    """Return how a column of a source is made by the plans that write it, then how what it is made of is made.

    The nearest come first. Nothing is known of a column that no plan writes.
    """
    writers = [(plan, step, label) for plan in plans for step, label in plan.writes.items()]

    def made(at: SourceColumn) -> list[MadeOf]:
        read, name = Read("", (at.source,)), at.column
        if name is None:
            return []
        feeding = ((plan, step, label) for plan, step, label in writers if read.matches(label))
        return [each for plan, step, label in feeding for each in _made_of(plan, step, label, name)]

    first = made(SourceColumn(source, column))
    return _reachable(first, lambda each: (further for at, _ in each.sources for further in made(at)))


def _made_of(plan: FlowingPlan, step: str, label: str, column: str) -> Iterator[MadeOf]:
    """Yield how a step makes the column of that name, in any case that is the same to its target."""
    reads = {read.step: read for read in plan.reads}
    for each in plan.lineage.of(step):
        if fold_column(label, each.name) == fold_column(label, column):
            origins = plan.lineage.origins(each).items()
            sources = ((at, kind) for origin, kind in origins for at in _read_columns(reads, origin))
            rows = (at for origin in plan.lineage.row_origins(step) for at in _read_columns(reads, origin))
            target = SourceColumn(label, each.name)
            yield MadeOf(plan.name, step, target, tuple(dict.fromkeys(sources)), tuple(dict.fromkeys(rows)))


def _read_columns(reads: Mapping[str, Read], column: StepColumn) -> list[SourceColumn]:
    """Return the columns of sources that a column without inputs may be; none for one that a step computes."""
    read = reads.get(column.step)
    return [SourceColumn(label, None if read.queried else column.name) for label in read.sources] if read else []


def _read(step: Mapping[str, JsonValue], connections: Mapping[str, JsonValue]) -> Read:
    from osiris.sql import check
    from osiris.sql.safety.dialects import DIALECTS

    listed = (connections.get(step["connection"]) or {}).get("functions") or ()
    verdicts = [
        check(step["config"][key], dialect, relations=None, functions=DIALECTS[dialect].homes_of(listed))
        for key, dialect in step["sql"].items()
    ]
    tables = sorted({table for verdict in verdicts for table in verdict.relations})
    named = (table.rpartition(".") for table in tables)
    configs = ({**step["config"], "schema": schema or None, "table": table} for schema, _, table in named)
    queried = (label_of({**step, "config": config}, connections) for config in configs)
    return Read(step["id"], tuple(queried) or (label_of(step, connections),), queried=bool(verdicts))


def _is_named(label: str, source: str) -> bool:
    """Return whether a step's label is a source, or a path pattern that matches it."""
    if label.startswith("@") or not any(mark in label for mark in "*?["):
        return label == source
    if "**" in label:
        return fnmatchcase(source, label)
    return label.count("/") == source.count("/") and PurePosixPath(source).match(label)


@lru_cache(maxsize=1 << 14)
def fold_label(source: str) -> str:
    """Return the normalized name of a source: without a trailing slash, and lower case where the family folds case.

    The alias of a connection is case-sensitive.
    """
    source = source.removesuffix("/")
    family, *rest = source.removeprefix("@").split(".", 2)
    if not source.startswith("@") or len(rest) < 2:
        return source
    return f"@{family}.{rest[0]}.{family_of_connection(source).fold(rest[1])}"


def fold_column(source: str, column: str) -> str:
    """Return the normalized name of a column of a source: lower case where the family folds case."""
    return family_of_connection(source).fold(column) if source.startswith("@") else column


def _knows(plan: FlowingPlan, source: str, column: str | None) -> bool:
    reads = [read for read in plan.reads if read.matches(source)]
    folded = None if column is None else fold_column(source, column)
    return any(
        folded is None or read.queried or folded in {fold_column(source, c) for c in plan.lineage.columns[read.step]}
        for read in reads
    )


def _first_columns(plans: Iterable[FlowingPlan], source: str, column: str | None) -> dict[str, str]:
    if column is not None:
        return {fold_column(source, column): KINDS[0]}
    reads = ((plan, read.step) for plan in plans for read in plan.reads if read.matches(source))
    return {fold_column(source, name): KINDS[0] for plan, step in reads for name in plan.lineage.columns[step]}


def _walk(plan: FlowingPlan, hits: Mapping[str, _Hit]) -> PipelineImpact:
    """Return what is affected in one plan by all hits so far."""
    starts: dict[StepColumn, str] = {}
    decided = set()
    for read in plan.reads:
        for source, hit in ((source, hit) for source, hit in hits.items() if read.matches(source)):
            decided |= {read.step} if hit.rows or read.queried else set()
            for column in plan.lineage.of(read.step):
                kind = KINDS[-1] if read.queried else hit.columns.get(fold_column(source, column.name))
                if kind is not None:
                    starts[column] = _weaker(kind, starts.get(column))
    return _impact(plan, plan.lineage.reached(starts, decided))


def _impact(plan: FlowingPlan, reached: Reached) -> PipelineImpact:
    steps = []
    for step in plan.lineage.columns:
        columns = {c.name: reached.columns[c] for c in plan.lineage.of(step) if c in reached.columns}
        if columns or step in reached.rows:
            steps.append(StepImpact(step, plan.writes.get(step), columns, step in reached.rows))
    return PipelineImpact(plan.name, plan.fingerprint, tuple(steps))


def _record_hits(impact: PipelineImpact, hits: dict[str, _Hit]) -> Iterator[str]:
    """Add the affected targets of a plan to `hits`; yields those that changed."""
    for step in impact.steps:
        if step.target is not None:
            name = fold_label(step.target)
            hit = hits.get(name, _Hit())
            kinds = {fold_column(step.target, column): kind for column, kind in step.columns.items()}
            columns = {column: _weaker(kind, hit.columns.get(column)) for column, kind in kinds.items()}
            hits[name] = _Hit(hit.columns | columns, hit.rows or step.rows)
            if hits[name] != hit:
                yield name


def _weaker(kind: str, other: str | None) -> str:
    return max(kind, other or kind, key=KINDS.index)
