"""`osiris new`: a pipeline from choices, by questions or by flags, without a model; `osiris copy`: one in a line."""

from __future__ import annotations

import hashlib
import shlex
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from osiris import api
from osiris.cli.command import answers, console, flag, opened, valued
from osiris.cli.render import Answer, safe
from osiris.errors import OsirisError, diagnostic, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.api import Compiled, Measured, Workspace
    from osiris.chat.conversation import Outcome
    from osiris.chat.request import Request
    from osiris.cli.guide import Plain
    from osiris.cli.render import Line
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue


_REPEATED = {
    "from": ("TABLE", "Source: a path or @FAMILY.ALIAS.TABLE."),
    "join": ("'TABLE on A = B'", "Join a table; rows without a match are dropped."),
    "left-join": ("'TABLE on A = B'", "Join a table; rows without a match are kept."),
    "compute": ("'NAME = A * B'", "Add a column: two columns, a column and a value, or FUNCTION(A, VALUE)."),
    "where": (
        "'A = VALUE'",
        "Filter rows; also != (keeps empty A), <, in, between, contains, is empty. col:B compares with column B.",
    ),
    "group": ("'A, month(B)'", "Group by columns, or by year, quarter, month, week or day of one."),
    "count-of": ("A", "Count the non-empty values of A."),
    "count-distinct": ("A", "Count the distinct values of A."),
    "sum": ("A", "Sum; use 'A as NAME' here and elsewhere to name the column."),
    "avg": ("A", "Average."),
    "min": ("A", "Minimum."),
    "max": ("A", "Maximum."),
    "median": ("A", "Median."),
    "share": ("MEASURE", "Share of a measure in its total, for example --sum amount --share sum_amount."),
    "ratio": ("'MEASURE / MEASURE'", "Ratio of two measures."),
    "columns": ("'A, B as NAME'", "Output columns, in this order."),
    "sort": ("'A desc'", "Sort by a column."),
    "dtype": ("'A = TYPE'", "Read column A as TYPE."),
    "key": ("'A, B'", "Key columns for --mode upsert."),
    "partition-by": ("'A, B'", "Partition the target folder by these columns; the target ends with /."),
}
_ONCE = {
    "latest": ("'A per B'", "Keep the row with the greatest A for each B."),
    "first": ("'A per B'", "Keep the row with the least A for each B."),
    "top": (
        "'N A per B'",
        "Keep the N rows with the greatest A for each B before grouping (for the result, use --sort and --limit).",
    ),
    "limit": ("N", "Keep the first N rows."),
    "encoding": ("NAME", "Encoding of text sources."),
    "on-reject": ("fail|quarantine", "Whether rows that do not fit their type stop the run or go to quarantine."),
    "to": ("TARGET", "Target: a path or @FAMILY.ALIAS.TABLE."),
    "mode": ("append|replace|upsert", "Write mode; a table needs one, an existing file needs replace."),
    "name": ("NAME", "Name of the pipeline (default: the name of its target)."),
}
FLAGS = (*_REPEATED, "count", *_ONCE)
_MAX_NAME = 64
"""Maximum characters of the name of a pipeline."""

_SAVE = ("Save and run it?", ("yes", "save", "no"))
_RUN = ("Run it?", ("yes", "no"))
"""Questions before a plan runs, with their answers."""


def _name(flag: str) -> str:
    return f"say_{flag.replace('-', '_')}"


def _option(flag: str) -> Callable[[Any], Any]:
    if flag == "count":
        return click.option("--count", _name(flag), is_flag=True, help="Count rows.")
    metavar, text = (_REPEATED | _ONCE)[flag]
    return click.option(f"--{flag}", _name(flag), metavar=metavar, multiple=flag in _REPEATED, help=text)


OUTSIDE = flag("--outside", "Allow a target outside the project.")
FLAG_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    *map(_option, FLAGS),
    OUTSIDE,
    flag("--multiplies", "Allow joins that multiply rows."),
    flag("--yes", "Accept the plan, save the pipeline and run it."),
)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options beside the request: allow targets outside or multiplying joins, accept the plan, where to save it.

    The pipeline is saved to `file`, else into `folder` under its name, else nowhere.
    """

    outside: bool
    multiplies: bool
    yes: bool
    folder: str | None = None
    file: str | None = None

    def saved_as(self, name: str) -> str | None:
        """Return the file of a pipeline of that name; None if it is not saved."""
        return self.file or (f"{self.folder}/{name}.yaml" if self.folder else None)


def flags_of(words: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the flags that were given, as `osiris.chat.flags` takes them."""
    given: dict[str, tuple[str, ...]] = {}
    for name in FLAGS:
        value = words.get(_name(name))
        if value:
            given[name] = value if isinstance(value, tuple) else ("",) if value is True else (value,)
    return given


