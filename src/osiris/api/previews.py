"""Previews a plan before anything is saved or written; for agents, with personal data masked.

Shows the first rows of steps, and describes the outputs of a plan: read back from the SQL, and measured within a time.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlglot.expressions import Expr

    from osiris.api.pipelines import Compiled
    from osiris.api.workspace import Workspace
    from osiris.compare.lineage import Lineage
    from osiris.compare.read_back import OutputText
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest
    from osiris.runner.adapter import Worker
    from osiris.runner.host.preview import Measured as Figures
    from osiris.runner.host.preview import PreviewRequest, Table
    from osiris.sql.explanation.probes import Probe

    Keys = Mapping[str, Sequence[Sequence[str]]]


LIMIT = 20
SAMPLE = 10_000

ROWS = 5
NOT_FOLLOWED = "not followed"
"""The kind of a column whose origin in the source is unknown."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The previewed tables, in plan order, and notes on the plan.

    `cut` are the sources of which only the first `sample` rows were read, `unchecked` the steps whose checks were not
    run, as they apply to all rows.
    """

    file: str
    plan: Manifest
    tables: Sequence[Table]
    cut: Sequence[str]
    sample: int
    unchecked: Sequence[str]
    diagnostics: tuple[Diagnostic, ...]


def preview(
    workspace: Workspace,
    file: str | Path,
    selection: str | None = None,
    *,
    params: Mapping[str, str],
    limit: int = LIMIT,
    sample: int = SAMPLE,
    text: str | None = None,
    worker: Worker | None = None,
) -> Preview:
    """Return the first `limit` rows of steps of a file, computed from the first `sample` rows per source (0: all).

    `selection` is as for `runner.selection.matching`; by default the input of the last writer, else the last step. For
    a writer, its input is shown. Nothing is saved or written. A `text` is used as if it were the file. `worker` reads;
    None starts one. Fails as compiling does, and with the problems of a failed step.
    """
    from osiris.runner.host.preview import PreviewRequest

    request = PreviewRequest([], limit, sample)
    return _preview(workspace, file, selection, request, params=params, text=text, worker=worker)


def preview_into(
    workspace: Workspace, file: str | Path, step: str | None, folder: Path, *, params: Mapping[str, str], sample: int
) -> Preview:
    """Preview one step as `preview` does, and leave its rows in a folder, as `STEP.arrow`: an Arrow stream.

    The file is named after the step of the only table. Fails with CMP042 if `step` selects several.
    """
    from osiris.runner.host.preview import PreviewRequest

    return _preview(workspace, file, step, PreviewRequest([], 0, sample, folder), params=params)


def _preview(
    workspace: Workspace,
    file: str | Path,
    selection: str | None,
    request: PreviewRequest,
    *,
    params: Mapping[str, str],
    text: str | None = None,
    worker: Worker | None = None,
) -> Preview:
    """Return the preview of a request whose steps are not known yet."""
    from osiris.api.pipelines import compile_file
    from osiris.runner.host.adapters import query_worker
    from osiris.runner.host.preview import preview as run_preview
    from osiris.runner.selection import matching

    with nullcontext(worker) if worker else query_worker(workspace.project, workspace.config) as link:
        compiled = compile_file(workspace, file, params=params, purpose="inspect", worker=link, text=text)
        plan = compiled.manifest
        chosen = matching(plan, selection) if selection else [_last(plan)]
        request = replace(request, shown=_shown(plan, chosen))
        words = (plan, compiled.pipeline, request, workspace.config, workspace.environ)
        first_rows = run_preview(workspace.project, *words, link)
    unchecked = _with_checks(plan, [*chosen, *request.shown])
    tables, cut = first_rows.tables, first_rows.cut
    return Preview(compiled.file, plan, tables, cut, request.sample, unchecked, compiled.diagnostics)


def _shown(plan: Manifest, chosen: Sequence[str]) -> list[str]:
    """Return the steps whose output is shown, in plan order."""
    steps = {step["id"]: step for step in plan.steps}
    shown = {source for name in chosen for source in _output(steps[name])}
    return [name for name in steps if name in shown]


def _with_checks(plan: Manifest, names: Sequence[str]) -> list[str]:
    """Return the steps with checks among these steps and all upstream of them."""
    from osiris.registry import load_registry
    from osiris.runner.selection import with_upstream

    registry = load_registry()
    steps = [step for step in with_upstream(plan, names) if "checks" in step["config"]]
    return [step["id"] for step in steps if "checks" not in registry.get(step["component"]).config["properties"]]


def _last(plan: Manifest) -> str:
    writers = [step["id"] for step in plan.steps if step["mode"] == "write"]
    return str((writers or [step["id"] for step in plan.steps])[-1])


def _output(step: Mapping[str, JsonValue]) -> list[str]:
    """Return the steps that produce the rows of a step: itself, or a writer's inputs."""
    return list(step["inputs"].values()) if step["mode"] == "write" else [str(step["id"])]


