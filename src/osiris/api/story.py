"""Why a session is as it is: why each step ran or did not, what failed, and the runs before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.api.runs import list_sessions, session_lines
from osiris.errors import Diagnostic
from osiris.recorded import load_run, plan_of

if TYPE_CHECKING:
    from osiris.api.workspace import Workspace
    from osiris.model import JsonValue, Manifest

    Run = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Story:
    """`skipped` has the reason by step, `failed` the steps that did, `cause` the first error of the run.

    `why` says of every step of the plan why it ran, or why it did not.

    `before` is the run that was continued and `after` the newest that continued this one, as far as they are there.
    """

    skipped: dict[str, str]
    why: dict[str, str]
    failed: tuple[str, ...]
    cause: Diagnostic | None
    before: Run | None
    after: Run | None


def story(workspace: Workspace, run: Run) -> Story:
    """Return the story of a session, from its run.json, its events and the other sessions."""
    events = session_lines(workspace, run["session"], "events")
    found = (Diagnostic.from_json(item) for item in run["diagnostics"])
    sessions = list_sessions(workspace)
    skipped = {e["step"]: e["reason"] for e in events if e["event"] == "step_skipped"}
    return Story(
        skipped=skipped,
        why=_why(workspace, run, skipped, _last_good(run, sessions)),
        failed=tuple(step for step, told in run["steps"].items() if told["status"] == "failed"),
        cause=next((item for item in found if item.severity == "error"), None),
        before=next((s for s in sessions if s["session"] == run["continues"]), None),
        after=next((s for s in sessions if s.get("continues") == run["session"]), None),
    )


def _last_good(run: Run, sessions: list[Run]) -> Run | None:
    """Return the newest complete run of the same pipeline before this one."""
    runs = (s for s in sessions if s["kind"] == "run" and s["pipeline"] == run["pipeline"])
    good = (s for s in runs if s["status"] == "complete")
    return next((s for s in good if s["session"] < run["session"]), None)


def _why(workspace: Workspace, run: Run, skipped: dict[str, str], last: Run | None) -> dict[str, str]:
    plan, before = (plan_of(workspace.project.logs / each["session"]) if each else None for each in (run, last))
    told = {step: f"skipped: {reason}" for step, reason in skipped.items()}
    told |= _drifted(workspace, run)
    told |= {step: "not reached" for step, state in run["steps"].items() if state["status"] == "not_run"}
    ran = [step for step in run["steps"] if step not in told]
    if last is None or before is None or plan is None:
        reasons = dict.fromkeys(ran, "no complete run of this pipeline is known before this one")
    else:
        reasons = _changes(before, plan, _moved(last, run, plan))
    return {step: told.get(step) or reasons[step] for step in run["steps"]}


def _drifted(workspace: Workspace, run: Run) -> dict[str, str]:
    """Say of steps that failed because their source is not as planned what it no longer has, or has anew."""
    from osiris.aiop.changes import changes_of

    if not any(item["code"] == "DAT011" for item in run["diagnostics"]):
        return {}
    found: dict[str, list[str]] = {}
    for change in changes_of(load_run(workspace.project.logs / run["session"]), None):
        found.setdefault(str(change.step), []).append(change.text)
    return {step: f"its source changed: {'; '.join(texts)}" for step, texts in found.items()}


def _moved(before: Run, run: Run, plan: Manifest) -> dict[str, str]:
    """Say of steps whose connection or source is not what it was in an earlier run."""
    then, now = ({**(each.get("connections") or {}), **(each.get("sources") or {})} for each in (before, run))
    changed = {name for name in then.keys() & now.keys() if then[name] != now[name]}
    found = {step["id"]: "its source changed" for step in plan.steps if step["id"] in changed}
    other = {
        step["id"]: f"{step['connection']} has other fields" for step in plan.steps if step["connection"] in changed
    }
    return found | other


def _changes(before: Manifest, plan: Manifest, moved: dict[str, str]) -> dict[str, str]:
    """Say of each step of a plan what is new since an earlier one: in itself, or in the first that it waits for."""
    from osiris.compare import diff

    own = dict(moved)
    for item in diff(before, plan):
        root, _, rest = item.path.partition("/")
        step, _, leaf = rest.partition("/")
        if root == "steps" and step not in own:
            own[step] = (
                f"{leaf.partition('/')[0]} changed: {str(item).removeprefix(f'steps/{step}/')}" if leaf else "new"
            )
    changed = dict(own)
    for data in plan.steps:
        above = next((name for name in data["needs"] if name in changed), None)
        if data["id"] not in changed and above:
            changed[data["id"]] = f"an input changed: step '{above}'"
    return {data["id"]: changed.get(data["id"], "nothing changed; sources are read anew") for data in plan.steps}
