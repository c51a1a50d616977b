"""`osiris compile`: turn a pipeline into a plan; `preview`: show the first rows of a step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from osiris import api
from osiris.api.previews import LIMIT, SAMPLE
from osiris.cli.command import (
    FILE,
    PARAM,
    PATH,
    PROFILE,
    SELECT,
    STRICT,
    WATCH,
    again,
    answers,
    brief,
    choice,
    console,
    flag,
    keep_showing,
    opened,
    valued,
)
from osiris.cli.plan import measured_lines, plan_lines, table_lines
from osiris.cli.render import Answer
from osiris.report.plan import plan_mermaid
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.api import Compiled, Preview, Workspace
    from osiris.cli.render import Line
    from osiris.model import JsonValue
    from osiris.report.plan import PlanView


MOST_SOURCES = 5
CHECK = flag("--check", "Write nothing; report whether the plan on disk would change.")
DETAILED = flag("--detailed-exitcode", "With --check, exit 5 if the plan would change.")
REFRESH = flag("--refresh", "Read all source schemas again, including those in osiris.lock.")
OUT = valued("--out", "DIR", "Write the plan to DIR (default: build/).", type=PATH)
FORMAT = choice("--format form", "text mermaid", "Output format.", default="text")
EXPLAIN = flag(
    "--explain", "Describe each output: row keys, filters, joins, measures, target; how SQL steps can be cut."
)
MEASURE = flag("--measure", "Like --explain, and read rows for up to 10 s to measure each step.")
HTML = valued("--html", "PATH", "Write an HTML page of the plan to PATH.", type=PATH)


@answers("compile", FILE, PARAM, PROFILE, CHECK, DETAILED, REFRESH, STRICT, OUT, FORMAT, HTML, EXPLAIN, MEASURE, WATCH)
def command(
    file: str,
    profile: str | None,
    check: bool,
    detailed_exitcode: bool,
    form: str,
    html: Path | None,
    out: Path | None,
    watch: bool,
    **words: Any,  # noqa: ANN401 - one per option
) -> Answer:
    """Compile a pipeline into a plan with a fingerprint.

    The plan is written to build/, and what it will do is shown. Source schemas that are not in osiris.lock are read and
    pinned there. With --watch nothing is written.
    """
    if detailed_exitcode and not check:
        raise click.UsageError("--detailed-exitcode requires --check")
    if watch and (check or html or out):
        raise click.UsageError("--watch cannot be combined with --check, --html or --out")

    measured = words.pop("measure")
    explained = words.pop("explain") or measured or html

    def answer() -> Answer:
        workspace = opened(profile)
        compiled = api.compile_file(workspace, file, **words)
        view = api.view_plan(workspace, compiled, explained=bool(explained))
        if html:
            api.write_page(view, html)
        if watch:
            result = _shown(workspace, compiled, view)
        elif check:
            result = _check(workspace, compiled, view, detailed=detailed_exitcode)
        else:
            result = _saved(workspace, compiled, view, out)
        result = _measured(workspace, compiled, result) if measured else result
        return replace(result, text=plan_mermaid(view)) if form == "mermaid" else result

    return keep_showing(file, answer) if watch else answer()


def _measured(workspace: Workspace, compiled: Compiled, answer: Answer) -> Answer:
    """Add measured figures and the first rows of each output to an answer."""
    figures = api.read_back(workspace, compiled)
    text = [*answer.text, "", *measured_lines(figures)]
    return replace(answer, text=text, data={**answer.data, "measured": figures.to_json()})


def _shown(workspace: Workspace, compiled: Compiled, view: PlanView, path: str | None = None) -> Answer:
    """Return the answer that shows a plan, with its path if it was saved."""
    diagnostics, more = brief([*compiled.diagnostics, *api.known_drift(workspace, compiled)])
    head: Line = [("ok", "compiled "), ("bold", f"{compiled.manifest.name} {compiled.manifest.short}")]
    shown = plan_lines(view, verbose=console().verbose)
    text = [head, *([f"  {path}"] if path else []), *_source_lines(compiled), *shown, *more]
    return Answer(api.compiled_data(compiled, view), text, diagnostics)


def _saved(workspace: Workspace, compiled: Compiled, view: PlanView, out: Path | None) -> Answer:
    path = api.save(workspace, compiled, out)
    answer = _shown(workspace, compiled, view, path)
    # The pipeline's own profile is part of the plan; what the project says under that name is not.
    keep = ("profile",) if workspace.profile in workspace.config.profiles else ()
    follow_up = again(["osiris", "run", "--last-compile"], keep)
    return replace(answer, data={**answer.data, "manifest": path}, next=[follow_up])


def _check(workspace: Workspace, compiled: Compiled, view: PlanView, *, detailed: bool) -> Answer:
    changes = api.changes_on_disk(workspace, compiled)
    state = "would change" if changes else "is unchanged"
    notes, more = brief([*compiled.diagnostics, *api.known_drift(workspace, compiled)])
    head: Line = f"plan {compiled.manifest.name} {compiled.manifest.short} {state}"
    text = [head, *_source_lines(compiled), *more]
    diagnostics = [*notes, *changes]
    data = {**api.compiled_data(compiled, view), "changed": bool(changes)}
    return Answer(data, text, diagnostics, exit_code=None if detailed else 0)


def _source_lines(compiled: Compiled) -> list[Line]:
    """Return the changes of sources that were read again, or which sources were not read.

    With --verbose the notes show the changes.
    """
    changes, sources = compiled.sources.changes, compiled.sources
    if not sources.refreshed:
        unseen = sorted(sources.pins.keys() - sources.asked.keys())
        named = f"{', '.join(unseen[:MOST_SOURCES])}{', …' if len(unseen) > MOST_SOURCES else ''}"
        look = f"osiris compile {compiled.file} --refresh"
        return [f"  sources not read, as their schemas are known: {named} (to read them: {look})"] if unseen else []
    if console().verbose:
        return []
    lines: list[Line] = [
        f"  {step} ({sources.pins[step].source}): {change}"
        for step, changes_of_step in changes.items()
        for change in changes_of_step
    ]
    return lines or ["  sources match osiris.lock"]


MOST_ROWS = 10_000
OPTIONS = (
    FILE,
    click.argument("step", metavar="[STEP]", required=False),
    SELECT,
    valued("--limit", "N", f"Rows to show (default: {LIMIT}).", type=click.IntRange(0, MOST_ROWS), default=LIMIT),
    click.option(
        "--sample",
        type=click.IntRange(0),
        default=SAMPLE,
        metavar="N",
        help=f"Rows to read from each source (default: {SAMPLE:,}; 0 reads all).",
    ),
    PARAM,
    PROFILE,
    WATCH,
)


@answers("preview", *OPTIONS)
def preview(file: str, step: str | None, **options: Any) -> Answer:  # noqa: ANN401 - one per option
    """Show the first rows of a step; write nothing.

    The default step is the input of the last writer in FILE.
    """
    if step and options["select"]:
        raise click.UsageError("give either STEP or --select")
    words = {key: options[key] for key in ("params", "limit", "sample")}

    def answer() -> Answer:
        return _answer(api.preview(opened(options["profile"]), file, step or options["select"], **words))

    return keep_showing(file, answer) if options["watch"] else answer()


def _answer(shown: Preview) -> Answer:
    shown = replace(shown, tables=[replace(each, rows=console().clean(each.rows)) for each in shown.tables])
    diagnostics, more = brief(shown.diagnostics)
    text = [line for each in shown.tables for line in (*table_lines(each), "")]
    return Answer(_data(shown), [*text, *left_out_lines(shown), *more], diagnostics)


def _data(shown: Preview) -> dict[str, JsonValue]:
    """Return the exact values, one table per step."""
    tables = [
        {
            "step": table.step,
            "columns": [column.to_json() for column in table.schema],
            "rows": table.rows,
            "rows_in_all": table.total,
        }
        for table in shown.tables
    ]
    return {"tables": tables, "sample": shown.sample, "cut": list(shown.cut), "unchecked": list(shown.unchecked)}


def left_out_lines(shown: Preview) -> Iterator[str]:
    """Yield what was not read and what was not checked."""
    if shown.cut:
        yield f"computed from the first {count(shown.sample, 'row')} of {', '.join(shown.cut)} (--sample 0 reads all)"
    if shown.unchecked:
        yield f"checks of {', '.join(shown.unchecked)} only run in a full run"
