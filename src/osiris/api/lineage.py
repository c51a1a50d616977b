"""Traces the lineage of columns, and the impact of a column, table or file, across all pipelines of a project."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from osiris.api.pipelines import compile_file, declared_names, validate_file
from osiris.api.workspace import find_plan, load_plan, pipelines, shown
from osiris.compare.differences import diff, is_derived
from osiris.compare.lineage import (
    PipelineImpact,
    StepColumn,
    find_source,
    known_sources,
    label_of,
    labels_of,
    lock_plan,
    read_lineage,
    read_plan,
    source_name,
    trace_impact,
)
from osiris.errors import Diagnostic, OsirisError, diagnostic, did_you_mean, fail
from osiris.lock import load_lock
from osiris.model import Described, schema_from_json
from osiris.oml.params import param_text
from osiris.report.result import Shown, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.api.pipelines import Names, Validated
    from osiris.api.workspace import Workspace
    from osiris.compare.differences import Difference
    from osiris.compare.lineage import Arrow, Lineage
    from osiris.compiler.context import Prepared
    from osiris.compiler.manifest import PlanFile
    from osiris.model import Field, JsonValue, Manifest
    from osiris.report.result import ShownTable

BROKEN = "it has errors, so no plan can be compared with it"
_VERSION_LEAVES = ("compiler", "engines")


def newest_plans(workspace: Workspace) -> tuple[list[Manifest], list[Diagnostic]]:
    """Return the newest plan of each pipeline, and CMP040 for each file without a plan, or changed since.

    Sources are not queried, so schema drift is not detected.
    """
    plans, notes = _load(workspace)
    names = declared_names(workspace)
    for path in pipelines(workspace, strict=False):
        file = shown(workspace, path)
        if problem := check_plan(workspace, path, plans, names=names)[1]:
            hint = f"run 'osiris validate {file}'" if problem == BROKEN else None
            notes.append(diagnostic("CMP040", file=file, problem=problem, hint=hint))
    return list(plans.values()), notes


def _load(workspace: Workspace) -> tuple[dict[str, Manifest], list[Diagnostic]]:
    """Return the newest readable plans, by pipeline, and a warning for each unreadable one."""
    plans: dict[str, Manifest] = {}
    notes: list[Diagnostic] = []
    for name, file in newest_files(workspace).items():
        plan = read_newest(workspace, name, file)
        if isinstance(plan, Diagnostic):
            notes.append(plan)
        else:
            plans[name] = plan
    return plans, notes


def newest_files(workspace: Workspace) -> dict[str, PlanFile]:
    """Return the newest plan file of each pipeline, by name, sorted."""
    from osiris.compiler.manifest import find_manifests

    times = {file: file.path.stat().st_mtime_ns for file in find_manifests(workspace.project)}
    newest = {file.path.parent.parent.name: file for file in sorted(times, key=lambda file: (times[file], file))}
    return dict(sorted(newest.items()))


def read_newest(workspace: Workspace, name: str, file: PlanFile) -> Manifest | Diagnostic:
    """Return the plan of a file, or the warning CMP040 if it cannot be read."""
    try:
        return load_plan(workspace, file, allow_drift=True)[0]
    except OsirisError as error:
        problem = "; ".join(item.message for item in error.diagnostics)
        where = shown(workspace, file.path)
        return diagnostic("CMP040", file=where, problem=problem, hint=f"compile pipeline '{name}' again")


def check_plan(
    workspace: Workspace,
    path: Path,
    plans: Mapping[str, Manifest],
    text: str | None = None,
    names: Names | None = None,
) -> tuple[Validated, str | None]:
    """Return how a file is validated, and why its plan, of these by name, does not match its text; None if it does.

    A `text` is checked as if it were the file; `names` are as for `validate_file`.
    """
    checked = validate_file(workspace, path, params={}, text=text, names=names)
    if checked.prepared is None:
        return checked, BROKEN
    plan = plans.get(checked.prepared.pipeline.name)
    if plan is None:
        return checked, f"pipeline '{checked.name}' has no plan; run 'osiris compile' first"
    given = {name: param_text(value) for name, value in plan.data["params"].items()}
    again = validate_file(workspace, path, params=given, text=text, names=names)
    change = next(_changes(plan, again.prepared), None) if again.prepared else "its parameters differ"
    return checked, f"it was edited after its plan {plan.short} was compiled ({change})" if change else None


def _changes(plan: Manifest, prepared: Prepared) -> Iterator[str]:
    """Yield the differences between a plan and one compiled from the current text with the plan's schemas."""
    from osiris.compiler.compile import compile_pipeline

    steps = {step["id"]: step for step in plan.steps}
    if differing := sorted({step.id for step in prepared.pipeline.steps} ^ steps.keys()):
        yield f"only one of them has step '{differing[0]}'"
        return
    described = {
        name: Described(None if step["schema"] is None else schema_from_json(step["schema"]), step["order"])
        for name, step in steps.items()
    }
    fresh = compile_pipeline(prepared, described)
    yield from (str(item) for item in diff(plan, fresh) if _is_of_text(item, prepared))


