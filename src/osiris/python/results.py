"""What calls from Python return: plans, runs, checks and sources, as small typed objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from osiris import api
from osiris.errors import OsirisError, diagnostic, did_you_mean, fail, has_errors
from osiris.history.record import plan_of
from osiris.model import Field
from osiris.python.errors import OfProject, with_short_errors
from osiris.python.output import Output, Rejected
from osiris.report.result import Shown, ShownTable, problems_table, table_of
from osiris.runner.selection import kept_steps
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from osiris.api import Compiled, Validated, Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Schema
    from osiris.python.output import KeptFolder
    from osiris.report.plan import PlanView, StepView

_LOCAL = ("local", "bwrap")


@dataclass(frozen=True, repr=False)
class Step(Shown):
    """A step of a run: `mode` is read, transform or write, `status` complete, failed, skipped, cancelled or not_run.

    Rows and `seconds` are None if the step did not end. `digest` is of the rows that a writer wrote, and `target` is
    the file or table; both are None for other steps.
    """

    name: str
    mode: str
    status: str
    rows_in: int | None
    rows_out: int | None
    rows_rejected: int
    seconds: float | None
    digest: str | None
    target: str | None

    def _title(self) -> str:
        return f"{self.name}: {self.mode}, {self.status}"

    def _tables(self) -> Sequence[ShownTable]:
        return [_steps_table([self])]


def _steps_table(steps: Iterable[Step]) -> ShownTable:
    rows = [
        (s.name, s.mode, s.status, s.rows_in, s.rows_out, s.rows_rejected or None, s.seconds, s.target) for s in steps
    ]
    return table_of(("step", "mode", "status", "rows in", "rows out", "rejected", "seconds", "target"), rows)


@dataclass(frozen=True, slots=True)
class Kept:
    """The folder of kept rows, if any, and the steps that were to be kept; None for the last ones.

    `is_new` is whether the call ran anything: a run id that has finished is not run again.
    """

    folder: KeptFolder | None
    names: tuple[str, ...] | None
    is_new: bool


class Run(OfProject):
    """A run that has ended, also one that failed."""

    def __init__(
        self,
        workspace: Workspace,
        summary: Mapping[str, Any],
        diagnostics: Sequence[Diagnostic],
        kept: Kept,
    ) -> None:
        self.session: str = summary["session"]
        """The id of the session, as in `osiris logs show`."""
        self.run_id: str = summary["run_key"]
        """The run id: the one that was given, or the id of the session that began the run."""
        self.status: str = summary["status"]
        """How it ended: complete, failed or cancelled."""
        self.diagnostics = tuple(diagnostics)
        """Errors, warnings and notes."""
        self.seconds: float = round((summary.get("duration_ms") or 0) / 1000, 6)
        """How long it took; the times of steps overlap, as they run at the same time."""
        self._workspace, self._summary, self._kept = workspace, summary, kept

    @property
    def ok(self) -> bool:
        """Whether the run is complete."""
        return self.status == "complete"

    @property
    def folder(self) -> Path:
        """The folder of the session."""
        return self._workspace.project.logs / self.session

    @cached_property
    def steps(self) -> Mapping[str, Step]:
        """The steps by name, in the order of the plan."""
        self._require_session()
        targets = api.remarks_on(self._workspace, self.session).targets
        return {name: self._step(name, data, targets.get(name)) for name, data in self._summary["steps"].items()}

    def _step(self, name: str, data: Mapping[str, Any], target: str | None) -> Step:
        milliseconds = data.get("duration_ms")
        digest = data.get("digest") if data["mode"] == "write" else None
        return Step(
            name,
            data["mode"],
            data["status"],
            data.get("rows_in"),
            data.get("rows_out"),
            data.get("rows_rejected") or 0,
            None if milliseconds is None else round(milliseconds / 1000, 6),
            digest and digest["value"],
            target,
        )

    @property
    def rejected(self) -> Mapping[str, Rejected]:
        """The rejected rows, by step; empty if no step rejected any."""
        artifacts, steps = self.folder / "artifacts", self._summary["steps"].items()
        files = {name: data["quarantined"] for name, data in steps if data.get("quarantined")}
        return {
            name: Rejected(name, self._workspace, entry["rows"], artifacts / name / entry["file"])
            for name, entry in files.items()
        }

    @with_short_errors
    def output(self, step: str) -> Output:
        """Return the rows of a step; for a writer, the rows that were given to it.

        By default a run keeps the rows of its last steps, see `keep`. Fails with RUN058 if the rows of this step are
        not there, and with CMP042 if the run has no such step.
        """
        if step not in self._summary["steps"]:
            steps = self._summary["steps"]
            fail("CMP042", plan=self._summary["pipeline"], step=step, hint=did_you_mean(step, steps))
        folder = self._kept.folder
        file = folder.path / f"{step}.arrow" if folder else None
        if folder is None or file is None or not file.exists():
            why, remedy = self._why_missing(step)
            fail("RUN058", step=step, why=why, remedy=remedy)
        return Output(step, self._workspace, folder, file)

    def _why_missing(self, step: str) -> tuple[str, str]:
        """Return why the rows of a step are not there, and what to do."""
        status, target = self._summary["steps"][step]["status"], self._summary["adapter"]
        preview = f"osiris.preview(…, '{step}') computes them without writing anything"
        if not self._kept.is_new:
            return f"run {self.session} had already finished, so nothing was run", preview
        if status != "complete":
            why = api.story(self._workspace, self.session).why.get(step) or ""
            reason = why.removeprefix(f"{status}: ")
            return f"the step is {status.replace('_', ' ')}{f': {reason}' if reason else ''}", preview
        if target not in _LOCAL:
            return f"the run was on target '{target}', and rows stay there", "run it with target='local'"
        plan = plan_of(self.folder)
        if self._kept.folder is None or (
            plan and step not in kept_steps(plan, self._kept.names, self._summary.get("selected"))
        ):
            return "they were not kept", f"run it with keep=('{step}',)"
        if self._was_delivered_before(step):
            return "an earlier attempt had delivered them, so they were not read again", preview
        return "not all of them were read, or there was no room for them (run.spool_limit)", preview

    def _was_delivered_before(self, step: str) -> bool:
        """Return whether a writer found its rows in the target, so that nothing was read for it."""
        steps = self._summary["steps"]
        has_read = any(each.get("rows_out") for each in steps.values() if each["mode"] != "write")
        return steps[step]["mode"] == "write" and bool(steps[step].get("rows_in")) and not has_read

    def explain(self) -> str:
        """Return how the run went, in sentences: as `osiris explain` does, one a line."""
        self._require_session()
        story = api.story(self._workspace, self.session)
        return "\n".join(api.story_lines(dict(story.reading.run.summary), story))

    def _require_session(self) -> None:
        """Fail with RUN010 if the session was deleted."""
        if not self.folder.exists():
            fail("RUN010", session=self.session, hint="it was deleted, for example by 'osiris logs gc'")

    def _title(self) -> str:
        return f"{self._summary['pipeline']} {self.status}, session {self.session}"

    def _tables(self) -> Sequence[ShownTable]:
        shown = [item for item in self.diagnostics if item.severity != "note"]
        return [_steps_table(self.steps.values()), *problems_table(shown)]


class RunFailed(OsirisError):
    """A run failed or was cancelled; its attribute `run` is the `Run`, with all that is on record."""

    def __init__(self, run: Run, code: int) -> None:
        super().__init__(run.diagnostics)
        self.run = run
        self._code = code

    def __str__(self) -> str:
        return f"run {self.run.session} {self.run.status}\n{super().__str__()}".rstrip()

    def __reduce__(self) -> tuple[type[OsirisError], tuple[tuple[Diagnostic, ...]]]:
        """Return the error without the run, which belongs to its process."""
        return OsirisError, (self.diagnostics,)

    @property
    def exit_code(self) -> int:
        """The exit code of `osiris run`."""
        return self._code


class Plan(OfProject):
    """A compiled plan: what will be read, computed and written, and its fingerprint."""

    def __init__(self, workspace: Workspace, compiled: Compiled, view: PlanView, path: Path) -> None:
        self.fingerprint = compiled.manifest.fingerprint
        """The fingerprint of everything that can change the result, 64 hexadecimal digits; `run` takes it."""
        self.name = compiled.manifest.name
        """The name of the pipeline."""
        self.path = path
        """The file of the plan."""
        self.diagnostics = compiled.diagnostics
        """Warnings and notes."""
        self._workspace, self._compiled, self._view = workspace, compiled, view

    @property
    def steps(self) -> Mapping[str, StepView]:
        """The steps by name, in the order of the plan.

        Each has `component`, `mode`, `inputs` (steps), `columns`, and as `label` the source or target.
        """
        return {step.id: step for step in self._view.steps}

    def explain(self) -> str:
        """Return what each output is, in plain language: keys, filters, joins, measures and target."""
        outputs = api.outputs_of(self._workspace, self._compiled)
        return "\n\n".join("\n".join(output.to_json()["lines"]) for output in outputs)

    def _title(self) -> str:
        return f"{self.name} {self.fingerprint[:12]}"

    def _tables(self) -> Sequence[ShownTable]:
        rows = [(s.id, s.component, ", ".join(s.inputs), s.label, _columns_text(s.columns)) for s in self._view.steps]
        table = table_of(("step", "component", "inputs", "source or target", "columns"), rows)
        return [table, *problems_table(item for item in self.diagnostics if item.severity != "note")]


def _columns_text(columns: Schema) -> str:
    return ", ".join(f"{column.name} {column.type}" for column in columns)


class Validation(Shown):
    """The result of checking pipelines without connecting to anything."""

    def __init__(self, results: Sequence[Validated], *, strict: bool = False) -> None:
        items = [item for result in results for item in result.diagnostics]
        warnings = sum(item.severity == "warning" for item in items) if strict else 0
        self.diagnostics = (*items, *([diagnostic("PRJ013", count=warnings)] if warnings else ()))
        """Errors, warnings and notes, of all files."""
        self.files = {result.file: result.ok for result in results}
        """Whether each file is valid, by its path."""

    @property
    def ok(self) -> bool:
        """Whether everything is valid."""
        return not has_errors(self.diagnostics)

    def __bool__(self) -> bool:
        return self.ok

    def _title(self) -> str:
        errors = sum(item.severity == "error" for item in self.diagnostics)
        return f"{', '.join(self.files)}: {'valid' if self.ok else count(errors, 'error')}"

    def _tables(self) -> Sequence[ShownTable]:
        return problems_table(self.diagnostics)


@dataclass(frozen=True, repr=False)
class Table(Shown):
    """A table or a file of a source.

    `rows` is an estimate for most databases, and None if unknown. `read` is a step that reads it, without an id, for a
    pipeline; None if no declared connection reaches it. `profile` has figures of its values if they were asked for.
    """

    name: str
    kind: str
    columns: tuple[Field, ...]
    rows: int | None = None
    primary_key: tuple[str, ...] = ()
    read: Mapping[str, JsonValue] | None = field(default=None, compare=False)
    profile: Mapping[str, JsonValue] | None = field(default=None, compare=False)

    def _title(self) -> str:
        return f"{self.name}: {self.kind}, {count(len(self.columns), 'column')}"

    def _tables(self) -> Sequence[ShownTable]:
        rows = [(c.name, c.type, "" if c.nullable else "not null") for c in self.columns]
        return [table_of(("column", "type", ""), rows)]


class Discovery(Shown):
    """What a source holds."""

    def __init__(self, data: Mapping[str, Any], diagnostics: Sequence[Diagnostic]) -> None:
        self.source: str = data["source"]["target"]
        """The connection, file or pattern that was asked for."""
        self.product: str = data["product"]
        """What it is: `file`, or the server with its version."""
        self.tables: Mapping[str, Table] = {table["name"]: _table(table) for table in data["tables"]}
        """The tables or files, by name."""
        self.diagnostics = tuple(diagnostics)
        """Warnings and notes."""

    def _title(self) -> str:
        return f"{self.source}: {count(len(self.tables), 'table')}"

    def _tables(self) -> Sequence[ShownTable]:
        rows = [(t.name, t.kind, t.rows, _columns_text(t.columns)) for t in self.tables.values()]
        return [table_of(("table", "kind", "rows", "columns"), rows), *problems_table(self.diagnostics)]


def _table(data: Mapping[str, Any]) -> Table:
    columns = tuple(Field(c["name"], c["type"] or c["source_type"], c["nullable"]) for c in data["columns"] or ())
    key = tuple(data.get("primary_key") or ())
    return Table(data["name"], data["kind"], columns, data["rows"], key, data["step"], data["profile"])
