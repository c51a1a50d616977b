"""Running again what a session ran, and saying whether the same comes out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.api.packages import package_missing
from osiris.api.row_diff import row_finder
from osiris.api.workspace import load_plan
from osiris.compare.verify import INCOMPARABLE
from osiris.durable import guarded, remove, remove_folder
from osiris.errors import diagnostic, exit_code, fail
from osiris.history.record import RecordedRun, load_run, open_own_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from osiris.api.workspace import Workspace
    from osiris.compare import Difference
    from osiris.errors import Diagnostic
    from osiris.history.replayed import Reason
    from osiris.model import JsonValue, Manifest
    from osiris.runner.host.run import RunResult

    Progress = Callable[[dict[str, JsonValue]], None]

_UNAVAILABLE = 3


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replay: the session of the run and its own, and whether the same came out (None: that could not be told).

    `compared` are the outputs that were. `exit_code` is 0 for the same, 1 for something else, 2 where that cannot be
    told although the replay came to its end (`differences` says why), else that of the replay.
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
        """Return all but diagnostics and exit code, as plain data."""
        return {
            "run": self.run,
            "session": self.session,
            "same": self.same,
            "outputs": list(self.compared),
            "differences": [item.to_json() for item in self.differences],
            "reasons": [item.to_json() for item in self.reasons],
        }


def replay(workspace: Workspace, name: str, progress: Progress, *, to_targets: bool = False) -> Replayed:
    """Run again what a session ran, and compare; targets are only written `to_targets` (`osiris.runner.host.replay`).

    Fails with RUN010 for an unknown session, RUN022 for one that cannot be replayed, and with CMP020 to CMP023 where
    its plan is not what it was. Engines and components of other versions are used, and named as reasons.
    """
    run = _asked(workspace, name)
    manifest, changed = _plan_of(workspace, run)
    result = _run_again(workspace, run, manifest, progress, to_targets=to_targets)
    told = _compare(workspace, run, result, changed, to_targets=to_targets)
    return replace(told, diagnostics=(*told.diagnostics, *package_missing(workspace)))


def _asked(workspace: Workspace, name: str) -> RecordedRun:
    run = open_own_run(workspace.project, name)
    if problem := _obstacle(run):
        fail("RUN022", session=run.id, problem=problem)
    return run


def _obstacle(run: RecordedRun) -> str | None:
    """Say why a session cannot be replayed; None if it can be."""
    if run.summary["kind"] == "replay":
        return f"it is a replay itself, of run {run.summary['replays']['session']}"
    if run.status == "running":
        return "it has not ended"
    if run.status != "failed" and not run.summary["outputs"]:
        return f"it ended as {run.status}, and nothing that it wrote is on record to compare with"
    return None


def _plan_of(workspace: Workspace, run: RecordedRun) -> tuple[Manifest, list[Diagnostic]]:
    from osiris.compiler.manifest import PlanFile

    file = PlanFile(run.folder / "manifest.json", run.summary["fingerprint"])
    return load_plan(workspace, file, allow_drift=True, allow_changes=True)


def _run_again(
    workspace: Workspace, run: RecordedRun, manifest: Manifest, progress: Progress, *, to_targets: bool
) -> RunResult:
    from osiris.runner.host.replay import Replay
    from osiris.runner.host.run import RunOptions
    from osiris.runner.host.run import run as start

    summary = run.summary
    inner = any(step.mode != "write" and "digest" in step.summary for step in run.steps)
    options = RunOptions(
        digest="all" if inner else "written",
        select=",".join(summary["selected"]) if summary["selected"] else None,
        environ=workspace.environ,
        replay=Replay(run.id, summary["run_key"], summary["run_started_at"], to_targets),
    )
    return start(workspace.project, manifest, workspace.config, options, progress)


def _compare(
    workspace: Workspace, run: RecordedRun, result: RunResult, drift: list[Diagnostic], *, to_targets: bool
) -> Replayed:
    from osiris.history.replayed import reasons, replay_changes

    again = load_run(workspace.project.logs / result.session_id)
    outputs = tuple(name for name in run.summary["outputs"] if name in again.summary["outputs"])
    told = (*drift, *result.diagnostics)
    if result.status == "cancelled" or result.exit_code == _UNAVAILABLE:
        return Replayed(run.id, again.id, None, outputs, (), (), told, result.exit_code)
    found = replay_changes(workspace.root, run, again, row_finder(workspace))
    if not found:
        if not to_targets:
            _remove_copies(workspace, again)
        return Replayed(run.id, again.id, True, outputs, (), (), tuple(drift), 0)
    unlike = [item for item in found if item.code != INCOMPARABLE]
    if not unlike:
        reported = tuple(item.to_diagnostic() for item in found)
        return Replayed(run.id, again.id, None, outputs, tuple(found), (), (*told, *reported), exit_code(reported))
    why = reasons(run, again, [item for item in drift if item.code == "RUN023"])
    words = "; ".join(reason.text for reason in why)
    verdict = diagnostic("RUN021", session=run.id, what=str(unlike[0]), why=words)
    details = (item.to_diagnostic() for item in found if item.where)
    return Replayed(run.id, again.id, False, outputs, tuple(found), tuple(why), (*told, *details, verdict), 1)


def _remove(path: Path) -> None:
    if path.is_dir():
        remove_folder(path)
    else:
        with guarded(path):
            remove(path)


def _remove_copies(workspace: Workspace, again: RecordedRun) -> None:
    """Remove the files that a replay wrote: they are what the run wrote."""
    for output in again.summary["outputs"].values():
        for file in output["files"]:
            _remove(workspace.root / file["path"])
    for folder in (again.folder / "artifacts").glob("*/"):
        with suppress(OSError):
            folder.rmdir()