def _is_of_text(item: Difference, prepared: Prepared) -> bool:
    """Return whether a difference is caused by the text of a pipeline.

    A plan knows only the columns that it reads, so pruned columns and derived parts cannot be compared.
    """
    pruned = (f"steps/{s.id}/config/columns" for s in prepared.pipeline.steps if "columns" not in s.config)
    return item.leaf not in _VERSION_LEAVES and not is_derived(item) and item.path not in pruned


@dataclass(frozen=True, slots=True)
class Origin:
    """A source column with its readable name (`data/x.csv#a`, `@family.alias.table.a`), and how it is used."""

    source: str
    step: str
    column: str
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class TracedColumn:
    """A column, its source columns, and all edges that lead to it, the nearest first."""

    name: str
    origins: tuple[Origin, ...]
    arrows: tuple[Arrow, ...]


@dataclass(frozen=True, slots=True)
class TracedStep:
    """Columns of a step, and the source columns that decide its rows; `target` is the label of a writer's target."""

    step: str
    target: str | None
    columns: tuple[TracedColumn, ...]
    rows: tuple[Origin, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Traced(Shown):
    """The lineage of every writer, of one step, or of one column.

    Each of the `steps` has `columns`, each of these `origins`, and an origin has `source`, `step`, `column` and `kind`.
    """

    name: str
    fingerprint: str
    column: str | None
    steps: tuple[TracedStep, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as JSON; an arrow is `[[step, column], [step, column], kind]`."""
        return asdict(self)

    def _title(self) -> str:
        return f"lineage of {self.name} {self.fingerprint[:12]}"

    def _tables(self) -> Sequence[ShownTable]:
        return [
            table_of(("column", "made of"), [(column.name, _made_of(column)) for column in step.columns], step.step)
            for step in self.steps
        ]


def _made_of(column: TracedColumn) -> str:
    return ", ".join(f"{origin.source} ({origin.kind})" for origin in column.origins) or "no column"


def trace(workspace: Workspace, what: str | None, target: str | None) -> Traced:
    """Return the lineage of STEP or STEP.COLUMN, or of all writers, in a plan, a pipeline, or the last compiled plan.

    Fails with CMP042 or DAT005 if the plan has no such step or column.
    """
    manifest = _plan(workspace, target)
    lineage = read_lineage(manifest)
    labels = labels_of(manifest)
    writers: dict[str, str | None] = dict.fromkeys(step["id"] for step in manifest.steps if step["mode"] == "write")
    selected = [_step_and_column(manifest, lineage, what)] if what else list(writers.items())
    steps = tuple(
        TracedStep(
            step=step,
            target=labels[step] if step in writers else None,
            columns=_traced_columns(lineage, labels, step, name),
            rows=tuple(_origin(labels, origin) for origin in lineage.row_origins(step)),
        )
        for step, name in selected
    )
    return Traced(manifest.name, manifest.fingerprint, selected[0][1] if what else None, steps)


def _plan(workspace: Workspace, target: str | None) -> Manifest:
    from osiris.compiler.manifest import last_compiled

    file = find_plan(workspace, target) if target else last_compiled(workspace.project)
    if file is None:
        return compile_file(workspace, str(target), params={}).manifest
    return load_plan(workspace, file, allow_drift=True)[0]


def _step_and_column(manifest: Manifest, lineage: Lineage, what: str) -> tuple[str, str | None]:
    """Return the step and column named by a text; both may contain dots."""
    steps = [name for name in lineage.columns if what == name or what.startswith(f"{name}.")]
    if not steps:
        step = what.partition(".")[0]
        fail("CMP042", plan=manifest.name, step=step, hint=did_you_mean(step, lineage.columns))
    step = max(steps, key=len)
    column = what[len(step) + 1 :] or None
    if column is not None and column not in lineage.columns[step]:
        fail("DAT005", column=column, where=f"step '{step}'", hint=did_you_mean(column, lineage.columns[step]))
    return step, column


def _traced_columns(
    lineage: Lineage, labels: Mapping[str, str], step: str, name: str | None
) -> tuple[TracedColumn, ...]:
    return tuple(_traced(lineage, labels, column) for column in lineage.of(step) if name in (None, column.name))


def _traced(lineage: Lineage, labels: Mapping[str, str], column: StepColumn) -> TracedColumn:
    origins = [_origin(labels, origin, kind) for origin, kind in lineage.origins(column).items()]
    return TracedColumn(column.name, tuple(origins), tuple(lineage.upstream(column)))


def _origin(labels: Mapping[str, str], column: StepColumn, kind: str | None = None) -> Origin:
    return Origin(source_name(labels[column.step], column.name), column.step, column.name, kind)


@dataclass(frozen=True, slots=True)
class Impact:
    """What a source, or one of its columns, affects, also through the targets of pipelines read by others."""

    source: str
    column: str | None
    pipelines: tuple[PipelineImpact, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def name(self) -> str:
        """The readable name of the source or column."""
        return self.source if self.column is None else source_name(self.source, self.column)

    def to_json(self) -> dict[str, JsonValue]:
        """Return source, column and affected pipelines as JSON."""
        pipelines = [asdict(pipeline) for pipeline in self.pipelines]
        return {"source": self.source, "column": self.column, "pipelines": pipelines}


def find_impact(workspace: Workspace, what: str) -> Impact:
    """Return what `@family.alias.table.column`, `PATH#column`, a table or a file affects.

    Nothing is compiled: the newest plan of each pipeline is read, and CMP040 lists files without a plan, or changed
    since. Fails with CMP041 if neither a plan nor osiris.lock knows the source.
    """
    manifests, notes = newest_plans(workspace)
    plans = [read_plan(manifest) for manifest in manifests]
    pins = {label: [column.name for column in columns] for label, columns in pinned_columns(workspace).items()}
    all_plans = [*plans, lock_plan(pins)]
    match = find_source(all_plans, what)
    if match is None:
        sources = known_sources(all_plans)
        columns = (source_name(label, column) for label, names in sources.items() for column in names)
        fail("CMP041", what=what, hint=did_you_mean(what, [*sources, *columns]))
    source, column = match
    return Impact(source, column, trace_impact(plans, source, column), tuple(notes))


def pinned_columns(workspace: Workspace) -> dict[str, list[Field]]:
    """Return the columns of all files and tables in osiris.lock, by label, including those that no plan reads."""
    fields = workspace.declared()
    columns: dict[str, list[Field]] = {}
    pins = load_lock(workspace.project).items()
    for key, pin in ((key, pin) for key, pin in pins if {"path", "table"} & pin.source.config.keys()):
        step = {"id": key[:12], "config": pin.source.config, "connection": pin.source.connection, "component": ""}
        columns.setdefault(label_of(step, fields), []).extend(pin.schema)
    return columns
