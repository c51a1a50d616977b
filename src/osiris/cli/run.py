"""`osiris run`: run a pipeline or a plan, here or in a sandbox; `osiris sandboxes`: list and stop E2B sandboxes."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from osiris import api
from osiris.cli.command import (
    PARAM,
    PATH,
    PROFILE,
    ROWS,
    SELECT,
    STRICT,
    again,
    answers,
    brief,
    choice,
    console,
    flag,
    noun,
    opened,
    valued,
)
from osiris.cli.progress import watch
from osiris.cli.render import Answer, table
from osiris.errors import OsirisError, exit_code, has_errors, sort_diagnostics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osiris.api import Ended, Member, Rehearsal, Workspace
    from osiris.cli.render import Line
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.host.options import RunOptions, RunResult


_VARIABLES = ("e2b_env", "e2b_env_from", "e2b_pass_env")
"""Options for variables of connections, valid for every target."""

E2B_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    flag("--e2b", "Run in an E2B sandbox (same as --target e2b)."),
    valued("--e2b-cpu", "N", "CPUs of the template (run.e2b.cpu).", type=click.IntRange(1)),
    valued("--e2b-mem", "SIZE", "Memory of the template, in GiB without a unit (run.e2b.memory)."),
    valued("--e2b-timeout", "TIME", "Maximum lifetime of the sandbox (run.e2b.timeout)."),
    valued("--e2b-template", "NAME", "Use this template instead of this version's own."),
    flag("--e2b-install-deps", "Install packages missing from the template."),
    valued("--e2b-env", "NAME=VALUE", "Set an environment variable for connections; repeatable.", multiple=True),
    valued("--e2b-env-from", "FILE", "Set the environment variables in FILE.", type=PATH),
    valued("--e2b-pass-env", "NAME", "Fail unless this environment variable is set; repeatable.", multiple=True),
)


def target_settings(options: dict[str, Any]) -> dict[str, JsonValue]:
    """Return the settings that were typed, by key, and set the variables that were given for connections.

    Variables never become those of a sandbox: what connections make of them goes to the worker with the secrets.
    """
    where = "e2b" if options["e2b"] else options["where"]
    if options["e2b"] and options["where"] not in (None, "e2b"):
        raise click.UsageError(f"--e2b and --target {options['where']} cannot be combined")
    os.environ.update(_variables(options))
    settings = {
        "run.target": where,
        "run.wait": _in_unit(options["wait"], "s"),
        "run.partitions": options["partitions"],
        "run.e2b.timeout": _in_unit(options["e2b_timeout"], "s"),
        "run.e2b.install_deps": options["e2b_install_deps"] or None,
    }
    template = template_settings(options["e2b_cpu"], options["e2b_mem"], options["e2b_template"])
    return {**template, **{key: value for key, value in settings.items() if value is not None}}


def refuse_idle(target: str) -> None:
    """Reject E2B options of a run with another target, where they would have no effect."""
    ctx = click.get_current_context()
    of_e2b = [p for p in ctx.command.params if p.opts[-1].startswith("--e2b-") and p.name not in _VARIABLES]
    typed = [p.opts[-1] for p in of_e2b if ctx.get_parameter_source(str(p.name)) is ParameterSource.COMMANDLINE]
    if typed and target != "e2b":
        raise click.UsageError(f"{', '.join(typed)} has no effect without --e2b: the target of this run is {target}")


def template_settings(cpu: int | None, memory: str | None, name: str | None) -> dict[str, JsonValue]:
    """Return the given settings of a template, by key."""
    given = {"run.e2b.cpu": cpu, "run.e2b.memory": _in_unit(memory, "GiB"), "run.e2b.template": name}
    return {key: value for key, value in given.items() if value is not None}


def _in_unit(text: str | None, unit: str) -> str | None:
    """Return a size or a time; digits alone are of that unit, as earlier."""
    return f"{text}{unit}" if text and text.isdigit() else text


def _variables(options: dict[str, Any]) -> dict[str, str]:
    from osiris.cli.command import parameters
    from osiris.connections import load_env

    if absent := [name for name in options["e2b_pass_env"] if name not in os.environ]:
        raise click.BadParameter(f"{', '.join(absent)} is not set", param_hint="'--e2b-pass-env'")
    file = options["e2b_env_from"]
    if file and not file.is_file():
        raise click.BadParameter(f"the file {file} does not exist", param_hint="'--e2b-env-from'")
    of_file = load_env(file, {}) if file else {}
    try:
        return {**of_file, **parameters(click.get_current_context(), click.Option(["--e2b-env"]), options["e2b_env"])}
    except click.BadParameter as error:
        error.param_hint = "'--e2b-env'"
        raise


_COLUMNS = {
    "SANDBOX": "id",
    "STARTED": "started_at",
    "PROJECT": "folder",
    "SESSION": "session",
    "TEMPLATE": "template",
}


@answers("list")
def list_sandboxes() -> Answer:
    """List the running sandboxes that runs started."""
    from osiris.runner.remote import e2b

    sandboxes_listed = e2b.list_sandboxes(opened().environ)
    rows = [[item[name] or "-" for name in _COLUMNS.values()] for item in sandboxes_listed]
    return Answer(
        {"sandboxes": sandboxes_listed},
        table(rows, list(_COLUMNS)) if sandboxes_listed else ["no sandboxes are running"],
    )


@answers("gc", flag("--dry-run", "List the sandboxes; stop none."))
def collect(dry_run: bool) -> Answer:
    """Stop sandboxes left behind by lost runs of this project.

    Otherwise they stop by themselves two minutes after the run is lost.
    """
    stopped = api.end_sandboxes(opened(), dry_run=dry_run)
    text = [f"{len(stopped)} {'would be ' if dry_run else ''}stopped"]
    return Answer({"ended": stopped, "dry_run": dry_run}, [*text, *(f"  {number}" for number in stopped)])


@answers(
    "build",
    valued("--e2b-cpu", "N", "CPUs (run.e2b.cpu).", type=click.IntRange(1)),
    valued("--e2b-mem", "SIZE", "Memory, in GiB without a unit (run.e2b.memory)."),
    valued("--e2b-template", "NAME", "Name of the template; the default is made from this version and its lock."),
)
def build(e2b_cpu: int | None, e2b_mem: str | None, e2b_template: str | None) -> Answer:
    """Build the template in which runs start at once.

    It contains Python and the packages of this version's lock.
    """
    from osiris.runner.remote import e2b

    workspace = opened(None, template_settings(e2b_cpu, e2b_mem, e2b_template))
    name = e2b.build_template(workspace.config, workspace.environ, console().talk)
    next_run = again(["osiris", "run", "FILE", "--e2b"], ("e2b_cpu", "e2b_mem", "e2b_template"))
    return Answer({"template": name}, [f"template {name} is ready"], next=[next_run])


_OF_ONE = ("resume", "select", "rows")
"""Options that make sense only for one pipeline."""

_MOST_TABLES = 20
"""Maximum tables of an entry that the result of a run lists."""

OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("target", metavar="[FILE|PLAN|FINGERPRINT]", required=False),
    flag("--last-compile", "Run the plan that was compiled last."),
    flag("--all", "Run all pipelines of pipelines/, one after another, each after those that write what it reads."),
    valued("--tag", "TAG", "As --all, with the pipelines that have TAG in metadata.tags."),
    PARAM,
    PROFILE,
    SELECT,
    flag(
        "--dry-run",
        "Run all pre-flight checks and print the plan; execute nothing.",
    ),
    flag("--new-run", "Start a new run instead of resuming a failed one."),
    valued("--run-id", "ID", "Name the run ID; a run id that has finished is skipped."),
    valued("--resume", "[SESSION]", "Resume SESSION (default: the last run).", is_flag=False, flag_value="last"),
    choice(
        "--digest",
        "written all",
        "Digest what is written, or all step outputs (default: written).",
        default="written",
    ),
    flag("--allow-engine-drift", "Run even if engine versions differ from those of the plan."),
    valued(
        "--wait",
        "TIME",
        "How long to wait for a run of the same pipeline or with the same target (run.wait; default: 10m).",
    ),
    valued("--partitions", "N", "Compute each SQL step that can be cut in N parts (run.partitions; default: uncut)."),
    STRICT,
    ROWS,
    valued("--target where", "NAME", "Where to run: local, bwrap or e2b (run.target; default: local)."),
    *E2B_OPTIONS,
)


@answers("run", *OPTIONS)
def run(target: str | None, last_compile: bool, **options: Any) -> Answer:  # noqa: ANN401 - one per option
    """Run a pipeline or a plan.

    A pipeline is compiled first. A plan is a file, a fingerprint, or --last-compile. With --all or --tag, pipelines
    whose input was not written, because another one failed or its file has errors, are skipped.
    """
    if options["all"] or options["tag"] is not None:
        return _run_several(target, last_compile=last_compile, options=options)
    target = _one_target(target, last_compile=last_compile, resume=options["resume"])
    chosen = _run_options(options)
    workspace = opened(options["profile"], target_settings(options))
    refuse_idle(workspace.config.get("run.target"))
    words = {key: options[key] for key in ("params", "strict")}
    if options["dry_run"]:
        return _rehearsed(workspace, api.rehearse(workspace, target, chosen, **words), chosen.select)
    with watch(console()) as progress:
        result, notes = api.run_target(workspace, target, chosen, progress, **words)
    console().at_end, console().end_code = result.acknowledge, result.exit_code
    answer = result_answer(workspace, result, [*_visible_notes(notes), *result.diagnostics])
    if not options["rows"]:
        return answer
    from osiris.cli.sessions import row_lines

    rows = api.checked_rows(workspace, result.session_id)
    return replace(answer, data={**answer.data, "rows": rows}, text=[*answer.text, *row_lines(rows)])


def _run_several(target: str | None, *, last_compile: bool, options: dict[str, Any]) -> Answer:
    """Run the pipelines of --all or --tag; the answer has an entry for each."""
    _refuse_for_several({"a target": target, "--last-compile": last_compile}, options)
    chosen = _run_options(options)
    workspace = opened(options["profile"], target_settings(options))
    refuse_idle(workspace.config.get("run.target"))
    words = {key: options[key] for key in ("params", "strict")}
    members = api.find_members(workspace, options["tag"], params=options["params"])
    if options["dry_run"]:
        return _joined([(each, _rehearsed_member(workspace, each, chosen, words)) for each in members])
    ended = api.run_members(workspace, members, chosen, lambda: watch(console()), **words)
    code, shown_at_last = api.combined_code(each.exit_code for each in ended), ExitStack()
    for each in ended:
        shown_at_last.callback(each.result.acknowledge if each.result else bool)
    console().at_end, console().end_code = shown_at_last.close, code
    return replace(_joined([(each.member, _member_answer(workspace, each)) for each in ended]), exit_code=code)


def _refuse_for_several(given: dict[str, Any], options: dict[str, Any]) -> None:
    given |= {f"--{key}": options[key] for key in _OF_ONE}
    if wrong := [name for name, value in given.items() if value]:
        raise click.UsageError(f"{', '.join(wrong)} cannot be combined with --all or --tag")
    if options["all"] and options["tag"] is not None:
        raise click.UsageError("give either --all or --tag")


def _rehearsed_member(workspace: Workspace, member: Member, chosen: RunOptions, words: dict[str, Any]) -> Answer:
    if member.problems:
        return _not_run("refused", member.problems, exit_code(member.problems))
    try:
        file = str(workspace.root / member.file)
        rehearsal = api.rehearse(workspace, file, chosen, **words)
        problems = api.without_awaited(member, rehearsal.diagnostics)
        return _rehearsed(workspace, replace(rehearsal, diagnostics=tuple(problems)), None)
    except OsirisError as error:
        problems = api.without_awaited(member, error.diagnostics)
        return _not_run("refused" if has_errors(problems) else "not checked", problems, exit_code(problems))


def _member_answer(workspace: Workspace, ended: Ended) -> Answer:
    if ended.result:
        return result_answer(workspace, ended.result, _visible_notes(ended.diagnostics))
    return _not_run(ended.status, ended.diagnostics, ended.exit_code)


def _not_run(status: str, diagnostics: Sequence[Diagnostic], code: int) -> Answer:
    return Answer({"status": status}, [[("error" if code else "warning", status)]], diagnostics, (), code)


def _joined(answers: Sequence[tuple[Member, Answer]]) -> Answer:
    """Return the answers of several pipelines as one, with an entry for each."""
    entries: list[JsonValue] = []
    text: list[Line] = []
    for member, answer in answers:
        problems = [item.to_json() for item in answer.diagnostics]
        head = {"pipeline": member.name, "file": member.file, "exit_code": answer.code}
        entries.append({**head, **answer.data, "diagnostics": problems})
        text += [[("bold", member.name)], *answer.text]
    diagnostics = [item for _, answer in answers for item in answer.diagnostics]
    follow_up = [line for _, answer in answers if answer.code for line in answer.next]
    code = api.combined_code(answer.code for _, answer in answers)
    return Answer({"pipelines": entries}, text, diagnostics, follow_up, code)


def _one_target(target: str | None, *, last_compile: bool, resume: str | None) -> str | None:
    named = [text for text in (target, "--last-compile" if last_compile else None) if text]
    if len(named) > 1:
        raise click.UsageError("give either a target or --last-compile")
    if not named and resume is None:
        raise click.UsageError("give a pipeline, a plan, a fingerprint or --last-compile")
    return target


def _visible_notes(notes: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Leave notes out unless asked for: `compile` and `validate` show them, and a nightly run need not repeat them."""
    return brief(notes)[0]


