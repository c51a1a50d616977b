"""`osiris run`: run a pipeline or a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from osiris import api
from osiris.cli.command import PARAM, PROFILE, ROWS, SELECT, STRICT, again, answers, console, opened
from osiris.cli.progress import watch
from osiris.cli.render import Answer
from osiris.cli.sessions import finding_lines, row_lines, step_lines, written_lines
from osiris.cli.target import E2B_OPTIONS, refuse_idle, target_settings
from osiris.errors import has_errors, sort_diagnostics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osiris.api import Rehearsal, Workspace
    from osiris.cli.render import Line
    from osiris.errors import Diagnostic
    from osiris.runner.host.run import RunOptions, RunResult

_COMPLETED = "CMP048"
"""The note that says which plan a part of a fingerprint was taken for: it answers what was typed."""

OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("target", metavar="[FILE|PLAN|FINGERPRINT]", required=False),
    click.option("--last-compile", is_flag=True, help="Run the plan that was compiled last."),
    PARAM,
    PROFILE,
    SELECT,
    click.option(
        "--dry-run",
        is_flag=True,
        help="Check the plan and its secrets, ask sources and targets as a run does first, show it, run nothing.",
    ),
    click.option("--new-run", is_flag=True, help="Start anew even if the last run did not end well."),
    click.option("--run-id", metavar="ID", help="Fix the key of this run; one that has finished is skipped."),
    click.option("--resume", is_flag=False, flag_value="last", metavar="[SESSION]", help="Continue a session."),
    click.option("--digest", type=click.Choice(["written", "all"]), default="written", help="Digest every output."),
    click.option("--allow-engine-drift", is_flag=True, help="Run a plan with other engine versions than its own."),
    click.option("--wait", metavar="TIME", help="How long to wait for another run of this project (run.wait; 10m)."),
    STRICT,
    ROWS,
    click.option("--target", "where", metavar="NAME", help="Where to run: local, bwrap, e2b (run.target; local)."),
    *E2B_OPTIONS,
)


@answers("run", *OPTIONS)
def command(target: str | None, last_compile: bool, **options: Any) -> Answer:  # noqa: ANN401 - one per option
    """Run a pipeline (it is compiled first), a plan, or the plan that was compiled last."""
    target = _one_target(target, last_compile=last_compile, resume=options["resume"])
    chosen = _run_options(options)
    workspace = opened(options["profile"], target_settings(options))
    refuse_idle(workspace.config.get("run.target"))
    words = {key: options[key] for key in ("params", "strict")}
    if options["dry_run"]:
        return _plan(workspace, api.rehearse(workspace, target, chosen, **words), chosen.select)
    with watch(console()) as progress:
        result, notes = api.run_target(workspace, target, chosen, progress, **words)
    console().at_end, console().end_code = result.acknowledge, result.exit_code
    answer = result_answer(workspace, result, [*_told(notes), *result.diagnostics])
    return with_rows(workspace, result.session_id, answer) if options["rows"] else answer


def _one_target(target: str | None, *, last_compile: bool, resume: str | None) -> str | None:
    named = [text for text in (target, "--last-compile" if last_compile else None) if text]
    if len(named) > 1:
        raise click.UsageError("name a target or --last-compile, not both")
    if not named and resume is None:
        raise click.UsageError("name what to run: a pipeline, a plan, a fingerprint, or --last-compile")
    return target


def _told(notes: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Leave notes out: whoever compiles or validates reads them, who runs a plan every night does not."""
    loud = console().verbose or console().wants_json
    return [note for note in notes if loud or note.severity != "note" or note.code == _COMPLETED]


def _run_options(options: dict[str, Any]) -> RunOptions:
    from osiris.runner.host.run import RunOptions

    exclusive = [name for name in ("new_run", "run_id", "resume") if options[name]]
    if len(exclusive) > 1:
        spelled = " and ".join(f"--{name.replace('_', '-')}" for name in exclusive)
        raise click.UsageError(f"{spelled} exclude each other")
    return RunOptions(
        new_run=options["new_run"],
        run_id=options["run_id"],
        resume=options["resume"],
        digest=options["digest"],
        allow_engine_drift=options["allow_engine_drift"],
        select=options["select"],
    )


def _plan(workspace: Workspace, found: Rehearsal, select: str | None) -> Answer:
    from osiris.cli.explain import plan_head
    from osiris.cli.plan import plan_lines
    from osiris.runner.selection import chosen

    manifest = found.manifest
    selected = chosen(manifest, select)
    view = api.plan_view(workspace.root, manifest, {}, api.previous_plan(workspace, manifest), *found.tables)
    shown = plan_lines(view, verbose=console().verbose)
    follow_up = again(["osiris", "run"], click.get_current_context().params.keys() - {"dry_run"})
    only = [f"  only steps {', '.join(selected)} (--select)"] if selected else []
    unasked = [] if found.asked else ["  sources and targets were not asked: it would run elsewhere"]
    text = [plan_head(manifest), *shown, *only, *unasked, "nothing was run (--dry-run)"]
    data = {**api.plan_data(manifest), "plan": view.to_json(), "dry_run": True, "selected": selected}
    told = sort_diagnostics(_told(found.diagnostics))
    return Answer({**data, "asked": found.asked}, text, told, [] if has_errors(told) else [follow_up])


def with_rows(workspace: Workspace, session: str, answer: Answer) -> Answer:
    """Return an answer that also has the rows that broken checks found."""
    rows = api.checked_rows(workspace, session)
    return replace(answer, data={**answer.data, "rows": rows}, text=[*answer.text, *row_lines(rows)])


def result_answer(workspace: Workspace, result: RunResult, notes: list[Diagnostic]) -> Answer:
    """Return how a run ended."""
    style = "ok" if result.exit_code == 0 else "error"
    data = api.run_data(workspace, result)
    text: list[Line] = [*step_lines(data["steps"]), *written_lines(data, data["targets"])]
    text += finding_lines(data["findings"])
    text.append([(style, result.status), ("", f"  session {result.session_id}")])
    follow_up = [f"osiris logs show {result.session_id}"]
    if result.exit_code:
        follow_up.append(f"osiris explain {result.session_id}")
    return Answer(data, text, sort_diagnostics(notes), follow_up, result.exit_code)
