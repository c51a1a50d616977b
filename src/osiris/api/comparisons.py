"""Compares plans and runs: differences, the first differing row, and replays."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from osiris.api.reports import package_missing
from osiris.api.runs import report_busy, session_plan
from osiris.api.sessions import show_session
from osiris.api.workspace import Workspace, find_plan, load_plan
from osiris.compare.differences import INCOMPARABLE, diff
from osiris.compare.differences import verify as find_differences
from osiris.durable import guarded, make_folder, remove, remove_folder, write_file
from osiris.errors import OsirisError, diagnostic, exit_code, fail
from osiris.history.record import RecordedRun, find_run, load_run, open_own_run, require_plan
from osiris.report.result import Shown, problems_table
from osiris.session.finding import find_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osiris.api.workspace import Workspace
    from osiris.compare.differences import Difference
    from osiris.errors import Diagnostic
    from osiris.history.changes import Reason, RunDiff
    from osiris.model import JsonValue, Manifest
    from osiris.report.result import ShownTable
    from osiris.runner.host.run import RunResult

    Event = dict[str, JsonValue]
    Progress = Callable[[dict[str, JsonValue]], None]

_READERS = {".parquet": "filesystem.parquet_extractor", ".json": "filesystem.json_extractor"}
_FOLDERS = "filesystem.parquet_extractor"
_NUMBERED = "SELECT *, row_number() OVER () AS osiris_row FROM {}"
_QUERY = "SELECT min(osiris_row) AS row FROM (({a} EXCEPT {b}) UNION ALL ({b} EXCEPT {a}))"

_UNAVAILABLE = 3


def row_finder(workspace: Workspace) -> Callable[[str, str], int | None]:
    """Return a function that finds the first differing row of two files, counting from 1; None if it is unknown.

    Files are relative to the project. Other differences, such as columns, are not covered.
    """

    def find(left: str, right: str) -> int | None:
        pair = (left, right)
        readers = [
            _FOLDERS if path.endswith("/") else _READERS.get(PurePosixPath(path).suffix.lower()) for path in pair
        ]
        if None in readers or any(mark in path for path in pair for mark in "*?["):
            return None
        return _first(workspace, left, right, str(readers[0]))

    return find


def _first(workspace: Workspace, left: str, right: str, reader: str) -> int | None:
    from osiris.api.previews import preview

    file = workspace.project.scratch / f"rows-{os.getpid()}.yaml"
    try:
        make_folder(file.parent, private=True)
        write_file(file, json.dumps(_pipeline(left, right, reader)).encode(), private=True)
        previewed = preview(workspace, file, "first", params={}, limit=1, sample=0)
    except (OsirisError, OSError):
        return None
    finally:
        with suppress(OSError):
            remove(file)
    ((row,),) = previewed.tables[0].rows
    return int(row) if row is not None else None


def _pipeline(left: str, right: str, reader: str) -> dict[str, object]:
    """Return a pipeline, as OML, that finds the first differing row."""
    sides = {"a": left, "b": right}
    steps: list[dict[str, object]] = [
        {"id": name, "component": reader, "mode": "read", "needs": [], "config": {"path": path}}
        for name, path in sides.items()
    ]
    query = _QUERY.format(**{name: _NUMBERED.format(name) for name in sides})
    inputs = {name: f"@{name}" for name in sides}
    first = {"id": "first", "component": "duckdb.processor", "mode": "transform", "inputs": inputs}
    return {"oml_version": "0.1.0", "name": "rows", "steps": [*steps, {**first, "config": {"query": query}}]}


def diff_subjects(workspace: Workspace, old: str, new: str) -> list[Difference] | RunDiff:
    """Return the differences between two runs if both names are sessions, else between two plans.

    Fails with CMP027 or RUN010 for an unknown name, and if the plan of a run is missing.
    """
    from osiris.history.changes import diff_runs

    runs = [find_run(workspace.project, name) for name in (old, new)]
    if runs[0] is None or runs[1] is None:
        return diff(_manifest_of(workspace, old), _manifest_of(workspace, new))
    for run in (runs[0], runs[1]):
        require_plan(run)
    return diff_runs(runs[0], runs[1])


@dataclass(frozen=True, slots=True, repr=False)
class Verdict(Shown):
    """The comparison of two runs' outputs: the sessions, the outputs compared, and one diagnostic per difference."""

    runs: tuple[str, str]
    outputs: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def same(self) -> bool:
        """Whether both runs wrote the same data."""
        return not self.diagnostics

    def __bool__(self) -> bool:
        return self.same

    def _title(self) -> str:
        only_incomparable = {each.code for each in self.diagnostics} == {"DAT009"}
        verdict = "same data" if self.same else "nothing to compare" if only_incomparable else "different data"
        return f"{verdict} in {self.runs[0]} and {self.runs[1]}"

    def _tables(self) -> Sequence[ShownTable]:
        return problems_table(self.diagnostics)