def _run_options(options: dict[str, Any]) -> RunOptions:
    from osiris.runner.host.options import RunOptions

    exclusive = [name for name in ("new_run", "run_id", "resume") if options[name]]
    if len(exclusive) > 1:
        spelled = " and ".join(f"--{name.replace('_', '-')}" for name in exclusive)
        raise click.UsageError(f"{spelled} cannot be combined")
    keys = ("new_run", "run_id", "resume", "digest", "allow_engine_drift", "select")
    return RunOptions(**{key: options[key] for key in keys})


def _rehearsed(workspace: Workspace, rehearsal: Rehearsal, select: str | None) -> Answer:
    from osiris.cli.plan import plan_lines
    from osiris.cli.sessions import plan_head
    from osiris.runner.selection import chosen

    manifest = rehearsal.manifest
    selected = chosen(manifest, select)
    view = api.plan_view(workspace.root, manifest, {}, api.previous_plan(workspace, manifest), *rehearsal.tables)
    if workspace.config.get("run.partitions"):
        view = replace(view, cuts=api.cuts_of(manifest))
    shown = plan_lines(view, verbose=console().verbose)
    follow_up = again(["osiris", "run"], click.get_current_context().params.keys() - {"dry_run"})
    only = [f"  only steps {', '.join(selected)} (--select)"] if selected else []
    where = f"the run would be in a sandbox (run.target: {workspace.config.get('run.target')})"
    unasked = [] if rehearsal.asked else [f"  sources and targets were not checked: {where}"]
    text = [plan_head(manifest), *shown, *only, *unasked, "nothing was run (--dry-run)"]
    data = {**api.plan_data(manifest), "plan": view.to_json(), "dry_run": True, "selected": selected}
    diagnostics = sort_diagnostics(rehearsal.diagnostics)
    return Answer({**data, "asked": rehearsal.asked}, text, diagnostics, [] if has_errors(diagnostics) else [follow_up])


def result_answer(workspace: Workspace, result: RunResult, notes: list[Diagnostic]) -> Answer:
    """Return how a run ended."""
    from osiris.cli.sessions import finding_lines, step_lines, table_lines, written_lines
    from osiris.history.tables import merged

    style = "ok" if result.exit_code == 0 else "error"
    remarks = api.remarks_on(workspace, result.session_id)
    data = api.run_data(workspace, result, remarks)
    text: list[Line] = [*table_lines(remarks.tables, _MOST_TABLES), *step_lines(data["steps"])]
    text += written_lines(data, data["targets"])
    text += finding_lines(data["findings"])
    text.append([(style, result.status), ("", f"  session {result.session_id}")])
    follow_up = [f"osiris logs show {result.session_id}"]
    if result.exit_code:
        follow_up.append(f"osiris explain {result.session_id}")
    if remarks.tables and not console().wants_json:
        notes = merged(notes, remarks.tables)
    reports_last = sorted(sort_diagnostics(notes), key=lambda item: item.code.startswith("NTF"))
    return Answer(data, text, reports_last, follow_up, result.exit_code)


sandboxes = noun("sandboxes", "List, stop and build E2B sandboxes.", list_sandboxes, collect, build)