def masked_preview(
    workspace: Workspace, text: str, path: Path, selection: str | None = None, *, params: Mapping[str, str]
) -> Preview:
    """Return the `preview` of a text, with few rows and personal data masked.

    Personal data is detected by source column names, wherever they flow, and by values. Source columns with unknown
    names, as they are computed by the source's query or have no header, are always hidden.
    """
    from osiris.families.pii import kinds_by_name

    previewed = preview(workspace, path, selection, params=params, text=text)
    lineage = _without_counts(previewed.plan)
    source_names = {step["id"]: _source_names(step, lineage.columns[step["id"]]) for step in previewed.plan.steps}
    kinds = {step: kinds_by_name([name for name in names.values() if name]) for step, names in source_names.items()}
    tables = [_masked(table, lineage, source_names, kinds) for table in previewed.tables]
    return replace(previewed, tables=tables)


def _masked(
    table: Table,
    lineage: Lineage,
    source_names: Mapping[str, Mapping[str, str | None]],
    kinds: Mapping[str, Mapping[str, str | None]],
) -> Table:
    """Return the first rows of a table, masked by the origins of its columns."""
    from osiris.compare.lineage import StepColumn
    from osiris.families.pii import masked_rows

    origins = {column.name: lineage.origins(StepColumn(table.step, column.name)) for column in table.schema}
    names = {
        name: [(each.step, source_names[each.step][each.name]) for each in pairs] for name, pairs in origins.items()
    }
    column_kinds = {name: _kind(pairs, kinds) for name, pairs in names.items()}
    original_names = {name: [each for _, each in pairs if each] for name, pairs in names.items()}
    return replace(table, rows=masked_rows(table.schema, table.rows, column_kinds, original_names)[:ROWS])


def _kind(names: Sequence[tuple[str, str | None]], kinds: Mapping[str, Mapping[str, str | None]]) -> str | None:
    """Return the kind of a column by its first origin (step and name) with a known kind; None if there is none."""
    candidates = (NOT_FOLLOWED if name is None else kinds[step].get(name) for step, name in names)
    return next(filter(None, candidates), None)


def _source_names(step: Mapping[str, JsonValue], names: Sequence[str]) -> Mapping[str, str | None]:
    """Return the source's names of a step's columns; None where unknown."""
    from osiris.sql.plain_query import plain_columns

    if step["mode"] == "read" and step["config"].get("header", True) is not True:
        return dict.fromkeys(names)
    for key, dialect in step["sql"].items() if step["mode"] == "read" else ():
        return plain_columns(str(step["config"][key]), dialect, names)
    return {name: name for name in names}


def _without_counts(plan: Manifest) -> Lineage:
    """Return the lineage without edges into counts, which reveal no values."""
    from osiris.compare.lineage import StepColumn, read_lineage

    lineage = read_lineage(plan)
    counts = {
        StepColumn(step["id"], name) for step in plan.steps if step["mode"] == "transform" for name in _counts(step)
    }
    return replace(lineage, arrows={column: edges for column, edges in lineage.arrows.items() if column not in counts})