def verify(workspace: Workspace, first: str, second: str) -> Verdict:
    """Compare the outputs of two sessions by digest; find the first differing row if the files still exist."""
    runs = [show_session(workspace, name) for name in (first, second)]
    differences = find_differences(runs[0], runs[1], workspace.root, row_finder(workspace))
    outputs = sorted({name for run in runs for name in run.get("outputs") or {}})
    diagnostics = tuple(item.to_diagnostic() for item in differences)
    return Verdict((runs[0]["session"], runs[1]["session"]), tuple(outputs), diagnostics)


def _manifest_of(workspace: Workspace, what: str) -> Manifest:
    file = None if find_session(workspace.project, what) else find_plan(workspace, what)
    return load_plan(workspace, file or session_plan(workspace, what), allow_drift=True)[0]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replay: the session of the run and its own, and whether the outputs are the same (None: unknown).

    `compared` are the outputs compared. `exit_code` is 0 for the same, 1 for differences, 2 if the replay ended but
    could not be compared (`differences` has the reason), else that of the replay.
    """

    run: str
    session: str
    same: bool | None
    compared: tuple[str, ...]
    differences: tuple[Difference, ...]
    reasons: tuple[Reason, ...]
    diagnostics: tuple[Diagnostic, ...]
    exit_code: int

    def to_json(self) -> dict[str, JsonValue]:
        """Return all fields but diagnostics and exit code, as JSON."""
        return {
            "run": self.run,
            "session": self.session,
            "same": self.same,
            "outputs": list(self.compared),
            "differences": [item.to_json() for item in self.differences],
            "reasons": [item._asdict() for item in self.reasons],
        }


def replay(workspace: Workspace, name: str, progress: Progress, *, to_targets: bool = False) -> Replayed:
    """Repeat a session's run and compare; writes targets only with `to_targets` (`osiris.runner.host.replay`).

    Fails with RUN010 for an unknown session, RUN022 for one that cannot be replayed, and CMP020 to CMP023 if its plan
    was modified. Other versions of engines and components are used, and named as reasons.
    """
    from osiris.compiler.manifest import PlanFile

    run = open_own_run(workspace.project, name)
    if problem := _obstacle(run):
        fail("RUN022", session=run.id, problem=problem)
    file = PlanFile(run.folder / "manifest.json", run.summary["fingerprint"])
    manifest, changed = load_plan(workspace, file, allow_drift=True, allow_changes=True)
    if pairs := [step["id"] for step in manifest.steps if "state" in step]:
        fail("RUN022", session=run.id, problem=f"it read what was new then (steps with a cursor: {', '.join(pairs)})")
    result, lost = _run_again(workspace, run, manifest, progress, to_targets=to_targets)
    replayed = _compare(workspace, run, result, changed, to_targets=to_targets)
    return replace(replayed, diagnostics=(*replayed.diagnostics, *package_missing(workspace), *lost))


def _obstacle(run: RecordedRun) -> str | None:
    """Return why a session cannot be replayed; None if it can."""
    if run.summary["kind"] == "replay":
        return f"it is itself a replay of run {run.summary['replays']['session']}"
    if run.status == "running":
        return "it has not ended"
    if run.status != "failed" and not run.summary["outputs"]:
        return f"it ended as {run.status} and has no recorded output to compare with"
    return None


def _run_again(
    workspace: Workspace, run: RecordedRun, manifest: Manifest, progress: Progress, *, to_targets: bool
) -> tuple[RunResult, list[Diagnostic]]:
    """Return how the replay ended, and warnings about lost runs, which are reported as soon as it holds its locks."""
    from osiris.api.opening import report_lost
    from osiris.runner.host.replay import Replay
    from osiris.runner.host.run import RunOptions, hold
    from osiris.runner.host.run import run as start

    summary = run.summary
    inner = any(step.mode != "write" and "digest" in step.summary for step in run.steps)
    options = RunOptions(
        digest="all" if inner else "written",
        select=",".join(summary["selected"]) if summary["selected"] else None,
        environ=workspace.environ,
        replay=Replay(run.id, summary["run_key"], summary["run_started_at"], to_targets),
        attended=True,
    )
    with hold(workspace.project, manifest, workspace.config, options, partial(report_busy, progress)):
        lost = report_lost(workspace)
        result = start(workspace.project, manifest, workspace.config, options, progress)
    result.acknowledge()
    return result, lost


def _compare(
    workspace: Workspace, run: RecordedRun, result: RunResult, drift: list[Diagnostic], *, to_targets: bool
) -> Replayed:
    from osiris.history.changes import replay_changes

    again = load_run(workspace.project.logs / result.session_id)
    outputs = tuple(name for name in run.summary["outputs"] if name in again.summary["outputs"])
    diagnostics = (*drift, *result.diagnostics)
    if result.status == "cancelled" or result.exit_code == _UNAVAILABLE:
        return Replayed(run.id, again.id, None, outputs, (), (), diagnostics, result.exit_code)
    changes = replay_changes(workspace.root, run, again, row_finder(workspace))
    if changes:
        return _differing(run, again, outputs, changes, drift, diagnostics)
    if not to_targets:
        _remove_copies(workspace, again)
    return Replayed(run.id, again.id, True, outputs, (), (), tuple(drift), 0)


def _differing(
    run: RecordedRun,
    again: RecordedRun,
    outputs: tuple[str, ...],
    changes: list[Difference],
    drift: list[Diagnostic],
    notes: tuple[Diagnostic, ...],
) -> Replayed:
    """Return a replay with differences and their possible reasons, or one that could not be compared."""
    from osiris.history.changes import reasons

    unlike = [item for item in changes if item.code != INCOMPARABLE]
    if not unlike:
        reported = tuple(item.to_diagnostic() for item in changes)
        return Replayed(run.id, again.id, None, outputs, tuple(changes), (), (*notes, *reported), exit_code(reported))
    why = reasons(run, again, [item for item in drift if item.code == "RUN023"])
    words = "; ".join(reason.text for reason in why)
    verdict = diagnostic("RUN021", session=run.id, what=str(unlike[0]), why=words)
    details = (item.to_diagnostic() for item in changes if item.where)
    return Replayed(run.id, again.id, False, outputs, tuple(changes), tuple(why), (*notes, *details, verdict), 1)


def _remove_copies(workspace: Workspace, again: RecordedRun) -> None:
    """Remove the files that a replay wrote, as they are the same as the run's."""
    for output in again.summary["outputs"].values():
        for file in output["files"]:
            path = workspace.root / file["path"]
            if path.is_dir():
                remove_folder(path)
                continue
            with guarded(path):
                remove(path)
    for folder in (again.folder / "artifacts").glob("*/"):
        with suppress(OSError):
            folder.rmdir()
