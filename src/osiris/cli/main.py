"""`osiris`: runs a command and turns its result into one answer and one exit code."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING

import click

from osiris.cli import legacy
from osiris.cli.command import Done, Group, overview
from osiris.cli.render import Answer, Console
from osiris.errors import OsirisError, diagnostic, fail
from osiris.fault import FAULT, KINDS, arm
from osiris.json_schema import skip_grammars

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from click.shell_completion import CompletionItem

_OBJECTS = 50_000
"""New objects after which garbage is looked for. Plans and records are many objects that live until the end: with
Python's own 700, looking for garbage among them takes a fifth of the time of a run with many tables."""

GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "init": ("osiris.cli.project:init", "Create a new project."),
        "demo": ("osiris.cli.project:demo", "Create a project on real data and show what Osiris proves."),
        "copy": ("osiris.cli.new:copy", "Copy a file or table to another, in one line."),
        "new": ("osiris.cli.new:new", "Build a pipeline from choices; no model is needed."),
        "chat": ("osiris.cli.chat:chat", "Describe a pipeline in words and let a model write it."),
    },
    "Build": {
        "validate": ("osiris.cli.pipelines:validate", "Check pipelines without reading any source."),
        "compile": ("osiris.cli.compile:command", "Compile a pipeline into a plan with a fingerprint."),
        "preview": ("osiris.cli.compile:preview", "Show the first rows of a step; write nothing."),
        "fmt": ("osiris.cli.pipelines:fmt", "Format pipelines."),
        "schema": ("osiris.cli.pipelines:schema", "Print the JSON Schema of pipelines, for editors."),
        "lsp": ("osiris.cli.lsp:lsp", "Serve an editor over the Language Server Protocol (LSP)."),
    },
    "Run": {
        "run": ("osiris.cli.run:run", "Run a pipeline or a plan."),
        "export": ("osiris.cli.export:export", "Export a pipeline to a scheduler."),
        "schedule": ("osiris.cli.schedule:schedule", "Run pipelines when their schedules say so."),
        "status": ("osiris.cli.schedule:status", "Show what is due, late or failing."),
        "state": ("osiris.cli.state:state", "Show and move how far pipelines with a cursor have read."),
        "replay": ("osiris.cli.diff:replay", "Repeat a past run and compare what it produces."),
        "verify": ("osiris.cli.diff:verify", "Check that two runs wrote the same data."),
    },
    "Understand": {
        "explain": ("osiris.cli.sessions:explain", "Explain an error code, a plan or a run."),
        "logs": ("osiris.cli.logs:logs", "Inspect past runs."),
        "lineage": ("osiris.cli.lineage:lineage", "Show which source columns each column comes from."),
        "impact": ("osiris.cli.lineage:impact", "Show what depends on a column, table or file."),
        "diff": ("osiris.cli.diff:command", "Compare two runs or two plans."),
        "ui": ("osiris.cli.ui:ui", "Serve local web pages over the project."),
    },
    "Inspect": {
        "connections": ("osiris.cli.connections:connections", "List and test connections."),
        "discover": ("osiris.cli.connections:discover", "Show the tables and columns of a connection or file."),
        "components": ("osiris.cli.components:components", "List, show, check and create components."),
        "sql": ("osiris.cli.pipelines:sql", "Check SQL by the rules for SQL in steps."),
    },
    "Agents and setup": {
        "mcp": ("osiris.cli.mcp:mcp", "Serve agents over the Model Context Protocol (MCP)."),
        "prompts": ("osiris.cli.chat:prompts", "View and customize model prompts."),
        "sandboxes": ("osiris.cli.run:sandboxes", "List, stop and build E2B sandboxes."),
        "notify": ("osiris.cli.notify:notify", "Send a test message to where failures are reported."),
        "config": ("osiris.cli.project:config", "Show settings and where each value comes from."),
        "completion": ("osiris.cli.completion:completion", "Print a shell completion script."),
    },
}
"""The commands under the headings of the overview: where each is, to be imported when it is used, and its summary."""

COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


MOST_COLUMNS = 120
"""Help uses the width of the terminal up to this."""


