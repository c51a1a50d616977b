"""`osiris new` with flags: the pipeline that they say is shown, and saved and run when it is accepted."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from osiris import api
from osiris.cli.command import console
from osiris.cli.plan import measured_lines, plan_lines
from osiris.cli.progress import watch
from osiris.cli.render import Answer, safe
from osiris.errors import OsirisError, diagnostic, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.api import Compiled, Measured, Workspace
    from osiris.chat.request import Request
    from osiris.cli.render import Line
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

_OUTSIDE = "CMP013"
"""Code of a step that uses a file outside of the project."""

_REPEATED = {
    "from": ("TABLE", "What is read: a path, or @FAMILY.ALIAS/TABLE."),
    "join": ("'TABLE on A = B'", "Join a table; rows without a match are dropped."),
    "left-join": ("'TABLE on A = B'", "Join a table; rows without a match are kept."),
    "compute": ("'NAME = A * B'", "Add a column: two columns, a column and a value, or FUNCTION(A, VALUE)."),
    "where": ("'A = VALUE'", "Keep rows; also !=, <, in, between, contains, is empty. col:B names a column."),
    "group": ("'A, month(B)'", "One row for each value, or for each year, quarter, month, week or day."),
    "count-of": ("A", "Number of values that are not empty."),
    "count-distinct": ("A", "Number of different values."),
    "sum": ("A", "Sum; 'A as NAME' gives it a name, here as everywhere."),
    "avg": ("A", "Average."),
    "min": ("A", "Least value."),
    "max": ("A", "Greatest value."),
    "median": ("A", "Median."),
    "share": ("MEASURE", "Share of a measure in its total: --sum amount --share sum_amount."),
    "ratio": ("'MEASURE / MEASURE'", "Ratio of two measures."),
    "columns": ("'A, B as NAME'", "Columns of the result, in this order."),
    "sort": ("'A desc'", "Sort by a column."),
    "dtype": ("'A = TYPE'", "Read a column as a type."),
    "key": ("'A, B'", "Columns that name a row, for --mode upsert."),
    "partition-by": ("'A, B'", "Columns whose values name folders; the target ends with /."),
}
_ONCE = {
    "latest": ("'A per B'", "Only the row with the greatest A of each B."),
    "first": ("'A per B'", "Only the row with the least A of each B."),
    "top": ("'N A per B'", "Only the N rows with the greatest A of each B."),
    "limit": ("N", "Only the first N rows."),
    "encoding": ("NAME", "Encoding of the text that is read."),
    "on-reject": ("fail|quarantine", "What becomes of rows that do not fit."),
    "to": ("TARGET", "Where rows go: a path, or @FAMILY.ALIAS/TABLE."),
    "mode": ("append|replace|upsert", "How rows go there; replace also for a file that exists."),
    "name": ("NAME", "Name of the pipeline, by default that of its target."),
}
FLAGS = (*_REPEATED, "count", *_ONCE)
_ASKED = "save and run it? (yes, save, no)"


def _name(flag: str) -> str:
    return f"say_{flag.replace('-', '_')}"


OPTIONS: tuple[Callable[[Any], Any], ...] = (
    *(click.option(f"--{k}", _name(k), metavar=m, multiple=True, help=h) for k, (m, h) in _REPEATED.items()),
    click.option("--count", _name("count"), is_flag=True, help="Number of rows."),
    *(click.option(f"--{k}", _name(k), metavar=m, help=h) for k, (m, h) in _ONCE.items()),
    click.option("--outside", is_flag=True, help="Allow a target outside of the project."),
    click.option("--multiplies", is_flag=True, help="Allow joins by which several rows match one."),
    click.option("--yes", is_flag=True, help="Accept the plan: save the pipeline and run it."),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted beside the request: targets outside, joins that multiply rows, no question, and a folder."""

    outside: bool
    multiplies: bool
    yes: bool
    out: str