def build(workspace: Workspace, flags: Mapping[str, tuple[str, ...]], options: BuildOptions) -> Answer:
    """Show the plan that the flags define, ask, and act on the answer; nothing is written before."""
    from osiris.chat.environment import choices_for
    from osiris.chat.flags import request_of
    from osiris.chat.render import render_request

    joined = [text.partition(" on ")[0] for flag in ("join", "left-join") for text in flags.get(flag, ())]
    choices = choices_for(workspace, [*flags.get("from", ()), *joined])
    request, notes = request_of(flags, choices)
    for each in notes:
        console().talk(f"assumed: {safe(each)}")
    if options.saved_as(request.name) is None and "name" not in flags:
        request = replace(request, name=f"copy_{request.name}"[:_MAX_NAME])
    return _offer(workspace, request, render_request(request, choices), flags, options)


def _offer(
    workspace: Workspace, request: Request, text: str, flags: Mapping[str, tuple[str, ...]], options: BuildOptions
) -> Answer:
    """Show the plan of an unsaved pipeline, ask, and act on the answer."""
    from osiris.cli.plan import measured_lines

    file = options.saved_as(request.name)
    _refuse_place(workspace, file, text)
    compiled = api.compile_file(workspace, workspace.root / (file or f"{request.name}.yaml"), params={}, text=text)
    shown = _shown(workspace, compiled, text)
    measured = _measured(workspace, compiled) if _is_interactive(options) else None
    shown += ["", *measured_lines(measured)] if measured else []
    grown = () if options.multiplies else measured.multiplied if measured else api.multiplied(workspace, compiled)
    risks = [(f"it would {safe(each.words())}", "--multiplies") for each in grown]
    risks += _risks(workspace, request, compiled, flags, options)
    data: dict[str, JsonValue] = {"name": request.name, "oml": text, "fingerprint": compiled.manifest.fingerprint}
    answer = _accepted(shown, risks, options, _SAVE if file else _RUN)
    notes = _visible(compiled.diagnostics)
    if answer in (None, "no"):
        hint = "change the options" if answer else "add --yes, or answer at a terminal"
        return Answer({**data, "file": None}, () if answer else shown, [*notes, diagnostic("CHT043", hint=hint)])
    if file is None:
        api.save(workspace, compiled)
        return _run(workspace, data, notes)
    return _done(workspace, text, file, data, notes, runs=answer == "yes")