class Osiris(Group):
    """The root group: imports a command only to run it."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the commands in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if the name is unknown."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so, without importing any command."""
        from click.shell_completion import CompletionItem

        names = [name for name in COMMANDS if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=COMMANDS[name][1]) for name in names]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview without importing anything."""
        width = max(map(len, COMMANDS))
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), summary) for name, (_, summary) in group.items()])


def show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    """Answer with the version."""
    if value and not ctx.resilient_parsing:
        from osiris.distribution import own_version

        version = own_version()
        raise Done(Answer({"version": version}, [f"osiris {version}"]))


root = Osiris(
    "osiris",
    help="Osiris compiles intent into deterministic, fingerprinted data pipelines that are proved before they run.",
    callback=overview,
    invoke_without_command=True,
    add_help_option=False,
    context_settings={"max_content_width": MOST_COLUMNS},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=show_version,
            help="Show the version and exit.",
        )
    ],
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code and never raises."""
    if argv is None and (shell := os.environ.get("_OSIRIS_COMPLETE")):
        from osiris.cli.completion import complete

        return complete(root, shell, os.environ)
    skip_grammars()
    arguments = list(sys.argv[1:] if argv is None else argv)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # memory has secrets
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    console = Console(wants_json="--json" in options)
    gc.set_threshold(_OBJECTS)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup has it ignored
        signal.signal(signal.SIGHUP, _terminate)
    code = _finished(_answer(arguments, console), console)
    if console.at_end:
        console.at_end()
        if argv is None:
            os._exit(code)  # a kill between that and the end of the process would be one of a run that was told
    return code


def _finished(answer: Answer, console: Console) -> int:
    """Print an answer and return the exit code; a signal only ends the printing."""
    try:
        return console.finish(answer)
    except Terminated as ended:
        return console.end_code if console.at_end else 128 + ended.number
    except KeyboardInterrupt:
        return console.end_code if console.at_end else 130


def _open_streams() -> None:
    """Open missing standard streams on the null device, so that no other file gets their descriptors."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, so that it ends a command as tidily as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__()


def _terminate(number: int, _frame: object) -> None:
    raise Terminated(number)


def _answer(arguments: list[str], console: Console) -> Answer:
    try:
        _take_faults()
        result = root.main(arguments, prog_name="osiris", standalone_mode=False, obj=console)
    except Done as done:
        return done.answer
    except OsirisError as error:
        return Answer(diagnostics=error.diagnostics)
    except click.Abort as abort:
        cause = abort.__cause__
        number = cause.number if isinstance(cause, Terminated) else signal.SIGINT
        result = diagnostic("PRJ012", signal=signal.Signals(number).name)
        return Answer(diagnostics=[result], exit_code=128 + number)
    except click.ClickException as error:
        return _usage(error)
    except Exception as error:  # noqa: BLE001  the last resort of the whole program
        return _internal(error, console)
    return result if isinstance(result, Answer) else Answer(exit_code=int(result or 0))


def _take_faults() -> None:
    try:
        arm(os.environ, "host")
    except ValueError:
        fail("PRJ008", problem=f"{FAULT} must be NAME:N:KIND", hint=f"kinds: {', '.join(KINDS)}")


def _usage(error: click.ClickException) -> Answer:
    ctx = getattr(error, "ctx", None)
    command = ctx.command_path.partition(" ")[2] if ctx else ""
    if isinstance(error, click.NoSuchOption):
        refusal = legacy.option_refusal(command, error.option_name)
        if refusal:
            return Answer(diagnostics=[refusal])
    message = " ".join(error.format_message().split())
    problem = message[:1].lower() + message[1:].rstrip(".")
    hint = f"see 'osiris {command} --help'" if command else "see 'osiris --help'"
    return Answer(diagnostics=[diagnostic("PRJ008", problem=problem, hint=hint)])


def _internal(error: BaseException, console: Console) -> Answer:
    """Write the traceback, without the project's secrets, to a file and name it: a terminal is no place for one."""
    import tempfile
    import traceback

    try:
        text, reason = map(str, console.clean(["".join(traceback.format_exception(error)), str(error) or "no message"]))
    except (OsirisError, OSError):  # the secrets are unknown, so the exception's message is left out
        text, reason = "".join(traceback.format_tb(error.__traceback__)), "its message may contain a secret"
        console.scrubber = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="osiris-error-", suffix=".txt", dir=_state_folder(), delete=False
        ) as file:
            file.write(text)
        hint = f"this is a bug in Osiris; please report it with {file.name}"
    except OSError:
        hint = "this is a bug in Osiris; please report it with what --verbose says"
    return Answer(diagnostics=[diagnostic("INT000", kind=type(error).__name__, reason=reason, hint=hint)])


def _state_folder() -> Path | None:
    """Return the state folder of the current project; None (the temporary folder) without a project."""
    from osiris.project import find_project

    try:
        state = find_project(None, os.environ).state
    except OsirisError:
        return None
    return state if os.access(state, os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main())
