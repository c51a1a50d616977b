"""The catalogue of a project: what its pipelines read and write, with columns, types and lineage across pipelines.

Nothing is queried or compiled: columns come from osiris.lock and the newest plan of each pipeline.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from osiris.api.feeding import flowing_steps
from osiris.api.lineage import BROKEN, check_plan, newest_files, pinned_columns
from osiris.api.pipelines import declared_names, read_pipeline, validate_file
from osiris.api.workspace import pipelines, shown
from osiris.compare.lineage import (
    FlowingPlan,
    Lineage,
    Read,
    flow_of,
    fold_column,
    fold_label,
    read_plan,
    trace_impact,
    trace_origins,
)
from osiris.errors import OsirisError
from osiris.files import file_state
from osiris.model import Field, schema_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from osiris.api.pipelines import Names
    from osiris.api.workspace import Workspace
    from osiris.compare.lineage import MadeOf, PipelineImpact
    from osiris.errors import Diagnostic
    from osiris.files import FileState
    from osiris.model import Manifest, Schema

LOCK = "osiris.lock"
_NO_PLAN = "it has no plan yet; run 'osiris compile {}' for its columns"
_NO_FILE = "its file is no longer in pipelines/; the plan in build/ is all that is left"
_UNREADABLE = "its newest plan cannot be read; run 'osiris compile {}' again"

_PATTERN = re.compile(r"[*?\[]")
_LAST = "\U0010ffff"

Flows = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]


class KnownColumn(NamedTuple):
    """A column: its name, its types (several if readers see it differently), and whether it may contain NULL.

    `known_from` is `osiris.lock` or the pipeline whose plan has it.
    """

    name: str
    types: tuple[str, ...]
    nullable: bool
    known_from: str


class Use(NamedTuple):
    """A step of a pipeline that reads or writes a dataset; a query (`queried`) may read any of its columns."""

    pipeline: str
    step: str
    queried: bool = False


@dataclass(frozen=True, slots=True)
class KnownPipeline:
    """A pipeline: its file (None if it was removed), the fingerprint of its plan (None without one), and its flow.

    `problem` says why its plan does not match its file; None if it does.
    """

    name: str
    file: str | None
    fingerprint: str | None
    plan: FlowingPlan
    problem: str | None
    schemas: Mapping[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A source or target, by its label (`compare.lineage.label_of`), with all columns that are known of it."""

    label: str
    columns: tuple[KnownColumn, ...]
    readers: tuple[Use, ...]
    writers: tuple[Use, ...]

    @property
    def role(self) -> str:
        """Whether pipelines read it (`source`), write it (`target`), or both (`source and target`)."""
        roles = ("source", self.readers), ("target", self.writers)
        return " and ".join(role for role, uses in roles if uses) or "source"

    def column(self, name: str) -> KnownColumn | None:
        """Return a column by its name, in any case that is the same to the source; None if there is none."""
        folded = fold_column(self.label, name)
        return next((each for each in self.columns if fold_column(self.label, each.name) == folded), None)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All datasets by folded label, all pipelines by name, and what could not be read.

    `flows` are the labels that each pipeline reads and writes, by its name. A step that reads a pattern or a folder
    reads all datasets that match it.
    """

    datasets: Mapping[str, Dataset]
    pipelines: Mapping[str, KnownPipeline]
    flows: Flows
    diagnostics: tuple[Diagnostic, ...]

    def find(self, label: str) -> Dataset | None:
        """Return a dataset by its label; None if there is none."""
        return self.datasets.get(fold_label(label))

    def origins(self, label: str, column: str) -> list[MadeOf]:
        """Return where a column comes from: how each pipeline makes it, the nearest first."""
        return trace_origins(self._plans(), label, column)

    def impact(self, label: str, column: str | None) -> tuple[PipelineImpact, ...]:
        """Return where a column, or the whole dataset, goes to: the affected steps of each pipeline."""
        return trace_impact(self._plans(), label, column)

    def _plans(self) -> list[FlowingPlan]:
        return [pipeline.plan for pipeline in self.pipelines.values()]


class CatalogueReader:
    """Reads the catalogue; plans and files that did not change since the last time are not read again.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._workspace: Workspace | None = None
        self._plans: dict[Path, tuple[FileState, _Plan | None]] = {}
        self._files: dict[Path, tuple[object, _File]] = {}
        self._last: tuple[object, Catalogue] | None = None

    def read(self, workspace: Workspace) -> Catalogue:
        """Return the catalogue; files that cannot be read are among its diagnostics."""
        with self._lock:
            if workspace is not self._workspace:  # settings and connections are new: what was checked may differ
                self._workspace, self._plans, self._files, self._last = workspace, {}, {}, None
            plans = {name: (file.path, self._plan(file.path)) for name, file in newest_files(workspace).items()}
            paths = pipelines(workspace, strict=False)
            names = declared_names(workspace)
            files = [self._file(workspace, path, plans, names) for path in paths]
            read = [self._plans[path][0] for path, _ in plans.values()], [self._files[path][0] for path in paths]
            state = (list(plans), paths, read, file_state(workspace.project.lock_file))
            if self._last is None or self._last[0] != state:
                self._last = state, _catalogue(workspace, {each.name: each for each in _states(plans, files)}, files)
            return self._last[1]

    def _plan(self, path: Path) -> _Plan | None:
        stamp, before = file_state(path), self._plans.get(path)
        if before is None or before[0] != stamp:
            before = self._plans[path] = stamp, _read_plan(path)
        return before[1]

    def _file(
        self, workspace: Workspace, path: Path, plans: Mapping[str, tuple[Path, _Plan | None]], names: Names
    ) -> _File:
        before = self._files.get(path)
        if before is None or before[0] != _key(path, before[1].name, plans):
            read = _read_file(workspace, path, plans, names)
            before = self._files[path] = _key(path, read.name, plans), read
        return before[1]