def _visible(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    return [each for each in diagnostics if each.severity != "note" or console().verbose]


def _shown(workspace: Workspace, compiled: Compiled, text: str) -> list[Line]:
    from osiris.cli.plan import plan_lines

    view = api.view_plan(workspace, compiled)
    lines = [f"  {safe(line)}".rstrip() for line in text.splitlines()]
    return [*lines, "", *plan_lines(view, verbose=console().verbose)]


def _measured(workspace: Workspace, compiled: Compiled) -> Measured | None:
    """Return figures of the plan on the current rows; None, with a message, if it cannot be measured."""
    try:
        return api.read_back(workspace, compiled)
    except OsirisError as error:
        console().talk(f"not measured: {safe(error.diagnostics[0].message)}")
        return None


def _refuse_place(workspace: Workspace, file: str | None, text: str) -> None:
    """Fail with PRJ022 for a file that no pipeline may have, and with CHT045 for one that another pipeline has."""
    before = api.read_draft(api.draft_path(workspace, file)) if file else None
    if before not in (None, hashlib.sha256(text.encode()).hexdigest()):
        fail("CHT045", file=file)


def _risks(
    workspace: Workspace,
    request: Request,
    compiled: Compiled,
    flags: Mapping[str, tuple[str, ...]],
    options: BuildOptions,
) -> list[tuple[str, str]]:
    """Return the risks that need an option of their own, each with that option."""
    (output,) = request.outputs
    path = output.path
    if path is None:
        return []
    risks = []
    if (workspace.root / path).exists() and flags.get("mode") != ("replace",):
        risks.append((f"{path} exists and would be overwritten", "--mode replace"))
    from osiris.chat.environment import OUTSIDE

    is_outside = any(each.code == OUTSIDE and path in each.message for each in compiled.diagnostics)
    if is_outside and not options.outside:
        risks.append((f"{path} is outside the project", "--outside"))
    return risks


def _is_interactive(options: BuildOptions) -> bool:
    """Return whether a person can be asked."""
    return not options.yes and not console().wants_json and _has_terminal()


def _has_terminal() -> bool:
    return sys.stdin.isatty() and console().is_terminal()


def _accepted(
    shown: Sequence[Line],
    risks: Sequence[tuple[str, str]],
    options: BuildOptions,
    question: tuple[str, tuple[str, ...]],
) -> str | None:
    """Return `yes`, `save` or `no`; None without a terminal. Fails with CHT044 for a risk that needs its own option."""
    typed = _is_interactive(options)
    if risks and not typed:
        fail("CHT044", problem=risks[0][0], hint=f"pass {risks[0][1]}")
    if options.yes or not typed:
        return "yes" if options.yes else None
    for line in shown:
        console().talk(line)
    for problem, _ in risks:
        if _heard(f"{problem}. Continue?", ("yes", "no")) != "yes":
            return "no"
    return _heard(*question)


def _heard(question: str, answers: Sequence[str]) -> str:
    """Ask until one of the answers is given, also in short (`y`), and return it; without any it is no."""
    from osiris.chat.environment import Waiting
    from osiris.chat.replies import meaning
    from osiris.cli.talk import Terminal

    terminal = Terminal(console(), [], accepts=False, reads=True)
    while True:
        console().talk(f"{question} ({', '.join(answers)})")
        try:
            answer = meaning(terminal.ask_user(None))
        except Waiting:
            return "no"
        if answer and answer in answers:
            return answer


def _done(
    workspace: Workspace, text: str, file: str, data: dict[str, JsonValue], notes: Sequence[Diagnostic], *, runs: bool
) -> Answer:
    """Save a pipeline and its plan, and run it if `runs`."""
    saved = api.save_draft(workspace, text, file)
    compiled = api.compile_file(workspace, workspace.root / saved.file, params={})
    if compiled.manifest.fingerprint != data["fingerprint"]:
        fail("CHT046", file=saved.file)
    data = {**data, "file": saved.file}
    api.save(workspace, compiled)
    if not runs:
        return Answer(data, [f"{saved.state} {saved.file}"], notes, [f"osiris run {saved.file}"])
    console().talk(f"{saved.state} {saved.file}")
    return _run(workspace, data, notes)


def _run(workspace: Workspace, data: dict[str, JsonValue], notes: Sequence[Diagnostic]) -> Answer:
    """Run the saved plan whose fingerprint is in `data`."""
    from osiris.cli.progress import watch
    from osiris.cli.run import result_answer
    from osiris.runner.host.run import RunOptions

    with watch(console()) as progress:
        result, warnings = api.run_target(workspace, data["fingerprint"], RunOptions(), progress, params={})
    console().at_end, console().end_code = result.acknowledge, result.exit_code
    diagnostics = [*notes, *(each for each in warnings if each.severity != "note"), *result.diagnostics]
    answer = result_answer(workspace, result, diagnostics)
    return Answer({**data, **answer.data}, answer.text, answer.diagnostics, answer.next, answer.exit_code)


PLAIN = flag("--plain", "Ask numbered questions; answers are lines of standard input.")
RESUME = valued("--resume", "[ID]", "Resume a conversation (default: the newest).", is_flag=False, flag_value="")
EDIT = valued("--edit", "FILE", "Edit this pipeline in place.")
OUT = valued("--out", "DIR", "Save the pipeline to DIR (default: pipelines/).", default="pipelines")


@answers("new", PLAIN, RESUME, EDIT, OUT, *FLAG_OPTIONS)
def new(
    plain: bool,
    resume: str | None,
    edit: str | None,
    out: str,
    yes: bool,
    outside: bool,
    multiplies: bool,
    **words: Any,  # noqa: ANN401 - one per option
) -> Answer:
    """Build a pipeline from choices; no model is needed.

    You choose what to read, filter, join, compute and group, and where to write it. Nothing is written before you
    accept the plan. Answers are saved as you give them: --resume continues an interrupted conversation. Without a
    terminal, lines of standard input are the answers. With --from and --to the options are the choices, and only the
    plan has to be accepted.
    """
    flags = flags_of(words)
    if flags:
        if plain or resume is not None or edit:
            raise click.UsageError(
                "--plain, --resume and --edit cannot be combined with options that define the pipeline"
            )
        return build(opened(), flags, BuildOptions(outside=outside, multiplies=multiplies, yes=yes, folder=out))
    if yes or outside or multiplies:
        raise click.UsageError("--yes, --outside and --multiplies require options that define the pipeline")
    return guided(resume, edit, out, plain=plain)


def guided(resume: str | None, edit: str | None, out: str, *, plain: bool = False) -> Answer:
    """Have the guide ask: from the start, or where the conversation `resume` was interrupted ("": the newest)."""
    if edit and resume is not None:
        raise click.UsageError("--edit starts a conversation; --resume continues one")
    if console().wants_json:
        fail("CHT053", hint="remove --json")
    from osiris.api.workspace import find_file
    from osiris.chat import conversation
    from osiris.cli.guide import Arrows, GuideTerminal, Plain

    screen = (Plain if plain or not _has_terminal() else Arrows)(console())
    mouth = GuideTerminal(console(), [], accepts=False, reads=False)
    workspace = opened()
    try:
        if resume is None:
            edits = find_file(workspace, edit).resolve() if edit else None
            outcome = conversation.begin_guided(workspace, mouth, screen, out, edits)
        else:
            outcome = conversation.resume_guided(workspace, resume or None, mouth, screen)
    except KeyboardInterrupt:
        console().talk("Your answers are saved. To continue: osiris new --resume")
        raise
    return answer_of(outcome, screen)


def answer_of(outcome: Outcome, screen: Plain) -> Answer:
    """Return how a conversation with the guide ended; `screen` asked its last question."""
    summary = outcome.summary
    diagnostics = [*outcome.notes]
    if summary["status"] == "waiting":
        resume = shlex.join(["osiris", "new", "--resume", str(summary["session"])])
        hint = "; ".join(filter(None, (screen.offer(), f"answer it: {resume}")))
        diagnostics.append(diagnostic("CHT051", question=safe(str(summary["said"])), hint=hint))
    if summary["last_run"] not in (None, "complete", "succeeded"):
        diagnostics.append(diagnostic("CHT028", session=summary["runs"][-1]))
    keys = ("session", "status", "state", "question", "pipeline", "fingerprint", "file", "runs")
    following = [f"osiris logs show {summary['runs'][-1]}"] if summary["runs"] else []
    if summary.get("file") and not summary["runs"]:
        following = [shlex.join(["osiris", "run", str(summary["file"])])]
    return Answer({key: summary.get(key) for key in keys}, (), diagnostics, following)


SHAPES = ("where", "columns", "sort", "limit", "dtype", "encoding", "on-reject", "mode", "key", "partition-by", "name")
"""Flags of `osiris new` that a copy takes too."""

COPY_OPTIONS = (
    click.argument("source", metavar="SOURCE"),
    click.argument("target", metavar="TARGET"),
    *map(_option, SHAPES),
    OUTSIDE,
    valued("--save", "FILE", "Save the pipeline to FILE too."),
    flag("--yes", "Accept the plan and run it."),
)


@answers("copy", *COPY_OPTIONS)
def copy(
    source: str,
    target: str,
    outside: bool,
    save: str | None,
    yes: bool,
    **words: Any,  # noqa: ANN401 - one per option
) -> Answer:
    """Copy a file or table to another, in one line.

    SOURCE and TARGET are a path or @FAMILY.ALIAS.TABLE. The plan is shown, and runs when you accept it; --yes accepts
    it beforehand. No pipeline file is needed or written, except with --save, which names a file in pipelines/ or
    output/. The options mean the same as in 'osiris new', which can also join, group and compute.
    """
    flags = {"from": (source,), **flags_of(words), "to": (target,)}
    return build(opened(), flags, BuildOptions(outside=outside, multiplies=False, yes=yes, file=save))