def flags_of(words: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the flags that were given, as `osiris.chat.flags` takes them."""
    found: dict[str, tuple[str, ...]] = {}
    for flag in FLAGS:
        value = words[_name(flag)]
        if value:
            found[flag] = value if isinstance(value, tuple) else ("",) if value is True else (value,)
    return found


def build(workspace: Workspace, flags: Mapping[str, tuple[str, ...]], wanted: Wanted) -> Answer:
    """Show the plan of what flags say, and do what is answered; nothing is written before that."""
    from osiris.chat.flags import request_of
    from osiris.chat.project_catalog import choices_for
    from osiris.chat.render import render_request

    joined = [text.partition(" on ")[0] for flag in ("join", "left-join") for text in flags.get(flag, ())]
    choices = choices_for(workspace, [*flags.get("from", ()), *joined])
    asked = request_of(flags, choices)
    for each in asked.told:
        console().talk(f"taken: {safe(each)}")
    text = render_request(asked.request, choices)
    file = f"{wanted.out}/{asked.request.name}.yaml"
    compiled = api.compile_text(workspace, text, workspace.root / file, params={})
    _refuse_other(workspace, file, text)
    shown = _shown(workspace, compiled, text)
    measured = _measured(workspace, compiled) if _is_asked(wanted) else None
    shown += ["", *measured_lines(measured)] if measured else []
    grown = () if wanted.multiplies else measured.multiplied if measured else api.multiplied(workspace, compiled)
    risks = [(f"it would {safe(each.words())}", "--multiplies") for each in grown]
    risks += _risks(workspace, asked.request, compiled, flags, wanted)
    data: dict[str, JsonValue] = {"name": asked.request.name, "oml": text, "fingerprint": compiled.manifest.fingerprint}
    answer = _accepted(shown, risks, wanted)
    notes = [each for each in compiled.diagnostics if each.severity != "note" or console().verbose]
    if answer not in ("yes", "save"):
        hint = "add --yes, or answer in a terminal"
        found = diagnostic("CHT043", hint=hint) if answer is None else diagnostic("CHT043", hint="change the flags")
        return Answer({**data, "file": None}, shown if answer is None else (), [*notes, found])
    return _done(workspace, text, file, data, [*notes], runs=answer == "yes")


def _shown(workspace: Workspace, compiled: Compiled, text: str) -> list[Line]:
    before = api.previous_plan(workspace, compiled.manifest)
    tables = api.look_at_tables(workspace, compiled)
    outputs = api.outputs_of(workspace, compiled)
    view = api.plan_view(workspace.root, compiled.manifest, compiled.described, before, *tables, outputs=outputs)
    lines = [f"  {safe(line)}".rstrip() for line in text.splitlines()]
    return [*lines, "", *plan_lines(view, verbose=console().verbose)]


def _measured(workspace: Workspace, compiled: Compiled) -> Measured | None:
    """Return what the plan does with the rows that are there now; None, and why is told, if that cannot be had."""
    try:
        return api.read_back(workspace, compiled)
    except OsirisError as error:
        console().talk(f"not measured: {safe(error.diagnostics[0].message)}")
        return None


def _refuse_other(workspace: Workspace, file: str, text: str) -> None:
    """Fail with CHT045 if another pipeline has the file that this one would get."""
    before = api.read_draft(workspace.root / file)
    if before not in (None, hashlib.sha256(text.encode()).hexdigest()):
        fail("CHT045", file=file)


def _risks(
    workspace: Workspace, request: Request, compiled: Compiled, flags: Mapping[str, tuple[str, ...]], wanted: Wanted
) -> list[tuple[str, str]]:
    """Return what has to be named by itself and is not, each with the flag that names it."""
    (output,) = request.outputs
    path = output.path
    if path is None:
        return []
    found = []
    if (workspace.root / path).exists() and flags.get("mode") != ("replace",):
        found.append((f"{path} exists and would be overwritten", "--mode replace"))
    is_outside = any(each.code == _OUTSIDE and path in each.message for each in compiled.diagnostics)
    if is_outside and not wanted.outside:
        found.append((f"{path} is outside of the project", "--outside"))
    return found


def _is_asked(wanted: Wanted) -> bool:
    """Tell whether somebody is there to be asked."""
    return not wanted.yes and not console().wants_json and sys.stdin.isatty() and console().is_terminal()


def _accepted(shown: Sequence[Line], risks: Sequence[tuple[str, str]], wanted: Wanted) -> str | None:
    """Return `yes`, `save` or `no`; None if there is nobody to ask. Fails with CHT044 for what must be named."""
    typed = _is_asked(wanted)
    if risks and not typed:
        fail("CHT044", problem=risks[0][0], hint=f"name it: {risks[0][1]}")
    if wanted.yes or not typed:
        return "yes" if wanted.yes else None
    for line in shown:
        console().talk(line)
    for problem, _ in risks:
        if _heard(f"{problem}: is that meant? (yes, no)", ("yes", "no")) != "yes":
            return "no"
    return _heard(_ASKED, ("yes", "save", "no"))


def _heard(question: str, answers: Sequence[str]) -> str:
    """Return one of some answers, spelled out; without any it is no."""
    from osiris.chat.environment import Waiting
    from osiris.cli.talk import Terminal

    terminal = Terminal(console(), [], accepts=False, reads=True)
    while True:
        console().talk(question)
        try:
            words = terminal.hear(None).strip().lower()
        except Waiting:
            return "no"
        if words in answers:
            return words


def _done(
    workspace: Workspace, text: str, file: str, data: dict[str, JsonValue], notes: Sequence[Diagnostic], *, runs: bool
) -> Answer:
    """Save a pipeline and its plan, and run it if that is wanted."""
    from osiris.cli.run import result_answer
    from osiris.runner.host.run import RunOptions

    saved = api.save_draft(workspace, text, file)
    compiled = api.compile_file(workspace, workspace.root / saved.file, params={})
    if compiled.manifest.fingerprint != data["fingerprint"]:
        fail("CHT046", file=saved.file)
    data = {**data, "file": saved.file}
    api.save(workspace, compiled)
    if not runs:
        return Answer(data, [f"{saved.state} {saved.file}"], notes, [f"osiris run {saved.file}"])
    console().talk(f"{saved.state} {saved.file}")
    with watch(console()) as progress:
        result, found = api.run_target(workspace, compiled.manifest.fingerprint, RunOptions(), progress, params={})
    console().at_end, console().end_code = result.acknowledge, result.exit_code
    told = [*notes, *(each for each in found if each.severity != "note"), *result.diagnostics]
    answer = result_answer(workspace, result, told)
    return Answer({**data, **answer.data}, answer.text, answer.diagnostics, answer.next, answer.exit_code)