def _catalogue(workspace: Workspace, states: Mapping[str, KnownPipeline], files: Iterable[_File]) -> Catalogue:
    notes = [problem for file in files for problem in file.diagnostics]
    pins: dict[str, list[Field]] = {}
    try:
        pins = pinned_columns(workspace)
    except OsirisError as error:
        notes += error.diagnostics
    datasets = _datasets(states, pins)
    return Catalogue(datasets, states, _flows(datasets, states), tuple(dict.fromkeys(notes)))


def _flows(datasets: Mapping[str, Dataset], states: Mapping[str, KnownPipeline]) -> Flows:
    written = sorted(each.label for each in datasets.values() if each.writers)
    folders = [label for label in written if label.endswith("/")]

    def read_by(read: Read) -> Iterator[str]:
        yield from (datasets[fold_label(label)].label for label in read.sources)
        yield from (label for label in folders if read.matches(label))
        for prefix in (_PATTERN.split(label, maxsplit=1)[0] for label in read.sources if _is_pattern(label)):
            near = written[bisect_left(written, prefix) : bisect_right(written, prefix + _LAST)]
            yield from (label for label in near if read.matches(label))

    return {
        name: (
            tuple(dict.fromkeys(label for read in each.plan.reads for label in read_by(read))),
            tuple(dict.fromkeys(datasets[fold_label(label)].label for label in each.plan.writes.values())),
        )
        for name, each in states.items()
    }


def _is_pattern(label: str) -> bool:
    return not label.startswith("@") and bool(_PATTERN.search(label))


class _Plan(NamedTuple):
    manifest: Manifest
    flow: FlowingPlan
    schemas: Mapping[str, Schema]


class _File(NamedTuple):
    """A file of pipelines/: the name of its pipeline, why its plan does not match, and the steps where it has none."""

    file: str
    name: str
    problem: str | None = None
    flow: FlowingPlan | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


def _key(path: Path, name: str, plans: Mapping[str, tuple[Path, object]]) -> object:
    """Return what changes when a file has to be read again."""
    plan = plans[name][0] if name in plans else None
    return file_state(path), plan, plan and file_state(plan)


def _read_plan(path: Path) -> _Plan | None:
    from osiris.compiler.manifest import read_shaped

    manifest = read_shaped(path)
    return _Plan(manifest, read_plan(manifest), _schemas(manifest)) if manifest else None


def _schemas(manifest: Manifest) -> dict[str, Schema]:
    """Return the columns of each step; those of a writer are those of its inputs."""
    schemas: dict[str, Schema] = {}
    for step in manifest.steps:
        above = (column for name in sorted(set(step["inputs"].values())) for column in schemas[name])
        is_writer = step["mode"] == "write"
        schemas[step["id"]] = tuple(above) if is_writer else schema_from_json(step["schema"] or [])
    return schemas