def _counts(step: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the columns that a step's query computes as counts."""
    names = [column["name"] for column in step["schema"] or ()]
    for key, dialect in step["sql"].items() if len(step["sql"]) == 1 else ():
        values = _selected(str(step["config"][key]), dialect)
        if len(values) == len(names):
            yield from (name for name, value in zip(names, values, strict=True) if _is_count(value.unalias()))


def _selected(sql: str, dialect: str) -> list[Expr]:
    """Return the expressions of a SELECT, one per column; empty for other statements, and with a star."""
    from sqlglot import exp

    from osiris.sql.safety.dialects import DIALECTS
    from osiris.sql.safety.tree import deep_recursion, parse

    with deep_recursion():
        tree = parse(sql, DIALECTS[dialect].load_grammar())[0]
    values = tree.expressions if isinstance(tree, exp.Select) else []
    return [] if any(each.is_star or each.find(exp.Columns) for each in values) else values


def _is_count(call: Expr) -> bool:
    from sqlglot import exp

    return isinstance(call, exp.Anonymous) and call.name.lower() == "count"


BUDGET = 10.0
"""Time limit for measuring, in seconds."""
_SHOWN = 5
_FIRST_TRY = 0.6
"""The share of the time limit for measuring on all rows."""


@dataclass(frozen=True, slots=True)
class Multiplied:
    """A join in which several rows match one, and the number of extra rows; None if it was not measured."""

    left: str
    right: str
    more: int | None

    def words(self) -> str:
        """Return the effect as text."""
        if self.more is None:
            return f"join {self.right} to {self.left}, where several rows may match one (not measured)"
        rows = "1 row" if self.more == 1 else f"{self.more:,} rows"
        return f"join several rows of {self.right} to one of {self.left}, adding {rows}"


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements of a plan: rows in and out by step, remarks on joins and names, and first rows by writer.

    `cut` are the sources of which only the first `SAMPLE` rows were read; `missing` are the steps not measured in time.
    Joins are measured only if nothing was cut, as the match of a row may be among the rest. `multiplied` are joins in
    which several rows match one, or may, where no key excludes it.
    """

    rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    outputs: Mapping[str, Table] = field(default_factory=dict)
    cut: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    multiplied: tuple[Multiplied, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield the measurements as text, without first rows."""
        if self.cut:
            yield f"on the first {SAMPLE:,} rows of {', '.join(self.cut)}; joins are not measured"
        for step, (taken, given) in self.rows.items():
            yield f"{step}: {taken:,} rows in, {given:,} rows out"
        yield from self.remarks
        if self.missing:
            yield f"not measured: {', '.join(self.missing)}"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the measurements as JSON, without first rows."""
        return {
            "rows": {step: {"in": taken, "out": given} for step, (taken, given) in self.rows.items()},
            "remarks": list(self.remarks),
            "cut": list(self.cut),
            "missing": list(self.missing),
            "lines": list(self.lines()),
        }


def outputs_of(workspace: Workspace, compiled: Compiled, keys: Keys | None = None) -> tuple[OutputText, ...]:
    """Describe each output of a plan in plain language, without running it or querying a source.

    `keys` are the primary keys of sources, by read step; None takes those seen by discovery.
    """
    from osiris.compare.read_back import read_back

    return read_back(compiled.plain(), seen_keys(workspace, compiled) if keys is None else keys)


def seen_keys(workspace: Workspace, compiled: Compiled) -> dict[str, list[tuple[str, ...]]]:
    """Return the primary keys of a plan's sources seen by discovery, by read step."""
    from osiris.discovery.schema_cache import recall

    pins = compiled.sources.pins
    discovered = recall(workspace.project, {pin.source.key for pin in pins.values()})
    keys = {step: discovered[pin.source.key].primary_key for step, pin in pins.items() if pin.source.key in discovered}
    return {step: [key] for step, key in keys.items() if key}


def read_back(
    workspace: Workspace, compiled: Compiled, budget: float = BUDGET, *, keys: Keys | None = None
) -> Measured:
    """Measure what a plan does with the current rows, within `budget` seconds.

    Tries all rows first, then the first `SAMPLE` of each source. Targets are not touched. `keys` are as for
    `outputs_of`. Fails with the problems of a failed step.
    """
    from osiris.runner.adapter import Link
    from osiris.runner.host.adapters import query_worker

    ends_at = time.monotonic() + budget
    plan = compiled.plain()
    probed = _with_probes(plan, seen_keys(workspace, compiled) if keys is None else keys)
    with ExitStack() as stack:
        worker = stack.enter_context(query_worker(workspace.project, workspace.config))
        figures = _measured(workspace, compiled, probed, 0, worker, budget * _FIRST_TRY)
        if figures.late:
            is_ready = figures.answered and isinstance(worker, Link)
            again = worker if is_ready else stack.enter_context(query_worker(workspace.project, workspace.config))
            figures = _measured(workspace, compiled, probed, SAMPLE, again, ends_at - time.monotonic())
    return _measured_of(plan, probed, figures)


def multiplied(workspace: Workspace, compiled: Compiled) -> tuple[Multiplied, ...]:
    """Return the joins of a plan in which several rows match one, or may; measured only where no key excludes it."""
    probed = _with_probes(compiled.plain(), seen_keys(workspace, compiled))
    unmeasured = tuple(_multiplied(probed, {}))
    if not unmeasured:
        return ()
    try:
        return read_back(workspace, compiled).multiplied
    except OsirisError:
        return unmeasured


@dataclass(frozen=True, slots=True)
class _ProbedPlan:
    """A plan with probe steps added, the probes by step, and the steps whose rows are shown, by writer."""

    plan: Manifest
    probes: Mapping[str, Probe]
    shown: Mapping[str, str]


def _with_probes(plan: Manifest, keys: Keys) -> _ProbedPlan:
    from osiris.compare.read_back import ends_of, probes
    from osiris.model import Manifest

    steps = {step["id"]: step for step in plan.steps}
    added: dict[str, Probe] = {}
    for name, several in probes(plan, keys).items():
        for number, probe in enumerate(several):
            added[f"{name}_probe_{number}"] = probe
            steps[f"{name}_probe_{number}"] = _probe_step(steps[name], f"{name}_probe_{number}", probe)
    shown = {end["id"]: _output(end)[0] for end in ends_of(plan)}
    return _ProbedPlan(Manifest({**plan.data, "steps": list(steps.values())}), added, shown)


def _probe_step(step: Mapping[str, JsonValue], name: str, probe: Probe) -> dict[str, JsonValue]:
    """Return a step that computes a probe, with the inputs of another step."""
    schema = [{"name": f"n{number}", "type": "int64", "nullable": True} for number in range(probe.numbers)]
    (key,) = step["sql"]
    return {**step, "id": name, "config": {key: probe.query}, "schema": schema, "order": "free", "lineage": None}


def _measured(
    workspace: Workspace, compiled: Compiled, probed: _ProbedPlan, sample: int, worker: Worker, seconds: float
) -> Figures:
    from osiris.runner.host.preview import PreviewRequest, measure

    request = PreviewRequest([*dict.fromkeys(probed.shown.values()), *probed.probes], _SHOWN, sample)
    words = (probed.plan, compiled.pipeline, request, workspace.config, workspace.environ, worker, seconds)
    return measure(workspace.project, *words)


def _multiplied(probed: _ProbedPlan, numbers: Mapping[str, Sequence[int]]) -> Iterator[Multiplied]:
    from osiris.sql.explanation.probes import JoinProbe

    for name, probe in probed.probes.items():
        if isinstance(probe, JoinProbe) and not probe.narrow:
            more = probe.more(numbers[name]) if name in numbers else None
            if more is None or more > 0:
                yield Multiplied(probe.left, probe.right, more)


def _numbers(probed: _ProbedPlan, figures: Figures) -> dict[str, Sequence[int]]:
    """Return the probes' numbers, by step, for those that ended in time; empty if sources were cut."""
    counted = () if figures.cut else figures.tables
    return {name: figures.tables[name].rows[0] for name in probed.probes if name in counted}


def _measured_of(plan: Manifest, probed: _ProbedPlan, figures: Figures) -> Measured:
    numbers = _numbers(probed, figures)
    steps = [step["id"] for step in plan.steps if step["mode"] != "write"]
    measured, missing = ([step for step in steps if (step in figures.rows) is is_there] for is_there in (True, False))
    return Measured(
        rows={step: figures.rows[step] for step in measured},
        remarks=tuple(filter(None, (probed.probes[name].text(row) for name, row in numbers.items()))),
        outputs={writer: figures.tables[step] for writer, step in probed.shown.items() if step in figures.tables},
        cut=tuple(figures.cut),
        missing=tuple(missing),
        multiplied=tuple(_multiplied(probed, numbers)),
    )