def _read_file(workspace: Workspace, path: Path, plans: Mapping[str, tuple[Path, _Plan | None]], names: Names) -> _File:
    file = shown(workspace, path)
    try:
        name = read_pipeline(workspace, path)[1].name
    except OsirisError as error:
        return _File(file, path.stem, BROKEN, diagnostics=error.diagnostics)
    plan_path, plan = plans.get(name, (None, None))
    if plan_path is None or plan is None:
        problem = (_UNREADABLE if plan_path else _NO_PLAN).format(file)
        return _without_plan(workspace, path, _File(file, name, problem), names)
    if (file_state(path) or (0,))[0] <= (file_state(plan_path) or (0,))[0]:
        return _File(file, name)
    checked, mismatch = check_plan(workspace, path, {name: plan.manifest}, names=names)
    errors = tuple(each for each in checked.diagnostics if each.severity == "error")
    return _File(file, name, mismatch, diagnostics=errors)


def _without_plan(workspace: Workspace, path: Path, file: _File, names: Names) -> _File:
    """Return a file with what its steps read and write; nothing is known of columns."""
    checked = validate_file(workspace, path, params={}, names=names)
    prepared = checked.prepared
    if prepared is None:
        return file._replace(problem=BROKEN, diagnostics=checked.diagnostics)
    steps = prepared.pipeline.steps
    flow = flow_of(flowing_steps(prepared), prepared.connections)
    nothing = Lineage({step.id: () for step in steps}, {step.id: tuple(step.inputs.values()) for step in steps})
    return file._replace(flow=FlowingPlan(file.name, "", nothing, *flow))


def _states(plans: Mapping[str, tuple[Path, _Plan | None]], files: Iterable[_File]) -> Iterator[KnownPipeline]:
    """Yield all pipelines, sorted by name; the plan is what is shown of one whose file has errors."""
    by_name = {file.name: file for file in files}
    for name in sorted({*plans, *by_name}):
        file, plan = by_name.get(name), plans.get(name, (None, None))[1]
        problem = file.problem if file else _NO_FILE
        where = file.file if file else None
        if plan:
            yield KnownPipeline(name, where, plan.manifest.fingerprint, plan.flow, problem, plan.schemas)
        elif file and file.flow:
            yield KnownPipeline(name, where, None, file.flow, problem)
        else:
            yield KnownPipeline(name, where, None, FlowingPlan(name, "", Lineage({}, {}), (), {}), problem)


def _datasets(states: Mapping[str, KnownPipeline], pins: Mapping[str, Iterable[Field]]) -> dict[str, Dataset]:
    """Return all datasets by folded label, sorted: what osiris.lock knows counts first, then writers, then readers."""
    labels: dict[str, str] = {}
    columns = defaultdict[str, list[tuple[str, Field]]](list)
    uses = defaultdict[tuple[str, str], list[Use]](list)

    def note(label: str, source: str, fields: Iterable[Field], use: tuple[str, Use] | None = None) -> None:
        key = fold_label(label)
        labels.setdefault(key, label)
        columns[key] += ((source, each) for each in fields)
        if use:
            uses[key, use[0]].append(use[1])

    for label, fields in pins.items():
        note(label, LOCK, fields)
    for name, each in states.items():
        for step, label in each.plan.writes.items():
            note(label, name, each.schemas.get(step, ()), ("write", Use(name, step)))
    for name, each in states.items():
        for read in each.plan.reads:
            for label in read.sources:
                fields = () if read.queried else each.schemas.get(read.step, ())
                note(label, name, fields, ("read", Use(name, read.step, read.queried)))
    return {
        key: Dataset(labels[key], _merged(columns[key], key), tuple(uses[key, "read"]), tuple(uses[key, "write"]))
        for key in sorted(labels)
    }


def _merged(columns: Iterable[tuple[str, Field]], label: str) -> tuple[KnownColumn, ...]:
    """Return columns with their names once, in the order in which they were found."""
    merged: dict[str, KnownColumn] = {}
    for source, each in columns:
        key = fold_column(label, each.name)
        before = merged.get(key)
        if before is None:
            merged[key] = KnownColumn(each.name, (each.type,), each.nullable, source)
        elif each.type not in before.types:
            merged[key] = before._replace(types=(*before.types, each.type))
    return tuple(merged.values())
